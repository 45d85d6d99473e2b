"""The connection to the engine: the mirror of what it has, kept from its stream, and calls on behalf of users."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from frontinus.api.engine import Engine
from frontinus.api.errors import Denied, Disconnected, FrontinusError, NoSuchGuest
from frontinus.api.events import AnyEvent, HostJobEvent, JobEvent
from frontinus.api.identity import Identity
from frontinus.api.views import GuestView, HostView, Snapshot, VersionView
from frontinus.client.details import parse
from frontinus.client.reconnect import stay_connected
from frontinus.client.remote import RemoteEngine, as_engine
from frontinus_cim.host.guest import Guest
from frontinus_cim.host.jobs import Jobs
from frontinus_cim.host.mirror import Documented, Mirror

if TYPE_CHECKING:
    from frontinus_cim.subscriptions.store import Subscriptions

log = logging.getLogger(__name__)

READERS = 8
"""Definitions that are read at once."""
PATIENCE = 5.0
"""Seconds that a request waits for definitions to be read, and for the news of what it changed."""
NOBODY = HostView(hostname="", uuid="", arch="", cpu_model="", cpus=0, sockets=0, cores=0, threads=0, numa_nodes=0,
                  memory=0, memory_free=0)  # fmt: skip

Listener = Callable[[Snapshot | AnyEvent, "Guest | None", GuestView | None], None]


class World(Mirror):
    """What is known of the engine. `listeners` hear of each event, with the guest and its view before; `read_listeners` of
    what was read anew."""

    def __init__(self, manage: Path, monitor: Path, subscriptions: Subscriptions, max_age: float = 5.0) -> None:
        super().__init__()
        self.host, self.version = NOBODY, VersionView(frontinus="", api=0, hypervisor="", hypervisor_version=(0, 0, 0))
        self.most_vcpus: int | None = None
        """Processors that a guest can have: those of the machine that takes most; None if that is not known."""
        self.listeners: list[Listener] = []
        self.read_listeners: list[Callable[[Documented], None]] = []
        self.jobs = Jobs()
        self.subscriptions = subscriptions
        self.max_age = max_age
        self.started = time.time()
        self._manage, self._monitor = manage, monitor
        self._remote: RemoteEngine | None = None
        self._trusted = False
        self._reading = 0
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

    async def refresh_guest(self, guest: Guest) -> None:
        """Figures of one guest that are young enough; the others are left alone, however many there are."""
        if not guest.view.active or (guest.figures and time.time() - guest.figures.taken <= self.max_age / 2):
            return
        with suppress(FrontinusError):
            for stats in await self.reader.stats([guest.view.uuid], max_age=self.max_age / 2):
                guest.figures = stats

    async def caught_up(self, engine: Engine, uuid: str) -> None:
        """Wait until a guest is shown as the engine has it: who changed it is to read what it became."""
        with suppress(FrontinusError):
            now = await _now(engine, uuid)
            await self._moved_to(lambda: self._view(uuid) == now)
        if (guest := self.guests.get(uuid)) is not None:
            self.mark(guest)
        await self.settled()

    async def shows(self, condition: Callable[[], bool], *changed: Documented) -> None:
        """Wait until what was changed is shown, and read these documents anew."""
        await self._moved_to(condition)
        self.mark(*changed)
        await self.settled()

    async def _moved_to(self, condition: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._moved.clear()
                    await self._moved.wait()

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
            self.hostname, self.most_vcpus = self.host.hostname, await _most_vcpus(engine)
            async with aclosing(cast("AsyncGenerator[Snapshot | AnyEvent, None]", engine.watch())) as stream:
                async for item in stream:
                    self._remote, self._trusted = remote, trusted
                    guest, before = self.take(item)
                    if isinstance(item, JobEvent | HostJobEvent):
                        name = item.name if isinstance(item, JobEvent) else None
                        self.jobs.engine_job(item.job, item.kind, item.state, name)
                    self._moved.set()
                    for listener in self.listeners:
                        listener(item, guest, before)
        finally:
            self._remote, self._taken, self._asking = None, 0.0, None

    # --- documents

    def mark(self, *changed: Documented) -> None:
        super().mark(*changed)
        if self.stale:
            self._described.clear()
            self._wanted.set()
        elif not self._reading:
            self._described.set()

    async def _describe(self) -> None:
        """Read what is not known, for as long as the process lives."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            batch, self.stale = list(self.stale.values()), {}
            few, self._reading = asyncio.Semaphore(READERS), 1
            await asyncio.gather(*[self._read(few, one) for one in batch])
            self._reading = 0
            if not self.stale:
                self._described.set()

    async def _read(self, few: asyncio.Semaphore, one: Documented) -> None:
        async with few:
            if self._remote is None:
                return
            try:
                await one.read(self.reader)
            except FrontinusError as error:  # it is gone, which the stream tells, or the engine is
                log.debug("a document could not be read: %s", error.message)
            except Exception:
                log.exception("a document could not be read")
            for listener in self.read_listeners:
                listener(one)


async def _most_vcpus(engine: Engine) -> int | None:
    """maxCpus of the machines of the host's emulator (query-machines), as the capabilities tell them."""
    try:
        found = parse(await engine.capabilities())
    except FrontinusError:
        return None
    counts = [machine.get("maxCpus", "") for machine in found.iterfind("guest/arch/machine")]
    return max((int(count) for count in counts if count.isdecimal()), default=None)


async def _now(engine: Engine, uuid: str) -> GuestView | None:
    try:
        return await engine.guest(uuid)
    except NoSuchGuest:
        return None
