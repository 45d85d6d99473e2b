"""The connection to the engine: feeds the model, publishes it as the tree, asks for figures once however many poll."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from frontinus import __version__
from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from frontinus.client.reconnect import stay_connected
from frontinus.client.remote import RemoteEngine, as_engine
from frontinus_snmp import rtnetlink
from frontinus_snmp.details import EMPTY, details
from frontinus_snmp.hostside import HostSide
from frontinus_snmp.model import Entry, Model, News
from frontinus_snmp.objects import MODULES
from frontinus_snmp.objects.kinds import Module
from frontinus_snmp.rows import Guest, State
from frontinus_snmp.rtnetlink import LinkStats
from frontinus_snmp.store import Numbers
from frontinus_snmp.tree import Tree

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from frontinus.api.events import AnyEvent
    from frontinus.api.views import Snapshot

log = logging.getLogger(__name__)
READERS = 16
"""Definitions that are read at once."""
GATHER = 0.05
"""Seconds in which changes are gathered before they are published."""
SHOWN = 2.0
"""Seconds that a change may take to show before its answer is sent all the same."""
DEADLINE = 3.0
"""Seconds that definitions may take before the tree is published without the rest."""


class Link:
    """Call `run` as a task. `tell` gets the notifications that are due, after the tree shows what they speak of."""

    def __init__(self, path: Path, state: State, numbers: Numbers, *, max_age: float,
                 tell: Callable[[News], None] = lambda news: None, modules: Sequence[Module] = MODULES,
                 pool_full: float = 90.0) -> None:  # fmt: skip
        self.path, self.max_age = path, max_age
        self._spent = 0.0
        self.model = Model(pool_full)
        self.host = HostSide(state, self.model, numbers.path.parent)
        self.tree = Tree(state, modules)
        self.generation = -1
        """The engine's generation up to which the tree shows the guests; -1 without an engine."""
        self._state, self._numbers, self._tell = state, numbers, tell
        self._engine: Engine | None = None
        self._taken = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._dirty = asyncio.Event()
        self._published = asyncio.Condition()
        self._guests: dict[str, Guest] = {}
        self._changed = 0
        state.description = f"Frontinus {__version__} on {platform.system()} {platform.release()} {platform.machine()}"
        state.version, state.hostname = __version__, platform.node()
        state.numbers, state.numbering = numbers.numbers, numbers

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish())
            group.create_task(stay_connected(self.path, self._follow))

    def usable(self) -> bool:
        """Whether the figures are young enough to answer from. Those that are not quite young any more are asked for anew.

        Of `max_age` a quarter may pass in the engine, a quarter before new ones are wanted, and half until they must be here.
        """
        age = time.monotonic() - self._taken
        if self._engine is None or age <= self.max_age / 4:
            return True
        if age > self.max_age * 3 / 4:
            return False
        self._begin(self._engine)
        return True

    async def refresh(self, seconds: float) -> None:
        """New figures, in a round that all who ask at once share; past the deadline those of before are shown."""
        if self._engine is not None:
            await asyncio.wait([self._begin(self._engine)], timeout=seconds)

    def _begin(self, engine: Engine) -> asyncio.Task[None]:
        """The round that is under way, or a new one."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(engine))
        return self._asking

    async def shows(self, generation: int) -> None:
        """Wait until the tree shows what the engine told up to there, or long enough."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOWN), self._published:
                await self._published.wait_for(lambda: self.generation >= generation or self._engine is None)

    async def _ask(self, engine: Engine) -> None:
        asked = time.monotonic()
        try:
            found = await engine.stats(max_age=self.max_age / 4)
        except FrontinusError as error:
            log.warning("no figures: %s", error.message)
            return
        if engine is not self._engine:
            return
        links = await asyncio.to_thread(rtnetlink.links)
        await self.host.measure(engine)
        for stats in found:
            if (entry := self.model.guests.get(stats.uuid)) is not None:
                entry.figures = stats
        self._taken = asked
        self._state.links = links
        self._copy(links)
        self.tree.fill(figures_only=True)

    # --- the stream

    async def _follow(self, remote: RemoteEngine) -> None:
        """Feed the model until the connection ends."""
        engine, state = as_engine(remote), self._state
        try:
            version = await engine.version()
            state.hypervisor = version.hypervisor
            state.hypervisor_version = ".".join(map(str, version.hypervisor_version))
            state.connected = time.monotonic()
            async with aclosing(cast("AsyncGenerator[Snapshot | AnyEvent, None]", engine.watch())) as stream:
                async for item in stream:
                    self.model.take(item)
                    self._engine = engine
                    self._dirty.set()
        finally:
            self._engine, self._asking, self._taken = None, None, 0.0
            state.connected, state.last_change = 0.0, 0
            self.model.forget()
            self.host.forget()
            self._dirty.set()

    # --- publishing

    async def _publish(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(max(GATHER, 3 * self._spent))  # a storm of changes takes a quarter of the time at most
            self._dirty.clear()
            try:
                await asyncio.to_thread(self._numbers.learn, list(self.model.guests))
            except OSError as error:
                log.error("new guests are not shown, for their numbers cannot be kept: %s", error)
            if self._engine is not None:
                await self.host.read(self._engine)
            began = time.monotonic()
            self._show()
            self._spent = time.monotonic() - began
            async with self._published:
                self._published.notify_all()
            await self._describe()

    def _show(self) -> None:
        """Publish the model as it is, and then what there is to tell."""
        numbers, generation = self._numbers.numbers, self.model.generation
        known = {uuid: entry for uuid, entry in self.model.guests.items() if uuid in numbers}
        if set(known) != set(self._guests):
            self._guests = {uuid: self._guests.get(uuid) or Guest(numbers[uuid], known[uuid].view, known[uuid].places)
                            for uuid in sorted(known, key=numbers.__getitem__)}  # fmt: skip
            self._taken = 0.0
        if self._changed != self.model.changed and self._state.connected:
            self._changed = self.model.changed
            self._state.last_change = self._state.ticks(self._state.connected)
        self._state.guests = list(self._guests.values())
        self.host.show()
        self._copy()
        self.tree.fill()
        self.generation = generation
        self._state.counters["notificationsDropped"] += self.model.dropped
        self.model.dropped = 0
        while self.model.news:
            self._tell(self.model.news.popleft())

    def _copy(self, links: Mapping[str, LinkStats] | None = None) -> None:
        """What the model knows, into the rows' guests."""
        now = time.time()
        for uuid, guest in self._guests.items():
            entry = self.model.guests.get(uuid)
            if entry is None:
                continue
            if entry.view.active != guest.view.active:
                self._taken = 0.0
            guest.view, guest.booted, guest.figures, guest.now = entry.view, entry.booted, entry.figures, now
            guest.places = entry.places
            guest.details = entry.details or entry.known or EMPTY
            if links is not None:
                guest.links = links

    async def _describe(self) -> None:
        """Read the XML of the guests whose details are not known, within the deadline, and publish it."""
        wanted = [(uuid, entry) for uuid, entry in self.model.guests.items() if entry.details is None]
        engine, few = self._engine, asyncio.Semaphore(READERS)
        if engine is None or not wanted:
            return
        before = [entry.known for _, entry in wanted]
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(*[self._read(engine, few, uuid, entry) for uuid, entry in wanted])
        except TimeoutError:
            self._dirty.set()  # the rest comes in the next round
        if [entry.known for _, entry in wanted] != before:
            self._taken = 0.0
            self._copy()
            self.tree.fill()

    async def _read(self, engine: Engine, few: asyncio.Semaphore, uuid: str, entry: Entry) -> None:
        async with few:
            view = entry.view
            with suppress(FrontinusError):
                found = details(await engine.guest_xml(uuid))
                if entry.view is view:
                    entry.details = entry.known = found
