"""What org.frontinus1 tells: objects that come and go, properties that changed, a batch a turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from dbus_fast import Variant

from frontinus.api.events import ChangedEvent, Event, GuestEvent, JobEvent, LifecycleEvent
from frontinus.api.views import GuestView
from frontinus_dbus import api_native, table
from frontinus_dbus.audiences import Emit
from frontinus_dbus.native import ROOT, SHOWN, Native, path_of
from frontinus_dbus.native import variants as properties
from frontinus_dbus.picture import Picture

HIDDEN = frozenset({"event", "uuid", "name", "generation", "guest"})


class Changes:
    """A listener of one picture."""

    def __init__(self, picture: Picture, emit: Emit) -> None:
        self._picture, self._emit = picture, emit
        self._told: dict[str, GuestView] = dict(picture.model.guests)
        self._touched: set[str] = set()

    def tell(self, told: Sequence[Event]) -> None:
        for event in told:
            if isinstance(event, LifecycleEvent | ChangedEvent):
                if not self._touched:
                    asyncio.get_running_loop().call_soon(self._settle)
                self._touched.add(event.uuid)
        for event in told:
            if isinstance(event, GuestEvent):
                self._news(event)

    def _news(self, event: GuestEvent) -> None:
        if isinstance(event, JobEvent):
            self._job(event)
        if isinstance(event, LifecycleEvent):
            self._settle()
            self._emit(path_of(event.uuid), api_native.GUEST, "Lifecycle", [event.kind, event.detail])
        elif not isinstance(event, ChangedEvent):
            kind = type(event).__name__.removesuffix("Event").lower()
            self._emit(path_of(event.uuid), api_native.GUEST, "News", [kind, facts(event)])

    def _settle(self) -> None:
        """Tell what became of the guests that were touched since the last time."""
        touched, self._touched = self._touched, set()
        for uuid in sorted(touched):
            old, new = self._told.get(uuid), self._picture.model.guests.get(uuid)
            if new is None:
                if self._told.pop(uuid, None) is not None:
                    self._gone(path_of(uuid), api_native.GUEST.name)
                continue
            self._told[uuid] = new
            if old is None:
                self._come(path_of(uuid), api_native.GUEST.name, properties(new))
            elif changed := differing(old, new):
                body = [api_native.GUEST.name, changed, []]
                self._emit(path_of(uuid), table.PROPERTIES, "PropertiesChanged", body)

    def _job(self, event: JobEvent) -> None:
        path = f"{ROOT}/job/{event.job}"
        if event.state == "running":
            self._picture.jobs[event.job] = (event.kind, event.uuid)
            self._come(path, api_native.JOB.name, Native.job_variants(self._picture, event.job))
        elif self._picture.jobs.pop(event.job, None):
            self._gone(path, api_native.JOB.name)

    def _come(self, path: str, interface: str, shown: dict[str, Variant]) -> None:
        self._emit(ROOT, table.OBJECT_MANAGER, "InterfacesAdded", [path, {interface: shown}])

    def _gone(self, path: str, interface: str) -> None:
        self._emit(ROOT, table.OBJECT_MANAGER, "InterfacesRemoved", [path, [interface]])


def differing(old: GuestView, new: GuestView) -> dict[str, Variant]:
    """The properties in which two views differ."""
    values = {p.name: (p.signature, SHOWN[p.name]) for p in api_native.GUEST.properties}
    return {name: Variant(signature, get(new)) for name, (signature, get) in values.items() if get(old) != get(new)}


def facts(event: GuestEvent) -> dict[str, Variant]:
    """What an event carries, by name."""
    shown: dict[str, Variant] = {}
    for name, value in msgspec.to_builtins(event).items():
        if name not in HIDDEN and value is not None:
            kind = "d" if isinstance(value, float) else "x" if isinstance(value, int) else "s"
            shown[name] = Variant(kind, value)
    return shown
