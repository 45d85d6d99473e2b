"""The read model: every object's view, kept from the engine's stream, so that reading costs no call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from frontinus.api.events import (
    AnyEvent,
    ChangedEvent,
    Event,
    FilterEvent,
    Lifecycle,
    LifecycleEvent,
    NetworkEvent,
    PoolEvent,
    SecretEvent,
)
from frontinus.api.filters import FilterView
from frontinus.api.networks import NetworkView
from frontinus.api.secrets import SecretView
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestView, Snapshot

Thing = NetworkView | FilterView | PoolView | SecretView
Tell = Callable[[str, Thing, Thing | None], Event]


@dataclass(frozen=True)
class Kind:
    """A kind of object beside guests: where its views are in an event and a snapshot, and how news of it are made."""

    event: type[Event]
    member: str
    snapshot: str
    tell: Tell


KINDS: Mapping[str, Kind] = {
    "network": Kind(NetworkEvent, "network", "networks", lambda kind, thing, now: NetworkEvent(
        uuid=thing.uuid, name=_name(thing), kind=kind, network=cast("NetworkView", now))),  # type: ignore[arg-type]
    "nwfilter": Kind(FilterEvent, "filter", "filters", lambda kind, thing, now: FilterEvent(
        uuid=thing.uuid, name=_name(thing), kind="undefined" if now is None else "defined", filter=cast("FilterView", now))),
    "storagepool": Kind(PoolEvent, "pool", "pools", lambda kind, thing, now: PoolEvent(
        uuid=thing.uuid, name=_name(thing), kind=kind, pool=cast("PoolView", now))),  # type: ignore[arg-type]
    "secret": Kind(SecretEvent, "secret", "secrets", lambda kind, thing, now: SecretEvent(
        uuid=thing.uuid, kind="undefined" if now is None else "defined" if kind == "defined" else "value-changed",
        secret=cast("SecretView", now))),
}  # fmt: skip
"""By the folder of org.libvirt that they are in."""


def kind_of(event: Event) -> str | None:
    """The kind of object that an event shows another view of, by its folder of org.libvirt."""
    if isinstance(event, LifecycleEvent | ChangedEvent):
        return "domain"
    return next((name for name, kind in KINDS.items() if isinstance(event, kind.event)), None)


def _name(thing: Thing) -> str:
    return getattr(thing, "name", "")


class Model:
    """Guests, and the other objects by kind, all by UUID; `take` returns the events that readers of the bus are to hear."""

    def __init__(self) -> None:
        self.guests: dict[str, GuestView] = {}
        self.things: dict[str, dict[str, Thing]] = {kind: {} for kind in KINDS}
        self.generation = -1
        self._names: dict[str, str] = {}

    def take(self, item: Snapshot | AnyEvent) -> list[Event]:
        """A snapshot tells what differs from what was known."""
        told: list[Event] = []
        if isinstance(item, Snapshot):
            new = {guest.uuid: guest for guest in item.guests}
            told += differences(self.guests, new)
            self.guests, self._names = new, {guest.name: guest.uuid for guest in item.guests}
            for name, kind in KINDS.items():
                there = {thing.uuid: thing for thing in getattr(item, kind.snapshot)}
                told += other_differences(kind, self.things[name], there)
                self.things[name] = there
        else:
            told.append(item)
            self._follow(item)
        self.generation = item.generation
        return told

    def _follow(self, event: AnyEvent) -> None:
        if isinstance(event, LifecycleEvent | ChangedEvent):
            self._put(event.uuid, event.guest)
            return
        for name, kind in KINDS.items():
            if isinstance(event, kind.event):
                view: Thing | None = getattr(event, kind.member)
                uuid: str = event.uuid  # type: ignore[union-attr]
                self.things[name].pop(uuid, None)
                if view is not None:
                    self.things[name][uuid] = view

    def find(self, kind: str, uuid: str) -> GuestView | Thing | None:
        """The view of an object, by the folder of org.libvirt that it is in."""
        return self.guests.get(uuid) if kind == "domain" else self.things.get(kind, {}).get(uuid)

    def all(self, kind: str) -> Mapping[str, GuestView | Thing]:
        """The views of a kind, by UUID."""
        return self.guests if kind == "domain" else self.things[kind]

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


def differences(old: dict[str, GuestView], new: dict[str, GuestView]) -> Iterator[Event]:
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


def other_differences(kind: Kind, old: Mapping[str, Thing], new: Mapping[str, Thing]) -> Iterator[Event]:
    """The same for objects of another kind."""
    for uuid, thing in old.items():
        if uuid not in new:
            if getattr(thing, "active", False):
                yield kind.tell("stopped", thing, None)
            yield kind.tell("undefined", thing, None)
    for uuid, thing in new.items():
        was = old.get(uuid)
        if was is None:
            yield kind.tell("defined", thing, thing)
        active, before = getattr(thing, "active", False), was is not None and getattr(was, "active", False)
        if active != before:
            yield kind.tell("started" if active else "stopped", thing, thing)
        elif was is not None and was != thing:
            yield kind.tell("changed", thing, thing)


def _change(was: GuestView | None, guest: GuestView) -> Iterator[Event]:
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
