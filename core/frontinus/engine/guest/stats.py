"""Statistics: figures of many guests in one round, shared by all who ask at once.

A round of a guest is one call of its hypervisor. Callers that come while it runs join it; figures young enough for a caller
are reused; a guest that does not answer within its deadline shows its last figures, marked stale, and delays no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from frontinus import procfs
from frontinus.api.errors import FrontinusError, InvalidValue
from frontinus.api.figures import DirtyRateMode, EngineFigures, Poll
from frontinus.api.views import (
    STATS_GROUPS,
    AgentStats,
    BlockStats,
    CpuStats,
    DirtyRate,
    GroupStats,
    GuestStats,
    InterfaceStats,
    IothreadStats,
    JobView,
    LatencyHistogram,
    MemoryStats,
    MonitorStats,
    StatsGroup,
    VcpuStats,
)
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.guest import Guest
from frontinus.domain.resctrl import MEASURES, name_of, shares
from frontinus.engine.block.progress import Progress
from frontinus.engine.guest.agent import AgentDesk
from frontinus.engine.guest.agentfacts import AgentFacts
from frontinus.engine.record import Record, current_vcpus
from frontinus.engine.world import World
from frontinus.ports import GuestFigures

log = logging.getLogger(__name__)

DEADLINE = 2.0
"""Seconds that a guest has to answer before its figures go stale."""

GRACE = 0.05
"""Seconds that a guest has which did not answer the last time: it may not delay the others again."""

STARTED = time.time()
"""When this process began its work, Unix time."""

NEEDS = {"cpu": "cpu", "vcpu": "vcpu", "balloon": "memory", "memory": "memory", "interface": "interface",
         "block": "block", "iothread": "iothread", "dirtyrate": "dirtyrate"}  # fmt: skip
"""The hypervisor's group that each group of ours is made from."""


Round = asyncio.Future[GuestFigures]
AT_ONCE = 50
"""Guests whose figures are put together before others have a turn: some milliseconds."""


@dataclass
class Sample:
    """The last round of a guest, or the one under way."""

    groups: frozenset[str]
    round: Round


@dataclass
class Asked:
    """What a caller wants, and the rounds that it waits for; None for a guest whose last figures will do."""

    groups: Sequence[StatsGroup]
    records: Sequence[Record]
    rounds: Sequence[Round | None]


class Statistics:
    """The use case, and the sampler behind it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._rounds: dict[str, Sample] = {}
        self._last: dict[str, tuple[frozenset[str], GuestFigures]] = {}
        self._agents = AgentFacts(AgentDesk(world))
        self._progress = Progress(world)
        self._sampled = self._shared = 0

    async def stats(self, guests: Sequence[str] | None = None, groups: Sequence[StatsGroup] | None = None,
                    max_age: float = 0.0) -> list[GuestStats]:  # fmt: skip
        return await self._answer(self._ask(guests, groups, max_age))

    async def poll(self, guests: Sequence[str] | None = None, groups: Sequence[StatsGroup] | None = None,
                   max_age: float = 0.0) -> Poll:  # fmt: skip
        asked = self._ask(guests, groups, max_age)
        host = self.world.node.figures()  # while the guests' hypervisors work
        return Poll(guests=await self._answer(asked), host=host, engine=self._engine())

    def _ask(self, guests: Sequence[str] | None, groups: Sequence[StatsGroup] | None, max_age: float) -> Asked:
        """Have all rounds begun that are needed."""
        wanted = tuple(groups or STATS_GROUPS)
        for group in wanted:
            if group not in typing.get_args(StatsGroup):
                raise InvalidValue(f"unknown group '{group}'", field="groups")
        records = [self.world.guests.find(key) for key in guests] if guests is not None else list(self.world.guests)
        needed = frozenset(NEEDS[group] for group in wanted if group in NEEDS)
        self._forget()
        return Asked(wanted, records, [self._round(record, needed, max_age) for record in records])

    async def _answer(self, asked: Asked) -> list[GuestStats]:
        wanted, records = asked.groups, asked.records
        groups = [self._group(record) if "cgroup" in wanted else None for record in records]
        await self._wait(asked)
        if "agent" in wanted:
            await self._agents.refresh(records)
        jobs = await self._progress.under_way(records) if "job" in wanted else {}
        answers: list[GuestStats] = []
        for record, round, group in zip(records, asked.rounds, groups, strict=True):
            others = Others(jobs.get(record.uuid, ()), group, self._agents.of(record) if "agent" in wanted else None,
                            tuple(self._monitors(record, wanted)))  # fmt: skip
            answers.append(_stats(record, self._figures(record, round), wanted, others))
            if len(answers) % AT_ONCE == 0:
                await asyncio.sleep(0)
        return answers

    def _group(self, record: Record) -> GroupStats | None:
        running = record.running
        return self.world.limits.figures(running.process.record.folder) if running is not None else None

    def _monitors(self, record: Record, wanted: Sequence[str]) -> Iterator[MonitorStats]:
        running = record.running
        if running is None:
            return
        for share in shares(running.guest):
            for vcpus, element in share.monitors:
                kind, files = MEASURES[element]
                if ("memory" if kind == "bandwidth" else "cpu") in wanted:
                    told = {name: self.world.limits.measured(running.process.record.folder, vcpus, file)
                            for file, name in files.items()}  # fmt: skip
                    yield MonitorStats(kind=kind, name=name_of(vcpus), vcpus=vcpus, values=told)

    def _engine(self) -> EngineFigures:
        world = self.world
        return EngineFigures(
            started=STARTED, cpu=time.process_time_ns(), rss=procfs.rss(), generation=world.bus.generation,
            guests=len(world.guests), watchers=world.bus.readers, resyncs=world.bus.resyncs,
            jobs=world.jobs.running, rounds=self._sampled, shared=self._shared,
            stale=sum(figures.stale for _, figures in self._last.values()), restarts=dict(world.restarts),
            monitor=world.hypervisor.traffic(),
        )  # fmt: skip

    async def measure_dirty_rate(self, guest: str, seconds: int = 1, mode: DirtyRateMode = "page-sampling") -> None:
        if not 1 <= seconds <= 60:
            raise InvalidValue("a measurement takes 1 to 60 seconds", field="seconds")
        if mode not in typing.get_args(DirtyRateMode):
            raise InvalidValue(f"unknown mode '{mode}'", field="mode")
        await self.world.guests.find(guest).need_running().process.measure_dirty_rate(seconds, mode)

    async def _wait(self, asked: Asked) -> None:
        """Wait for the rounds; for guests that did not answer the last time, no longer than it takes to see them back."""
        pairs = zip(asked.records, asked.rounds, strict=True)
        waiting = [(record, round) for record, round in pairs if round is not None and not round.done()]
        hung = {round for record, round in waiting if (last := self._last.get(record.uuid)) and last[1].stale}
        if answering := [round for _, round in waiting if round not in hung]:
            await asyncio.wait(answering)
        if hung:
            await asyncio.wait(hung, timeout=GRACE)

    def _round(self, record: Record, groups: frozenset[str], max_age: float) -> Round | None:
        """The round to wait for: a fresh enough one needs none, one under way is joined, else a new one starts."""
        running, uuid = record.running, record.uuid
        if running is None or not groups:
            return None
        last = self._last.get(uuid)
        if last and max_age > 0 and groups <= last[0] and time.time() - last[1].taken <= max_age:
            self._shared += 1
            return None
        under_way = self._rounds.get(uuid)
        if under_way and groups <= under_way.groups and not under_way.round.done():
            self._shared += 1
            return under_way.round
        self._sampled += 1
        round = asyncio.ensure_future(running.process.figures(sorted(groups), DEADLINE))
        self._rounds[uuid] = Sample(groups, round)
        if round.done():
            self._took(uuid, groups, round)
        else:
            round.add_done_callback(partial(self._took, uuid, groups))
        return round

    def _took(self, uuid: str, groups: frozenset[str], round: Round) -> None:
        """A round is over: its figures are the last ones, or the last ones are old now."""
        if round.cancelled():
            return
        error = round.exception()
        if error is None:
            self._last[uuid] = groups, round.result()
            return
        if not isinstance(error, FrontinusError):
            log.error("the figures of %s failed unexpectedly", uuid, exc_info=error)
        _, figures = self._last.setdefault(uuid, (groups, GuestFigures()))
        figures.stale = True

    def _figures(self, record: Record, round: Round | None) -> GuestFigures | None:
        if record.running is None:
            return None
        if round is not None and round.done() and not round.cancelled() and round.exception() is None:
            return round.result()
        last = self._last.get(record.uuid)
        return last[1] if last else None

    def _forget(self) -> None:
        """Drop what is kept of guests that do not run, or are no more."""
        kept: Sequence[dict[str, Any]] = (self._rounds, self._last, self._agents.known)
        for book in kept:
            for uuid in [uuid for uuid in book if not self._runs(uuid)]:
                del book[uuid]

    def _runs(self, uuid: str) -> bool:
        record = self.world.guests.get(uuid)
        return record is not None and record.running is not None


class Others(NamedTuple):
    """What is known of a guest from elsewhere than its hypervisor."""

    jobs: tuple[JobView, ...]
    group: GroupStats | None
    agent: AgentStats | None
    monitors: tuple[MonitorStats, ...]


def _stats(record: Record, figures: GuestFigures | None, groups: Sequence[str], others: Others) -> GuestStats:
    guest = record.guest
    shown = figures or GuestFigures()
    return GuestStats(
        uuid=record.uuid, name=record.name, id=guest.id if record.running else None, state=record.state,
        reason=record.reason, taken=shown.taken, stale=shown.stale,
        cpu=CpuStats(**shown.cpu) if figures and "cpu" in groups else None,
        vcpus_current=current_vcpus(guest) if "vcpu" in groups else None,
        vcpus_maximum=(guest.vcpus or 1) if "vcpu" in groups else None,
        vcpus=_vcpus(shown) if "vcpu" in groups else (),
        memory=_memory(guest, shown) if "balloon" in groups or "memory" in groups else None,
        interfaces=_interfaces(guest, shown) if "interface" in groups else (),
        blocks=_blocks(guest, shown) if "block" in groups else (),
        iothreads=tuple(IothreadStats(id=n, **v) for n, v in shown.iothreads.items()) if "iothread" in groups else (),
        jobs=others.jobs, group=others.group, agent=others.agent, dirty_rate=_dirty_rate(shown) if "dirtyrate" in groups else None,
        started=record.running.started if record.running else None, monitors=others.monitors,
    )  # fmt: skip


def _vcpus(figures: GuestFigures) -> tuple[VcpuStats, ...]:
    return tuple(
        VcpuStats(index=index, time=values.get("time"), wait=values.get("wait"), delay=values.get("delay"),
                  halted=bool(values["halted"]) if "halted" in values else None, cpu=values.get("cpu"))
        for index, values in figures.vcpus.items()
    )  # fmt: skip


def _memory(guest: Guest, figures: GuestFigures) -> MemoryStats:
    values: dict[str, int | None] = {"current": guest.current_memory or guest.memory, "maximum": guest.memory}
    return MemoryStats(**{**values, **figures.memory})


def _interfaces(guest: Guest, figures: GuestFigures) -> tuple[InterfaceStats, ...]:
    return tuple(
        InterfaceStats(index=index, name=nic.target or nic.alias or f"net{index}", alias=nic.alias or "", mac=nic.mac or "",
                       **figures.interfaces.get(nic.alias or "", {}))
        for index, nic in enumerate(guest.devices.interfaces)
    )  # fmt: skip


def _blocks(guest: Guest, figures: GuestFigures) -> tuple[BlockStats, ...]:
    return tuple(_block(index, disk, figures) for index, disk in enumerate(guest.devices.disks))


def _block(index: int, disk: Disk, figures: GuestFigures) -> BlockStats:
    alias = disk.alias or ""
    kept = {
        what: LatencyHistogram(bounds=bounds, counts=counts)
        for what, (bounds, counts) in figures.latencies.get(alias, {}).items()
    }
    return BlockStats(
        index=index, name=disk.target or "", alias=alias, path=disk.source_path, read_latency=kept.get("read"),
        write_latency=kept.get("write"), flush_latency=kept.get("flush"), **figures.blocks.get(alias, {}),
    )  # fmt: skip


def _dirty_rate(figures: GuestFigures) -> DirtyRate | None:
    if figures.dirty_rate is None:
        return None
    began, seconds, rate = figures.dirty_rate
    return DirtyRate(began=began, seconds=seconds, rate=rate)
