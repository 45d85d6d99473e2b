"""The frame of a set-up: makers, one a kind of resource, and what they share.

A maker first intends, which looks and changes nothing, then makes, then, perhaps in another life of the engine, undoes.
All three block; they run in a thread. What is intended is journalled before anything is made, so an undo must be at
peace with a thing that was never made, or is gone already.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from frontinus.api.errors import InternalError
from frontinus.domain.plan import Folder, Resource
from frontinus.ports.resources import Credentials

Undo = dict[str, object]
R = TypeVar("R", bound=Resource)


@dataclass
class Setup:
    """One set-up under way. `home` is the guest's private folder, by which its processes are known."""

    who: Credentials | None
    home: str
    folders: tuple[str, ...] = ()
    fds: dict[int, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, resources: Sequence[Resource], who: Credentials | None, home: str) -> Setup:
        """A set-up of these resources; `home` serves where they have no private folder of their own."""
        return cls(who, home, tuple(resource.path for resource in resources if isinstance(resource, Folder)))

    def is_inside(self, path: str) -> bool:
        """Whether a path goes with one of the folders that this very set-up makes, and needs no undoing of its own."""
        return any(path.startswith(f"{folder}/") for folder in self.folders)

    def give(self, fd: int) -> None:
        """Make the guest's user the owner of a file that was just made."""
        if self.who is not None:
            os.fchown(fd, self.who.uid, self.who.gid)

    def close(self) -> None:
        """Close the descriptors: the set-up failed."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


class Maker(Generic[R]):
    """Sets up one kind of resource, and undoes it by the records of the kinds that it names."""

    kinds: Sequence[str] = ()

    def intend(self, resource: R, setup: Setup) -> list[Undo]:
        """Undo records of what `make` will do. Raises HostFailed for what cannot be done."""
        return []

    def make(self, resource: R, records: list[Undo], setup: Setup) -> None:
        """Do it, wholly or not at all, and write into the records what is known only now. Raises HostFailed."""
        raise NotImplementedError

    def undo(self, record: Mapping[str, object]) -> None:
        """Take back what a record tells. Idempotent. Raises HostFailed or OSError."""


def is_below(path: str, roots: Sequence[str]) -> bool:
    """Whether a path leads below one of these folders, whatever dots it has."""
    return os.path.normpath(path).startswith(tuple(f"{root}/" for root in roots))


def text(record: Mapping[str, object], name: str) -> str:
    """A text of an undo record."""
    value = record.get(name)
    if not isinstance(value, str):
        raise InternalError(f"the undo record {dict(record)!r} lacks '{name}'")
    return value


def number(record: Mapping[str, object], name: str) -> int:
    """A number of an undo record."""
    value = record.get(name)
    if not isinstance(value, int):
        raise InternalError(f"the undo record {dict(record)!r} lacks '{name}'")
    return value
