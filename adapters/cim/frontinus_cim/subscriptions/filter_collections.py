"""Collections of filters (DSP1054): the provider's own, and those that clients made. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import msgspec

from frontinus_cim.subscriptions import predefined


class Collection(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A collection: `name` is its InstanceID, `members` the names of the filters and collections in it."""

    name: str
    collection: str | None = None
    element: str | None = None
    members: list[str] = []


class Collections:
    """All of them. `made` are those of clients; no collection leads to itself."""

    def __init__(self) -> None:
        self.made: dict[str, Collection] = {}

    def find(self, name: str) -> Collection | None:
        members = predefined.COLLECTIONS.get(name)
        if members is None:
            return self.made.get(name)
        return Collection(name=name, collection=name, element=name, members=list(members))

    def every(self) -> Iterable[Collection]:
        own = (found for name in predefined.COLLECTIONS if (found := self.find(name)) is not None)
        return itertools.chain(own, self.made.values())

    def holders(self, name: str) -> Iterator[Collection]:
        """The collections that something is in."""
        return (one for one in self.every() if name in one.members)

    def filters_of(self, name: str) -> Iterator[str]:
        """The filters in a collection, and in the collections in it: each once."""
        return (inside for inside in self._inside(name) if self.find(inside) is None)

    def leads_to(self, name: str, wanted: str) -> bool:
        """Whether something is a collection, or in it at any depth."""
        return wanted == name or wanted in self._inside(name)

    def _inside(self, name: str) -> Iterator[str]:
        seen, waiting = set[str](), [name]
        while waiting:
            found = self.find(waiting.pop())
            for inside in found.members if found is not None else ():
                if inside not in seen:
                    seen.add(inside)
                    waiting.append(inside)
                    yield inside
