"""The read model: every guest's view, kept from the engine's stream, so that reading costs no call."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.api.events import AnyEvent, ChangedEvent, GuestEvent, Lifecycle, LifecycleEvent
from frontinus.api.views import GuestView, Snapshot


class Model:
    """Guests by UUID; `take` returns the events that readers of the bus are to hear."""

    def __init__(self) -> None:
        self.guests: dict[str, GuestView] = {}
        self.generation = -1
        self._names: dict[str, str] = {}

    def take(self, item: Snapshot | AnyEvent) -> list[GuestEvent]:
        """A snapshot tells what differs from what was known."""
        if isinstance(item, Snapshot):
            new = {guest.uuid: guest for guest in item.guests}
            told = list(differences(self.guests, new))
            self.guests, self._names = new, {guest.name: guest.uuid for guest in item.guests}
        else:
            told = [item] if isinstance(item, GuestEvent) else []
            if isinstance(item, LifecycleEvent | ChangedEvent):
                self._put(item.uuid, item.guest)
        self.generation = item.generation
        return told

    def named(self, name: str) -> GuestView | None:
        uuid = self._names.get(name)
        return self.guests.get(uuid) if uuid is not None else None

    def numbered(self, number: int) -> GuestView | None:
        return next((guest for guest in self.guests.values() if guest.id == number), None)

    def sorted(self) -> list[GuestView]:
        """All, in the order of their names."""
        return [self.guests[uuid] for _, uuid in sorted(self._names.items()) if uuid in self.guests]

    def _put(self, uuid: str, guest: GuestView | None) -> None:
        old = self.guests.pop(uuid, None)
        if old is not None and self._names.get(old.name) == uuid:
            del self._names[old.name]
        if guest is not None:
            self.guests[uuid] = guest
            self._names[guest.name] = uuid


def differences(old: dict[str, GuestView], new: dict[str, GuestView]) -> Iterator[GuestEvent]:
    """Events that lead from one picture to another, for those who missed the real ones."""
    for uuid, guest in old.items():
        if uuid not in new:
            if guest.active:
                yield _life(guest, "stopped", "failed", None)
            if guest.persistent:
                yield _life(guest, "undefined", "removed", None)
    for uuid, guest in new.items():
        was = old.get(uuid)
        if was is None and guest.persistent:
            yield _life(guest, "defined", "added", guest)
        if was is None or was.state != guest.state:
            yield from _change(was, guest)
        elif was != guest:
            yield ChangedEvent(uuid=uuid, name=guest.name, guest=guest)


def _change(was: GuestView | None, guest: GuestView) -> Iterator[GuestEvent]:
    active = was is not None and was.active
    if guest.active and not active:
        yield _life(guest, "started", "booted", guest)
    if active and not guest.active:
        detail = guest.reason if guest.reason in ("shutdown", "destroyed", "crashed", "migrated", "saved") else "failed"
        yield _life(guest, "stopped", detail, guest)
    elif guest.state == "paused":
        yield _life(guest, "suspended", "paused", guest)
    elif active and guest.state == "running":
        yield _life(guest, "resumed", "unpaused", guest)


def _life(guest: GuestView, kind: Lifecycle, detail: str, now: GuestView | None) -> LifecycleEvent:
    return LifecycleEvent(uuid=guest.uuid, name=guest.name, kind=kind, detail=detail, guest=now)
