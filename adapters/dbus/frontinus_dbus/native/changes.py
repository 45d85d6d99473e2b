"""What org.frontinus1 tells: objects that come and go, properties that changed, a batch a turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dbus_fast import Variant

from frontinus.api.events import ChangedEvent, Event, GuestEvent, JobEvent, LeaseEvent, LifecycleEvent, VolumeEvent
from frontinus_dbus import table
from frontinus_dbus.audiences import Emit
from frontinus_dbus.model import kind_of
from frontinus_dbus.native import api_guests
from frontinus_dbus.native.guests import GUEST
from frontinus_dbus.native.kinds import ROOT, facts
from frontinus_dbus.native.realm import BY_MODEL, KINDS, job_path, job_variants
from frontinus_dbus.native.things import NETWORK, POOL
from frontinus_dbus.picture import Picture

HIDDEN = frozenset({"event", "uuid", "name", "generation", "guest"})


class Changes:
    """A listener of one picture."""

    def __init__(self, picture: Picture, emit: Emit) -> None:
        self._picture, self._emit = picture, emit
        self._told: dict[str, dict[str, object]] = {kind.model: dict(picture.model.all(kind.model)) for kind in KINDS}
        self._touched: set[tuple[str, str]] = set()

    def tell(self, told: Sequence[Event]) -> None:
        for event in told:
            kind = kind_of(event)
            if kind is not None:
                if not self._touched:
                    asyncio.get_running_loop().call_soon(self._settle)
                self._touched.add((kind, event.uuid))  # type: ignore[attr-defined]
        for event in told:
            if isinstance(event, GuestEvent):
                self._news(event)
            elif isinstance(event, VolumeEvent):
                self._emit(POOL.path(event.pool), POOL.interface, "Volume", [event.kind, event.volume])
            elif isinstance(event, LeaseEvent):
                self._emit(NETWORK.path(event.network), NETWORK.interface, "Lease", [event.kind, facts(event.lease)])

    def _news(self, event: GuestEvent) -> None:
        if isinstance(event, JobEvent):
            self._job(event)
        if isinstance(event, LifecycleEvent):
            self._settle()
            self._emit(GUEST.path(event.uuid), api_guests.GUEST, "Lifecycle", [event.kind, event.detail])
        elif not isinstance(event, ChangedEvent):
            kind = type(event).__name__.removesuffix("Event").lower()
            self._emit(GUEST.path(event.uuid), api_guests.GUEST, "News", [kind, facts(event, HIDDEN)])

    def _settle(self) -> None:
        """Tell what became of the objects that were touched since the last time."""
        touched, self._touched = self._touched, set()
        for model, uuid in sorted(touched):
            self._tell_of(model, uuid)

    def _tell_of(self, model: str, uuid: str) -> None:
        kind, told = BY_MODEL[model], self._told[model]
        old, new = told.get(uuid), self._picture.model.find(model, uuid)
        path, interface = kind.path(uuid), kind.interface.name
        if new is None:
            if told.pop(uuid, None) is not None:
                self._gone(path, interface)
            return
        told[uuid] = new
        if old is None:
            self._come(path, interface, kind.variants(new))
        elif changed := kind.differing(old, new):
            self._emit(path, table.PROPERTIES, "PropertiesChanged", [interface, changed, []])

    def _job(self, event: JobEvent) -> None:
        path = job_path(event.job)
        if event.state == "running":
            self._picture.jobs[event.job] = (event.kind, event.uuid)
            self._come(path, api_guests.JOB.name, job_variants(self._picture, event.job))
        elif self._picture.jobs.pop(event.job, None):
            self._gone(path, api_guests.JOB.name)

    def _come(self, path: str, interface: str, shown: dict[str, Variant]) -> None:
        self._emit(ROOT, table.OBJECT_MANAGER, "InterfacesAdded", [path, {interface: shown}])

    def _gone(self, path: str, interface: str) -> None:
        self._emit(ROOT, table.OBJECT_MANAGER, "InterfacesRemoved", [path, [interface]])
