"""The schema of a QMP binary (query-qmp-schema) as an index that answers paths.

A path starts at a command or an event and walks with "/":

    blockdev-add                                    the command exists
    device_add/feature:json-cli-hotplug             it has a feature
    chardev-add/arg-type/backend                    its argument has a member (ret-type: its answer; an event: arg-type)
    blockdev-add/arg-type/driver=file/aio           the union's case "file" has a member
    blockdev-add/arg-type/driver=file/aio=io_uring  the member's enum has a value
    object-add/arg-type/qom-type=sev-guest          for a member with cases: the value exists, and its case is entered
    blockdev-add/arg-type/driver=file/feature:x     the object, member or enum value reached has a feature

Arrays stand for their element, and an alternate for any of its alternatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec


class Member(msgspec.Struct, frozen=True, gc=False):
    """A member of an object, a value of an enum (name alone) or an alternative of an alternate (type alone)."""

    name: str = ""
    type: str = ""
    features: tuple[str, ...] = ()
    default: object = msgspec.UNSET

    @property
    def required(self) -> bool:
        """Whether an object must have it: an optional member states a default, if only null."""
        return self.default is msgspec.UNSET


class Case(msgspec.Struct, frozen=True, gc=False):
    """The type that a union adds for one value of its tag."""

    case: str
    type: str


class Entity(msgspec.Struct, frozen=True, rename="kebab"):
    """One entry of query-qmp-schema."""

    name: str
    meta_type: str
    arg_type: str | None = None
    ret_type: str | None = None
    element_type: str | None = None
    tag: str | None = None
    members: tuple[Member, ...] = ()
    values: tuple[str, ...] = ()
    variants: tuple[Case, ...] = ()
    features: tuple[str, ...] = ()

    def enum_values(self) -> Iterable[str]:
        """The values of an enum: `members` since QEMU 6.2, `values` before."""
        return [m.name for m in self.members] if self.members else self.values


class _Place(msgspec.Struct):
    """Where a walk stands: the entities that may be looked into, and the features of what was just named."""

    entities: Sequence[Entity]
    features: Sequence[str] = ()


class Schema:
    """An index over the entities of one binary; it is made once and only read."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._entities: Mapping[str, Entity] = {e.name: e for e in entities}
        self._known: dict[str, bool] = {}

    @classmethod
    def decode(cls, reply: bytes | msgspec.Raw) -> Schema:
        """From the JSON array that query-qmp-schema returns."""
        return cls(msgspec.json.decode(reply, type=list[Entity]))

    def named(self, meta_type: str) -> frozenset[str]:
        """The names of all commands ("command") or events ("event")."""
        return frozenset(e.name for e in self._entities.values() if e.meta_type == meta_type)

    def entity(self, name: str) -> Entity | None:
        """One entity by its name; type names are opaque and differ between binaries."""
        return self._entities.get(name)

    def has(self, path: str) -> bool:
        """Whether the path leads somewhere."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._walk(path.split("/"))
        return known

    def _walk(self, steps: Sequence[str]) -> bool:
        start = self._entities.get(steps[0])
        if start is None or start.meta_type not in ("command", "event"):
            return False
        place = _Place([start], start.features)
        for step in steps[1:]:
            reached = self._step(place, step)
            if reached is None:
                return False
            place = reached
        return True

    def _step(self, place: _Place, step: str) -> _Place | None:
        if step.startswith("feature:"):
            found = {*place.features, *(f for e in place.entities for f in e.features)}
            return _Place([]) if step.removeprefix("feature:") in found else None
        if step in ("arg-type", "ret-type"):
            types = [t for e in place.entities if (t := e.arg_type if step == "arg-type" else e.ret_type)]
            return self._enter(types) if types else None
        name, chosen, value = step.partition("=")
        members = [(e, m) for e in place.entities for m in e.members if m.name == name and e.meta_type == "object"]
        if not members:
            return None
        if not chosen:
            return self._enter((m.type for _, m in members), [f for _, m in members for f in m.features])
        return self._choose(place, members, value)

    def _choose(self, place: _Place, members: Sequence[tuple[Entity, Member]], value: str) -> _Place | None:
        enums = self._enter(m.type for _, m in members).entities
        if not any(value in e.enum_values() for e in enums):
            return None
        features = [f for e in enums for m in e.members if m.name == value for f in m.features]
        cases = [c.type for e, m in members if e.tag == m.name for c in e.variants if c.case == value]
        if not cases:
            return _Place([e for e, m in members if e.tag == m.name], features)
        return _Place([*self._enter(cases).entities, *(e for e, _ in members)], features)

    def _enter(self, types: Iterable[str], features: Sequence[str] = ()) -> _Place:
        """The entities behind type names, arrays and alternates resolved."""
        found: list[Entity] = []
        waiting = list(types)
        while waiting:
            entity = self._entities.get(waiting.pop())
            if entity is None:
                continue
            if entity.meta_type == "array":
                waiting.append(entity.element_type or "")
            elif entity.meta_type == "alternate":
                waiting += [m.type for m in entity.members]
            else:
                found.append(entity)
        return _Place(found, features)
