"""The read model: what the engine's stream has told so far, and what of it is worth a notification. Pure."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from frontinus.api import events
from frontinus.api.events import AnyEvent, ChangedEvent, GuestEvent, LifecycleEvent
from frontinus.api.views import GuestStats, GuestView, Snapshot
from frontinus_snmp.details import Details
from frontinus_snmp.rows import Places, oper_state

CHANGES_XML = (LifecycleEvent, ChangedEvent, events.DeviceAddedEvent, events.DeviceRemovedEvent, events.DiskChangeEvent,
               events.BlockJobEvent)  # fmt: skip
"""Events after which a guest's XML may be another."""
NOTIFICATION_OF = {4: 1, 10: 2, 11: 3, 8: 4, 5: 5, 6: 6, 7: 7, 9: 8, 12: 9}
"""The notification's number by the VirtualMachineOperState that a guest came into."""
DELETED = 10
MOST_NEWS = 1000


@dataclass(frozen=True)
class News:
    """A notification that is due: its number, and the guest as it then was."""

    number: int
    view: GuestView


@dataclass(eq=False)
class Entry:
    """One guest. `details` are None until they are read, and again after what may have changed them."""

    view: GuestView
    places: Places
    booted: float
    details: Details | None = None
    known: Details | None = None
    """The details read last, shown until there are new ones."""
    figures: GuestStats | None = None


class Model:
    """All guests by UUID. `changed` counts guests that came or went."""

    def __init__(self) -> None:
        self.guests: dict[str, Entry] = {}
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
            return
        if not isinstance(item, GuestEvent):
            return
        view = item.guest if isinstance(item, (LifecycleEvent, ChangedEvent)) else None
        if isinstance(item, LifecycleEvent) and view is None:
            if (gone := self.guests.pop(item.uuid, None)) is not None:
                self.changed += 1
                self._tell(DELETED, gone.view)
            return
        entry = self.guests.get(item.uuid)
        if view is not None:
            entry = self._put(view)
        if entry is None:
            return
        if isinstance(item, LifecycleEvent) and item.kind == "started":
            entry.booted = item.time
        if isinstance(item, CHANGES_XML):
            entry.details = None

    def forget(self) -> None:
        """The engine is gone: nothing is known any more."""
        self.guests.clear()
        self.connected, self.generation = False, -1

    def _replace(self, snapshot: Snapshot) -> None:
        views = {view.uuid: view for view in snapshot.guests}
        for uuid in [uuid for uuid in self.guests if uuid not in views]:
            gone = self.guests.pop(uuid)
            self.changed += 1
            self._tell(DELETED, gone.view)
        for view in views.values():
            self._put(view).details = None
        self.connected = True

    def _put(self, view: GuestView) -> Entry:
        """A guest's new view, with the notification that it makes due."""
        entry = self.guests.get(view.uuid)
        if entry is None:
            entry = self.guests[view.uuid] = Entry(view, Places(), view.since)
            self.changed += 1
            if self.connected and view.active:
                self._tell(NOTIFICATION_OF.get(oper_state(view), 0), view)
            return entry
        before, now = oper_state(entry.view), oper_state(view)
        if view.active and not entry.view.active:
            entry.booted = view.since or time.time()
        entry.view = view
        if before != now:
            self._tell(NOTIFICATION_OF.get(now, 0), view)
        return entry

    def _tell(self, number: int, view: GuestView) -> None:
        if not number:
            return
        if len(self.news) == MOST_NEWS:
            self.news.popleft()
            self.dropped += 1
        self.news.append(News(number, view))
