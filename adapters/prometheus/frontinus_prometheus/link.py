"""The connection to the engine: keeps the read model, asks for figures once however many scrape, comes back when lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from frontinus.api.figures import EngineFigures, HostFigures
from frontinus.api.views import STATS_GROUPS, GuestStats, HostView, StatsGroup, VersionView
from frontinus.client.reconnect import stay_connected
from frontinus.client.remote import RemoteEngine, as_engine
from frontinus_prometheus.details import details
from frontinus_prometheus.labels import Place
from frontinus_prometheus.model import Entry, Model

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from frontinus.api.events import AnyEvent
    from frontinus.api.views import Snapshot
    from frontinus_prometheus.own import Own

log = logging.getLogger(__name__)
READERS = 16
"""Definitions that are read at once."""


@dataclass(frozen=True)
class Round:
    """One answer of the engine. `rendered` keeps the texts made from it, for those who scrape at once."""

    stats: Sequence[GuestStats] = ()
    fresh: bool = False
    host: HostFigures | None = None
    engine: EngineFigures | None = None
    rendered: dict[object, Sequence[bytes]] = field(default_factory=dict, compare=False)


class Link:
    """Call `run` as a task. `max_age`: seconds that figures may be old; `deadline`: seconds that a scrape waits for them;
    `agent`: what the guests' agents tell is wanted too."""

    def __init__(self, path: Path, own: Own, *, max_age: float, deadline: float, agent: bool = False,
                 places: Mapping[str, Place] | None = None) -> None:  # fmt: skip
        self.path, self.max_age, self.deadline = path, max_age, deadline
        self.places = places or {}
        self._groups: Sequence[StatsGroup] | None = (*STATS_GROUPS, "agent") if agent else None
        self.model = Model()
        self.version: VersionView | None = None
        self.host: HostView | None = None
        self._own = own
        self._engine: Engine | None = None
        self._last = Round()
        self._asking: asyncio.Task[Round] | None = None
        self._describing = asyncio.Lock()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await stay_connected(self.path, self._follow)

    async def round(self, guests: Sequence[str] | None = None, *, end: float | None = None) -> Round:
        """Figures of all guests in a round that all who ask at once share, or of some guests.

        Past `end` (the loop's time; default: `deadline` from now) they are the last round's, not `fresh`; without an engine
        there are none.
        """
        engine, loop = self._engine, asyncio.get_running_loop()
        if engine is None:
            return Round()
        task = self._shared(engine) if guests is None else asyncio.ensure_future(self._ask(engine, guests))
        left = self.deadline if end is None else max(0.0, end - loop.time())
        done, _ = await asyncio.wait([task], timeout=left)
        if done:
            return task.result()
        if task is not self._asking:
            task.cancel()  # nobody else waits for it
        self._own.late.inc()
        return Round(self._last.stats, fresh=False)

    async def begin(self) -> None:
        """Have the engine work on a round of all guests, which whoever asks for it meanwhile shares."""
        if self._engine is not None:
            self._shared(self._engine)
            await asyncio.sleep(0)  # the question is sent

    def _shared(self, engine: Engine) -> asyncio.Task[Round]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask(engine, None))
        return self._asking

    async def describe(self, guests: Sequence[str] | None = None, *, end: float | None = None) -> None:
        """Read the XML of all or some guests whose details are not known, until `end`; the rest stay without for now."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(loop.time() + self.deadline if end is None else end), self._describing:
                await self._describe(guests)

    async def _describe(self, guests: Sequence[str] | None) -> None:
        known = self.model.guests
        wanted = [(uuid, known[uuid]) for uuid in guests or known if uuid in known and known[uuid].details is None]
        engine, few = self._engine, asyncio.Semaphore(READERS)
        if engine is None or not wanted:
            return
        try:
            await asyncio.gather(*[self._read(engine, few, uuid, entry) for uuid, entry in wanted])
        finally:
            self.model.version += 1

    async def _read(self, engine: Engine, few: asyncio.Semaphore, uuid: str, entry: Entry) -> None:
        """The details of one guest, unless it changes meanwhile or is gone."""
        async with few:
            version = entry.version
            with suppress(FrontinusError):
                found = details(await engine.guest_xml(uuid), self.places)
                if entry.version == version:
                    entry.details = found
                    entry.version += 1

    async def _ask(self, engine: Engine, guests: Sequence[str] | None) -> Round:
        with self._own.asking.time():
            try:
                told = await engine.poll(guests=guests, groups=self._groups, max_age=self.max_age)
                found = Round(told.guests, fresh=True, host=told.host, engine=told.engine)
            except FrontinusError as error:
                self._own.failures.labels(error.code).inc()
                return Round(self._last.stats if engine is self._engine else ())
        if guests is None and engine is self._engine:
            self._last = found
        return found

    async def _follow(self, remote: RemoteEngine) -> None:
        """Feed the model until the connection ends."""
        engine = as_engine(remote)
        try:
            self.version, self.host = await engine.version(), await engine.host()
            async with aclosing(cast("AsyncGenerator[Snapshot | AnyEvent, None]", engine.watch())) as stream:
                async for item in stream:
                    self.model.take(item)
                    self._own.items.inc()
                    if self._engine is None:
                        self._engine = engine
                        self._own.connections.inc()
                        log.info("connected to the engine at %s: %d guests", self.path, len(self.model.guests))
        finally:
            self._engine, self._last, self._asking = None, Round(), None
            self.version = self.host = None
            self.model.forget()
