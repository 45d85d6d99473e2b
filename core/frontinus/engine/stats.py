"""Statistics: figures of many guests in one round, shared by all who ask at once.

A round of a guest is one call of its hypervisor. Callers that come while it runs join it; figures young enough for a caller
are reused; a guest that does not answer within its deadline shows its last figures, marked stale, and delays no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from frontinus.api.errors import FrontinusError, InvalidValue
from frontinus.api.views import (
    STATS_GROUPS,
    BlockStats,
    CpuStats,
    GuestStats,
    InterfaceStats,
    IothreadStats,
    MemoryStats,
    StatsGroup,
    VcpuStats,
)
from frontinus.domain.guest import Guest
from frontinus.engine.record import Record, Running, current_vcpus
from frontinus.engine.world import World
from frontinus.ports import GuestFigures

DEADLINE = 2.0
"""Seconds that a guest has to answer before its figures go stale."""

GRACE = 0.05
"""Seconds that a guest has which did not answer the last time: it may not delay the others again."""

NEEDS = {"cpu": "cpu", "vcpu": "vcpu", "balloon": "memory", "memory": "memory", "interface": "interface",
         "block": "block", "iothread": "iothread"}  # fmt: skip
"""The hypervisor's group that each group of ours is made from."""


@dataclass
class Sample:
    """The last round of a guest, or the one under way."""

    groups: frozenset[str]
    task: asyncio.Task[GuestFigures]


class Statistics:
    """The use case, and the sampler behind it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._rounds: dict[str, Sample] = {}
        self._last: dict[str, tuple[frozenset[str], GuestFigures]] = {}

    async def stats(self, guests: Sequence[str] | None = None, groups: Sequence[StatsGroup] | None = None,
                    max_age: float = 0.0) -> list[GuestStats]:  # fmt: skip
        wanted = tuple(groups or STATS_GROUPS)
        for group in wanted:
            if group not in STATS_GROUPS:
                raise InvalidValue(f"unknown group '{group}'", field="groups")
        records = [self.world.guests.find(key) for key in guests] if guests is not None else list(self.world.guests)
        needed = frozenset(NEEDS[group] for group in wanted if group in NEEDS)
        self._forget(records)
        rounds = [self._round(record, needed, max_age) for record in records]
        await self._wait(records, rounds)
        return [
            _stats(record, self._figures(record, work), wanted) for record, work in zip(records, rounds, strict=True)
        ]

    async def _wait(self, records: Sequence[Record], rounds: Sequence[asyncio.Task[GuestFigures] | None]) -> None:
        """Wait for the rounds; for guests that did not answer the last time, no longer than it takes to see them back."""
        pairs = [(record, work) for record, work in zip(records, rounds, strict=True) if work is not None]
        hung = {work for record, work in pairs if (last := self._last.get(record.uuid)) and last[1].stale}
        if answering := [work for _, work in pairs if work not in hung]:
            await asyncio.wait(answering)
        if hung:
            await asyncio.wait(hung, timeout=GRACE)

    def _round(self, record: Record, groups: frozenset[str], max_age: float) -> asyncio.Task[GuestFigures] | None:
        """The round to wait for: a fresh enough one needs none, one under way is joined, else a new one starts."""
        running = record.running
        if running is None or not groups:
            return None
        last = self._last.get(record.uuid)
        if last and max_age > 0 and groups <= last[0] and time.time() - last[1].taken <= max_age:
            return None
        under_way = self._rounds.get(record.uuid)
        if under_way and groups <= under_way.groups and not under_way.task.done():
            return under_way.task
        task = asyncio.get_running_loop().create_task(self._sample(record.uuid, running, groups))
        self._rounds[record.uuid] = Sample(groups, task)
        return task

    async def _sample(self, uuid: str, running: Running, groups: frozenset[str]) -> GuestFigures:
        try:
            figures = await running.process.figures(sorted(groups), DEADLINE)
        except FrontinusError:
            _, figures = self._last.get(uuid, (groups, GuestFigures()))
            figures.stale = True
        self._last[uuid] = (groups, figures)
        return figures

    def _figures(self, record: Record, work: asyncio.Task[GuestFigures] | None) -> GuestFigures | None:
        if record.running is None:
            return None
        if work is not None and work.done():
            return work.result()
        last = self._last.get(record.uuid)
        return last[1] if last else None

    def _forget(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.running is None:
                self._rounds.pop(record.uuid, None)
                self._last.pop(record.uuid, None)


def _stats(record: Record, figures: GuestFigures | None, groups: Sequence[str]) -> GuestStats:
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
    )  # fmt: skip


def _vcpus(figures: GuestFigures) -> tuple[VcpuStats, ...]:
    return tuple(
        VcpuStats(index=index, time=values.get("time"), wait=values.get("wait"), delay=values.get("delay"),
                  halted=bool(values["halted"]) if "halted" in values else None)
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
    return tuple(
        BlockStats(index=index, name=disk.target or "", alias=disk.alias or "", path=disk.source_path,
                   **figures.blocks.get(disk.alias or "", {}))
        for index, disk in enumerate(guest.devices.disks)
    )  # fmt: skip
