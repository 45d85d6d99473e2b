"""All guests that the engine knows, found by UUID, name or id."""

from __future__ import annotations

import re
from collections.abc import Iterator

from frontinus.api.errors import AlreadyExists, NoSuchGuest
from frontinus.api.views import GuestView
from frontinus.engine.record import Record


class Registry:
    """The guests by UUID, with an index by name."""

    def __init__(self) -> None:
        self._by_uuid: dict[str, Record] = {}
        self._by_name: dict[str, Record] = {}
        self._next_id = 1

    def __iter__(self) -> Iterator[Record]:
        return iter(sorted(self._by_uuid.values(), key=lambda record: record.name))

    def __len__(self) -> int:
        return len(self._by_uuid)

    def find(self, key: str) -> Record:
        """The guest of a UUID, a name or an id, in that order. Raises NoSuchGuest."""
        record = self._by_uuid.get(key.lower()) or self._by_name.get(key)
        if record is None and re.fullmatch(r"\d{1,9}", key):
            wanted = int(key)
            record = next((r for r in self._by_uuid.values() if r.running and r.running.guest.id == wanted), None)
        if record is None:
            raise NoSuchGuest(f"no guest '{key[:100]}'", guest=key[:100])
        return record

    def get(self, uuid: str) -> Record | None:
        return self._by_uuid.get(uuid)

    def claim(self, uuid: str, name: str) -> Record | None:
        """The record that a definition with this UUID and name replaces, or None. Raises AlreadyExists on a clash."""
        known, namesake = self._by_uuid.get(uuid), self._by_name.get(name)
        if namesake is not None and namesake.uuid != uuid:
            raise AlreadyExists(f"a guest named '{name}' exists with UUID {namesake.uuid}", guest=name)
        if known is not None and known.name != name:
            raise AlreadyExists(f"the guest with UUID {uuid} is named '{known.name}', not '{name}'", guest=known.name)
        return known

    def add(self, record: Record) -> None:
        self._by_uuid[record.uuid] = self._by_name[record.name] = record

    def remove(self, record: Record) -> None:
        self._by_uuid.pop(record.uuid, None)
        self._by_name.pop(record.name, None)
        record.fdgroups.clear()

    def rename(self, record: Record, name: str) -> None:
        """Move a record to a new name. Raises AlreadyExists."""
        if name in self._by_name:
            raise AlreadyExists(f"a guest named '{name}' exists", guest=name)
        del self._by_name[record.name]
        record.name = name
        self._by_name[name] = record

    def views(self) -> tuple[GuestView, ...]:
        return tuple(record.view() for record in self)

    def new_id(self) -> int:
        """The next id; ids of running guests are not given again."""
        self._next_id += 1
        return self._next_id - 1

    def taken_id(self, guest_id: int) -> None:
        """A guest with this id was found running."""
        self._next_id = max(self._next_id, guest_id + 1)
