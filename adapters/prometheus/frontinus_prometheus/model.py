"""The read model: what the engine's stream has told so far. Pure; answers need no call."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from frontinus.api import events
from frontinus.api.events import AnyEvent, ChangedEvent, GuestEvent, LifecycleEvent, NetworkEvent, PoolEvent
from frontinus.api.figures import EngineFigures, HostFigures
from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestStats, GuestView, HostView, Snapshot, VersionView
from frontinus_prometheus.details import Details

T = TypeVar("T")
N = TypeVar("N", NetworkView, PoolView)

CHANGES_XML = (LifecycleEvent, ChangedEvent, events.DeviceAddedEvent, events.DeviceRemovedEvent, events.DiskChangeEvent,
               events.MetadataChangeEvent, events.BlockJobEvent)  # fmt: skip
"""Events after which a guest's XML may be another."""


@dataclass(eq=False)
class Entry:
    """One guest. `events` counts what happened to it since we know it; `version` grows with every change."""

    view: GuestView
    events: Counter[str] = field(default_factory=Counter)
    version: int = 0
    since: float = field(default_factory=lambda: round(time.time(), 3))
    """When we came to know it, Unix time."""
    details: Details | None = None
    """What the guest's XML says; None until it is asked for, and after every event that may have changed it."""


@dataclass(frozen=True)
class Facts:
    """The engine's side of one scrape."""

    up: bool
    version: VersionView | None = None
    host: HostView | None = None
    states: Sequence[tuple[str, int]] = ()
    """Guests by state."""
    generation: int | None = None
    fresh: bool = False
    """The engine answered this scrape within its deadline."""
    stats: Sequence[GuestStats] = ()
    now: float = 0.0
    host_figures: HostFigures | None = None
    engine_figures: EngineFigures | None = None
    networks: Sequence[NetworkView] = ()
    pools: Sequence[PoolView] = ()

    @property
    def age(self) -> float | None:
        """Age in seconds of the oldest figures shown, stale guests aside: those say it themselves."""
        taken = [s.taken for s in self.stats if s.taken and not s.stale]
        return max(0.0, round(self.now - min(taken), 3)) if taken else None


class Model:
    """All guests by UUID. `generation` is None while nothing is known."""

    def __init__(self) -> None:
        self.guests: dict[str, Entry] = {}
        self.networks: dict[str, NetworkView] = {}
        self.pools: dict[str, PoolView] = {}
        self.generation: int | None = None
        self.version = 0
        """Grows with every change of anything."""

    def take(self, item: Snapshot | AnyEvent) -> None:
        """One item of the stream."""
        self.version += 1
        self.generation = item.generation
        if isinstance(item, Snapshot):
            self._replace(item)
            return
        if isinstance(item, NetworkEvent):
            _put(self.networks, item.uuid, item.network)
        elif isinstance(item, PoolEvent):
            _put(self.pools, item.uuid, item.pool)
        elif isinstance(item, GuestEvent):
            self._take_guest(item)

    def _take_guest(self, item: GuestEvent) -> None:
        view = item.guest if isinstance(item, (LifecycleEvent, ChangedEvent)) else None
        if isinstance(item, LifecycleEvent) and view is None:
            self.guests.pop(item.uuid, None)
            return
        entry = self.guests.get(item.uuid)
        if entry is None and view is not None:
            entry = self.guests[item.uuid] = Entry(view)
        if entry is None:
            return
        entry.view = view or entry.view
        entry.version += 1
        if isinstance(item, CHANGES_XML):
            entry.details = None
        if not isinstance(item, ChangedEvent):
            entry.events[kind(item)] += 1

    def forget(self) -> None:
        """The engine is gone: nothing is known any more."""
        for known in (self.guests, self.networks, self.pools):
            known.clear()
        self.generation = None
        self.version += 1

    def find(self, key: str) -> Entry | None:
        """A guest by UUID, name or id, in that order."""
        found = self.guests.get(key)
        if found is None:
            found = next((e for e in self.guests.values() if e.view.name == key), None)
        if found is None:
            found = next((e for e in self.guests.values() if e.view.id is not None and str(e.view.id) == key), None)
        return found

    def states(self) -> Counter[str]:
        return Counter(entry.view.state for entry in self.guests.values())

    def _replace(self, snapshot: Snapshot) -> None:
        self.networks = {view.uuid: view for view in snapshot.networks}
        self.pools = {view.uuid: view for view in snapshot.pools}
        old = self.guests
        self.guests = {view.uuid: Entry(view) for view in sorted(snapshot.guests, key=lambda view: view.name)}
        for uuid, entry in self.guests.items():
            if uuid in old:
                entry.events, entry.since, entry.version = old[uuid].events, old[uuid].since, old[uuid].version + 1


def _put(known: dict[str, T], uuid: str, view: T | None) -> None:
    """Take in a view, or that there is none any more."""
    if view is None:
        known.pop(uuid, None)
    else:
        known[uuid] = view


def kind(event: GuestEvent) -> str:
    """The word that an event is counted under: a lifecycle event's own kind, else its class."""
    if isinstance(event, LifecycleEvent):
        return event.kind
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(event).__name__.removesuffix("Event"))
    return words.removeprefix("_")


def facts(model: Model, stats: Sequence[GuestStats], *, fresh: bool, version: VersionView | None,
          host: HostView | None, host_figures: HostFigures | None = None,
          engine_figures: EngineFigures | None = None) -> Facts:  # fmt: skip
    """What a scrape says about the engine."""
    states = model.states()
    return Facts(up=model.generation is not None, version=version, host=host, states=sorted(states.items()),
                 generation=model.generation, fresh=fresh, stats=stats, now=time.time(),
                 host_figures=host_figures, engine_figures=engine_figures, networks=by_name(model.networks),
                 pools=by_name(model.pools))  # fmt: skip


def by_name(views: Mapping[str, N]) -> list[N]:
    """Views in the order of their names."""
    return sorted(views.values(), key=lambda view: view.name)
