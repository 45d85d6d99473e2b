"""The engine as the provider knows it: guests kept from its stream, their definitions read when they changed."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import cast

from frontinus.api import events
from frontinus.api.engine import Engine
from frontinus.api.errors import Denied, Disconnected, FrontinusError, NoSuchGuest
from frontinus.api.events import AnyEvent, ChangedEvent, GuestEvent, LifecycleEvent
from frontinus.api.identity import Identity
from frontinus.api.views import GuestView, HostView, Snapshot, VersionView
from frontinus.client.details import details
from frontinus.client.reconnect import stay_connected
from frontinus.client.remote import RemoteEngine, as_engine
from frontinus_cim.guest import Guest

log = logging.getLogger(__name__)

CHANGES_XML = (LifecycleEvent, ChangedEvent, events.DeviceAddedEvent, events.DeviceRemovedEvent, events.DiskChangeEvent,
               events.BlockJobEvent, events.BalloonChangeEvent, events.MetadataChangeEvent)  # fmt: skip
"""Events after which a guest's XML may be another."""
READERS = 8
"""Definitions that are read at once."""
PATIENCE = 5.0
"""Seconds that a request waits for definitions to be read, and for the news of what it changed."""
NOBODY = HostView(hostname="", uuid="", arch="", cpu_model="", cpus=0, sockets=0, cores=0, threads=0, numa_nodes=0,
                  memory=0, memory_free=0)  # fmt: skip

Listener = Callable[[Snapshot | AnyEvent, "Guest | None", GuestView | None], None]


class World:
    """What is known of the engine. `listeners` hear of each event, with the guest and its view before."""

    def __init__(self, manage: Path, monitor: Path, max_age: float = 5.0) -> None:
        self.host, self.version = NOBODY, VersionView(frontinus="", api=0, hypervisor="", hypervisor_version=(0, 0, 0))
        self.guests: dict[str, Guest] = {}
        self.named: dict[str, Guest] = {}
        self.generation = -1
        self.listeners: list[Listener] = []
        self.max_age = max_age
        self.started = time.time()
        self._manage, self._monitor = manage, monitor
        self._remote: RemoteEngine | None = None
        self._trusted = False
        self._stale: dict[str, Guest] = {}
        self._wanted, self._described, self._moved = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._taken = 0.0
        self._asking: asyncio.Task[None] | None = None

    # --- for those who ask

    @property
    def connected(self) -> bool:
        return self._remote is not None

    def engine(self, who: Identity) -> Engine:
        """The engine as a caller has it. Raises Disconnected, Denied."""
        if self._remote is None:
            raise Disconnected("the engine cannot be reached; is frontinusd running?")
        if not self._trusted:
            if not who.readonly:
                raise Denied("the engine does not let this provider speak for its users: nothing can be changed")
            return as_engine(self._remote)
        return as_engine(self._remote.speaking_for(who))

    @property
    def reader(self) -> Engine:
        """The engine for what everybody may read. Raises Disconnected."""
        return self.engine(Identity(uid=os.getuid(), gid=os.getgid(), readonly=True, on_behalf="cim"))

    async def settled(self) -> None:
        """Wait until the guests' definitions are known. Raises Disconnected without an engine."""
        if self._remote is None:
            raise Disconnected("the engine cannot be reached; is frontinusd running?")
        if not self._described.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._described.wait()

    async def refresh(self) -> None:
        """Figures that are young enough, in a round that all who ask at once share."""
        if time.monotonic() - self._taken <= self.max_age / 2:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.wait([self._asking], timeout=PATIENCE)

    async def _ask(self) -> None:
        asked = time.monotonic()
        with suppress(FrontinusError):
            for stats in await self.reader.stats(max_age=self.max_age / 2):
                if (guest := self.guests.get(stats.uuid)) is not None:
                    guest.figures = stats
            self._taken = asked

    async def caught_up(self, engine: Engine, uuid: str) -> None:
        """Wait until a guest is shown as the engine has it: who changed it is to read what it became."""
        with suppress(TimeoutError, FrontinusError):
            async with asyncio.timeout(PATIENCE):
                now = await _now(engine, uuid)
                while self._view(uuid) != now:
                    self._moved.clear()
                    await self._moved.wait()
        if (guest := self.guests.get(uuid)) is not None:
            self._mark([guest])
        await self.settled()

    def _view(self, uuid: str) -> GuestView | None:
        guest = self.guests.get(uuid)
        return guest.view if guest else None

    # --- the stream

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._describe())
            group.create_task(stay_connected(self._socket, self._with_manage))

    def _socket(self) -> Path:
        """The manage socket if this process may open it."""
        return self._monitor if self._manage.exists() and not os.access(self._manage, os.W_OK) else self._manage

    async def _with_manage(self, remote: RemoteEngine) -> None:
        me = Identity(uid=os.getuid(), gid=os.getgid(), readonly=True)
        try:
            await as_engine(remote.speaking_for(me)).version()
        except Denied:
            log.warning("the engine does not let uid %d speak for others: nothing can be changed", os.getuid())
            await self._follow(remote, trusted=False)
        else:
            await self._follow(remote, trusted=True)

    async def _follow(self, remote: RemoteEngine, *, trusted: bool) -> None:
        engine = as_engine(remote)
        try:
            self.version, self.host = await engine.version(), await engine.host()
            async with aclosing(cast("AsyncGenerator[Snapshot | AnyEvent, None]", engine.watch())) as stream:
                async for item in stream:
                    self.take(item)
                    self._remote, self._trusted = remote, trusted
                    self._moved.set()
        finally:
            self._remote, self._taken, self._asking = None, 0.0, None

    def take(self, item: Snapshot | AnyEvent) -> None:
        """One item of the stream."""
        self.generation = item.generation
        if isinstance(item, Snapshot):
            self._replace(item)
            self._tell(item, None, None)
            return
        if not isinstance(item, GuestEvent):
            self._tell(item, None, None)
            return
        guest = self.guests.get(item.uuid)
        before = guest.view if guest else None
        if isinstance(item, LifecycleEvent | ChangedEvent):
            if item.guest is not None:
                guest = self._put(item.guest)
            elif guest is not None:
                self._forget(guest)
        if guest is not None and isinstance(item, CHANGES_XML) and item.uuid in self.guests:
            self._mark([guest])
        self._tell(item, guest, before)

    def _tell(self, item: Snapshot | AnyEvent, guest: Guest | None, before: GuestView | None) -> None:
        for listener in self.listeners:
            listener(item, guest, before)

    def _replace(self, snapshot: Snapshot) -> None:
        views = {view.uuid: view for view in snapshot.guests}
        for guest in [guest for uuid, guest in self.guests.items() if uuid not in views]:
            self._forget(guest)
        self._mark([self._put(view) for view in views.values()])
        self._settle()

    def _put(self, view: GuestView) -> Guest:
        guest = self.guests.get(view.uuid)
        if guest is None:
            guest = self.guests[view.uuid] = Guest(view, self.host.hostname)
        elif self.named.get(guest.name) is guest:
            del self.named[guest.name]
        guest.host = self.host.hostname
        guest.show(view)
        self.named[view.name] = guest
        return guest

    def _forget(self, guest: Guest) -> None:
        self.guests.pop(guest.view.uuid, None)
        self._stale.pop(guest.view.uuid, None)
        if self.named.get(guest.name) is guest:
            del self.named[guest.name]

    # --- definitions

    def _mark(self, guests: Iterable[Guest]) -> None:
        for guest in guests:
            guest.stale = True
            self._stale[guest.view.uuid] = guest
        if self._stale:
            self._described.clear()
            self._wanted.set()

    def _settle(self) -> None:
        if not self._stale:
            self._described.set()

    async def _describe(self) -> None:
        """Read what is not known, for as long as the process lives."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            batch, self._stale = self._stale, {}
            few = asyncio.Semaphore(READERS)
            results = await asyncio.gather(
                *[self._read(few, guest) for guest in batch.values()], return_exceptions=True
            )
            for problem in (result for result in results if isinstance(result, Exception)):
                log.error("a definition could not be read: %s", problem)
            self._settle()

    async def _read(self, few: asyncio.Semaphore, guest: Guest) -> None:
        async with few:
            view = guest.view
            if self._remote is None:
                return
            try:
                found = details(await self.reader.guest_xml(view.uuid))
            except (NoSuchGuest, Disconnected):
                return  # the stream tells of the former, and a new connection starts anew
            if guest.view is view or view.uuid not in self._stale:
                guest.describe(found)


async def _now(engine: Engine, uuid: str) -> GuestView | None:
    try:
        return await engine.guest(uuid)
    except NoSuchGuest:
        return None
