"""The read model: what the engine's stream has told so far, and what of it is worth a notification. Pure."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import structs

from frontinus.api import events
from frontinus.api.events import (
    LIFECYCLE_DETAILS,
    AnyEvent,
    ChangedEvent,
    GuestEvent,
    HostJobEvent,
    LifecycleEvent,
)  # fmt: skip
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestStats, GuestView, Snapshot
from frontinus_snmp.details import Details
from frontinus_snmp.fabric import Fabric
from frontinus_snmp.objects.kinds import Value
from frontinus_snmp.rows import Places, oper_state

CHANGES_XML = (LifecycleEvent, ChangedEvent, events.DeviceAddedEvent, events.DeviceRemovedEvent, events.DiskChangeEvent,
               events.BlockJobEvent)  # fmt: skip
"""Events after which a guest's XML may be another."""
TOLD_OF = {4: "vmRunning", 10: "vmShuttingdown", 11: "vmShutdown", 8: "vmPaused", 5: "vmSuspending", 6: "vmSuspended",
           7: "vmResuming", 9: "vmMigrating", 12: "vmCrashed"}  # fmt: skip
"""VM-MIB's notification by the VirtualMachineOperState that a guest came into."""
DELETED = "vmDeleted"
RESUMING = 7
MOST_NEWS = 1000


@dataclass(frozen=True)
class News:
    """A notification that is due: its name, what it is about (a UUID, or a job's name), and the objects' values.

    `view` is the guest as it then was: from it come the values that `facts` does not have.
    """

    name: str
    about: str
    view: GuestView | None = None
    facts: Mapping[str, Value] = field(default_factory=dict)


@dataclass(eq=False)
class Entry:
    """One guest. `details` are None until they are read, and again after what may have changed them."""

    view: GuestView
    places: Places
    booted: float
    told: int
    """The VirtualMachineOperState that was told of last."""
    details: Details | None = None
    known: Details | None = None
    """The details read last, shown until there are new ones."""
    figures: GuestStats | None = None


class Model:
    """All guests by UUID. `changed` counts guests that came or went; `dropped` news for which there was no room."""

    def __init__(self, full: float = 90.0) -> None:
        self.guests: dict[str, Entry] = {}
        self.fabric = Fabric(full)
        self.stale_jobs = False
        self.connected = False
        self.generation = -1
        self.changed = 0
        self.news: deque[News] = deque()
        self.dropped = 0

    def take(self, item: Snapshot | AnyEvent) -> None:
        """One item of the stream."""
        self.generation = item.generation
        if isinstance(item, Snapshot):
            self._replace(item)
        elif isinstance(item, LifecycleEvent):
            self._life(item)
        elif isinstance(item, GuestEvent):
            self._guest(item)
        else:
            self._host(item)

    def forget(self) -> None:
        """The engine is gone: nothing is known any more."""
        self.guests.clear()
        self.fabric.clear()
        self.connected, self.generation = False, -1

    def _replace(self, snapshot: Snapshot) -> None:
        views = {view.uuid: view for view in snapshot.guests}
        for uuid in [uuid for uuid in self.guests if uuid not in views]:
            gone = self.guests.pop(uuid)
            self.changed += 1
            self._tell(News(DELETED, uuid, gone.view))
        for view in views.values():
            self._put(view).details = None
        self._full(self.fabric.replace(snapshot))
        self.connected = self.stale_jobs = True

    def _life(self, item: LifecycleEvent) -> None:
        if item.guest is None:
            gone = self.guests.pop(item.uuid, None)
            if gone is None:
                return
            self.changed += 1
            self._tell(News(DELETED, item.uuid, gone.view))
            self._tell(lifecycle(item, gone.view))
            return
        if (item.kind, item.detail) == ("started", "restored"):
            self._tell(News(TOLD_OF[RESUMING], item.uuid, item.guest, {"vmOperState": RESUMING}))
        entry = self._put(item.guest)
        if item.kind == "started":
            entry.booted = item.time
        entry.details = None
        self._tell(lifecycle(item, item.guest))

    def _guest(self, item: GuestEvent) -> None:
        """What happens to a guest that is known."""
        if isinstance(item, ChangedEvent):
            self._put(item.guest)
        entry = self.guests.get(item.uuid)
        if entry is None:
            return
        if isinstance(item, CHANGES_XML):
            entry.details = None
        if isinstance(item, events.JobEvent):
            running, ended = item.state == "running", item.state == "completed"
            view = structs.replace(entry.view, job=item.kind if running else None)
            self._put(view, quiet=ended)  # the end of a save is told by the guest's own events, before or after it
            self._job(item.job, item.kind, item.state)
        happened = HAPPENED.get(type(item))
        if happened is not None:
            name, fields = happened
            facts: dict[str, Value] = {
                f"frnGuestEvent{word}": getattr(item, attribute) for word, attribute in fields.items()
            }
            self._tell(News(name, item.uuid, entry.view, facts))

    def _host(self, item: AnyEvent) -> None:
        """What is no guest's."""
        if isinstance(item, HostJobEvent):
            self._job(item.job, item.kind, item.state)
        self._full(self.fabric.take(item))

    def _job(self, job: str, kind: str, state: str) -> None:
        self.stale_jobs = True
        if state in ENDED:
            self._tell(
                News("frnJobDone", job, None, {"frnJobId": job, "frnJobKind": kind, "frnJobState": ENDED[state]})
            )

    def _full(self, pools: Iterator[PoolView]) -> None:
        for pool in pools:
            self._tell(News("frnPoolFull", pool.uuid, None, {
                "frnPoolName": pool.name, "frnPoolCapacity": pool.capacity, "frnPoolAvailable": pool.available,
            }))  # fmt: skip

    def seen(self, pool: PoolView) -> None:
        """A pool's view as it was asked for."""
        self._full(self.fabric.seen(pool))

    def _put(self, view: GuestView, *, quiet: bool = False) -> Entry:
        """A guest's new view, with the notification that it makes due, unless it is to be put quietly."""
        entry = self.guests.get(view.uuid)
        if entry is None:
            entry = self.guests[view.uuid] = Entry(view, Places(), view.since, oper_state(view))
            self.changed += 1
            if self.connected and view.active:
                self._state(view)
            return entry
        now = oper_state(view)
        if view.active and not entry.view.active:
            entry.booted = view.since or time.time()
        entry.view = view
        if now != entry.told and not quiet:
            entry.told = now
            self._state(view)
        return entry

    def _state(self, view: GuestView) -> None:
        name = TOLD_OF.get(oper_state(view))
        if name is not None:
            self._tell(News(name, view.uuid, view))

    def _tell(self, news: News) -> None:
        if len(self.news) == MOST_NEWS:
            self.news.popleft()
            self.dropped += 1
        self.news.append(news)


ENDED = {"completed": 3, "failed": 4, "cancelled": 5}
"""frnJobState of a job that is over."""
HAPPENED: Mapping[type[GuestEvent], tuple[str, Mapping[str, str]]] = {
    events.IoErrorEvent: (
        "frnGuestIoError",
        {"Device": "device", "Path": "path", "Action": "action", "Reason": "reason"},
    ),
    events.WatchdogEvent: ("frnGuestWatchdog", {"Action": "action"}),
    events.DeviceRemovedEvent: ("frnGuestDeviceRemoved", {"Device": "device"}),
    events.DeviceRemovalFailedEvent: ("frnGuestDeviceRemovalFailed", {"Device": "device"}),
    events.RebootEvent: ("frnGuestRebooted", {}),
}
"""FRONTINUS-MIB's notification of an event, and the event's fields by the ends of the objects' names."""
KINDS = {kind: number for number, kind in enumerate(LIFECYCLE_DETAILS, 1)}


def lifecycle(item: LifecycleEvent, view: GuestView) -> News:
    """FRONTINUS-MIB's notification of a step in a guest's life."""
    facts: dict[str, Value] = {
        "frnGuestEvent": KINDS[item.kind],
        "frnGuestEventDetail": item.detail,
        "frnGuestEventReason": view.reason,
    }
    return News("frnGuestLifecycle", item.uuid, view, facts)
