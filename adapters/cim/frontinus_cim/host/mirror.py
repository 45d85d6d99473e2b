"""What the engine's stream has told: guests, networks, pools and filters, and whose documents are to be read anew. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from frontinus.api import events
from frontinus.api.engine import Engine
from frontinus.api.events import (
    AnyEvent,
    ChangedEvent,
    FilterEvent,
    GuestEvent,
    LifecycleEvent,
    NetworkEvent,
    PoolEvent,
    VolumeEvent,
)
from frontinus.api.filters import FilterView
from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestView, Snapshot
from frontinus_cim.host.guest import Guest
from frontinus_cim.host.resources import Filter, Network, Storage

CHANGES_XML = (LifecycleEvent, ChangedEvent, events.DeviceAddedEvent, events.DeviceRemovedEvent, events.DiskChangeEvent,
               events.BlockJobEvent, events.BalloonChangeEvent, events.MetadataChangeEvent, events.GuestSnapshotEvent)  # fmt: skip
"""Events after which a guest's documents may be others."""


class Documented(Protocol):
    """Something whose documents are read from the engine."""

    async def read(self, engine: Engine) -> None: ...


V = TypeVar("V", NetworkView, PoolView, FilterView)
E = TypeVar("E", Network, Storage, Filter)


class Mirror:
    """All that is shown, by UUID and by name. `stale` holds what is to be read again, in the order in which it became so."""

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}
        self.named: dict[str, Guest] = {}
        self.networks: dict[str, Network] = {}
        self.pools: dict[str, Storage] = {}
        self.filters: dict[str, Filter] = {}
        self.generation = -1
        self.hostname = ""
        self.stale: dict[int, Documented] = {}

    def mark(self, *changed: Documented) -> None:
        """Say that documents are to be read anew."""
        for one in changed:
            self.stale[id(one)] = one

    def take(self, item: Snapshot | AnyEvent) -> tuple[Guest | None, GuestView | None]:
        """One item of the stream; the guest that it is about, and that guest's view before."""
        self.generation = item.generation
        if isinstance(item, Snapshot):
            self._replace(item)
        elif isinstance(item, GuestEvent):
            return self._guest_event(item)
        elif isinstance(item, NetworkEvent):
            self._one(self.networks, item.uuid, item.network, Network)
        elif isinstance(item, PoolEvent):
            self._one(self.pools, item.uuid, item.pool, Storage)
        elif isinstance(item, FilterEvent):
            self._one(self.filters, item.uuid, item.filter, Filter)
        elif isinstance(item, VolumeEvent) and (pool := self.pools.get(item.pool)) is not None:
            self.mark(pool)
        return None, None

    def _guest_event(self, item: GuestEvent) -> tuple[Guest | None, GuestView | None]:
        guest = self.guests.get(item.uuid)
        before = guest.view if guest else None
        if isinstance(item, LifecycleEvent | ChangedEvent):
            if item.guest is not None:
                guest = self._put(item.guest)
            elif guest is not None:
                self._forget(guest)
        if guest is not None and item.uuid in self.guests and isinstance(item, CHANGES_XML):
            self.mark(guest)
        return guest, before

    def _replace(self, snapshot: Snapshot) -> None:
        views = {view.uuid: view for view in snapshot.guests}
        for guest in [guest for uuid, guest in self.guests.items() if uuid not in views]:
            self._forget(guest)
        self.mark(*[self._put(view) for view in views.values()])
        self._all(self.networks, snapshot.networks, Network)
        self._all(self.pools, snapshot.pools, Storage)
        self._all(self.filters, snapshot.filters, Filter)

    def _all(self, known: dict[str, E], views: Iterable[V], make: Callable[[V], E]) -> None:
        by_uuid = {view.uuid: view for view in views}
        for uuid in [uuid for uuid in known if uuid not in by_uuid]:
            self._one(known, uuid, None, make)
        for uuid, view in by_uuid.items():
            self._one(known, uuid, view, make)

    def _one(self, known: dict[str, E], uuid: str, view: V | None, make: Callable[[V], E]) -> None:
        if view is None:
            if (gone := known.pop(uuid, None)) is not None:
                self.stale.pop(id(gone), None)
            return
        entry = known.get(uuid)
        if entry is None:
            entry = known[uuid] = make(view)
        else:
            entry.view = view  # type: ignore[assignment]
        self.mark(entry)

    def _put(self, view: GuestView) -> Guest:
        guest = self.guests.get(view.uuid)
        if guest is None:
            guest = self.guests[view.uuid] = Guest(view, self)
        elif self.named.get(guest.name) is guest:
            del self.named[guest.name]
        guest.show(view)
        self.named[view.name] = guest
        return guest

    def _forget(self, guest: Guest) -> None:
        self.guests.pop(guest.view.uuid, None)
        self.stale.pop(id(guest), None)
        if self.named.get(guest.name) is guest:
            del self.named[guest.name]


def by_name(entries: Mapping[str, E], name: str) -> E | None:
    """The network, pool or filter of a name."""
    return next((entry for entry in entries.values() if entry.view.name == name), None)
