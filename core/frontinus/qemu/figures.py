"""The figures of one guest: QMP in one write for what only QEMU knows, /proc and netlink for the rest.

Names of the figures are those of the facade's statistics.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from frontinus.api.errors import FrontinusError, Unresponsive
from frontinus.ports.hypervisor import GuestFigures
from frontinus.procfs import ProcessFigures
from frontinus.qemu.figure_answers import (
    Backend,
    Balloon,
    Block,
    Child,
    Cpu,
    DirtyRate,
    GuestStats,
    Iothread,
    counters,
    latencies,
)
from frontinus.qemu.links import LinkCounters
from frontinus.qemu.monitor.client import Answer, Command, Monitor
from frontinus.qemu.news import device_of

T = TypeVar("T")
U = TypeVar("U")

UNKNOWN = 2**64 - 1
"""The balloon's word for a statistic that the guest's driver does not tell."""

BALLOON: Mapping[str, str] = {
    "stat-free-memory": "unused", "stat-total-memory": "available", "stat-available-memory": "usable",
    "stat-disk-caches": "disk_caches", "stat-swap-in": "swap_in", "stat-swap-out": "swap_out",
    "stat-major-faults": "major_faults", "stat-minor-faults": "minor_faults", "stat-htlb-pgalloc": "hugetlb_pgalloc",
    "stat-htlb-pgfail": "hugetlb_pgfail",
}  # fmt: skip


PERIPHERAL = Command("qom-list", {"path": "/machine/peripheral"})
CPUS = Command("query-cpus-fast")
BLOCKS = Command("query-block")
BLOCK_STATS = Command("query-blockstats")
BALLOON_SIZE = Command("query-balloon")
IOTHREADS = Command("query-iothreads")
SLOW_AGE, OLDEST = 10.0, 60.0
"""Seconds after which sizes of images, and a balloon whose guest told nothing, are asked about: after a round, or with it."""
PAUSE = 0.25
"""Seconds after a round of one guest, in which those of the others have the machine to themselves."""
LATENCY_BOUNDS = (100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000,
                  100_000_000, 250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000)  # fmt: skip
"""Bounds of the histograms that QEMU is asked to keep of each disk, ns."""


DIRTY_RATE = Command("query-dirty-rate")

Use = Callable[[GuestFigures, Answer], None]
"""Takes an answer into the figures."""


@dataclass
class DirtyRates:
    """The last measurement of the dirty rate. `measured`: None while it is not known whether there ever was one."""

    measured: bool | None = None

    def take(self, figures: GuestFigures, answer: Answer) -> None:
        """QEMU tells the beginning by the clock that counts from boot, and the rate in MiB/s."""
        told = answer.value(DirtyRate)
        if told.status == "unstarted":  # which QEMU says as well for some moments after it was told to measure
            self.measured = bool(self.measured)
        elif told.status == "measured" and told.dirty_rate is not None:
            began = time.time() - (time.monotonic() - told.start_time)
            seconds = told.calc_time / (1000 if told.calc_time_unit == "millisecond" else 1)
            figures.dirty_rate = began, seconds, told.dirty_rate << 20


@dataclass
class Kept:
    """Figures that need not be asked for at every round: they change by events, by us, or slowly."""

    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of disks by alias; the space that an image takes grows while nothing tells."""
    sizes_told: float = float("-inf")
    balloon: int | None = None
    iothreads: dict[int, dict[str, int]] | None = None
    silent: bool = False
    """Whether the balloon said last that its guest tells nothing."""
    silence_told: float = float("-inf")


@dataclass
class Sampler:
    """Takes figures of one guest. It remembers what rarely changes: threads of CPUs, the balloon, nodes and sizes of disks."""

    monitor: Monitor
    process: ProcessFigures
    links: LinkCounters
    interfaces: Mapping[str, str]
    nodes: dict[str, str]
    """Device alias by block node; shared with the translator of events."""
    cpus: Sequence[Cpu] | None = None
    dirty: DirtyRates = field(default_factory=DirtyRates)
    _kept: Kept = field(default_factory=Kept)
    _balloon: str | None = None
    _untimed: list[Command] = field(default_factory=list)
    """What makes QEMU keep histograms of disks that have none; sent with the next round."""
    _timed: set[str] = field(default_factory=set)
    _later: asyncio.TimerHandle | None = None

    def refresh(self) -> list[Command]:
        """What to ask to learn what rarely changes; the answers go to `learn`."""
        return [PERIPHERAL, CPUS, BLOCKS]

    def learn(self, answers: Sequence[Answer]) -> None:
        """Take in the answers to `refresh`."""
        children, cpus, blocks = answers
        balloons = [c.name for c in children.value(list[Child]) if "virtio-balloon" in c.type]
        self._balloon = balloons[0] if balloons else None
        self.cpus = cpus.value(list[Cpu])
        self.process.forget_threads()
        self._learn_nodes(blocks.value(list[Block]))

    def forget(self) -> None:
        """Devices or CPUs came or went, or somebody changed something: ask again at the next round."""
        self.cpus = None
        self._kept = Kept()

    def ballooned(self, actual: int) -> None:
        """The guest's memory changed, by an event."""
        self._kept.balloon = actual

    def take(self, groups: Sequence[str], deadline: float) -> asyncio.Future[GuestFigures]:
        """One round: QEMU is asked now, without a task. The future raises Unresponsive past the deadline.

        One that owes answers since an earlier round gets no more questions, which would wait in memory for as long as it hangs.
        """
        if self.monitor.behind:
            return _failed(Unresponsive("no answer since an earlier round"))
        if self.cpus is None:
            return asyncio.ensure_future(self._take_anew(groups, deadline))
        figures = GuestFigures(taken=time.time())
        asked = [question for group in groups for question in self._questions(group)]
        answers = self.monitor.begin([command for command, _ in asked], deadline=deadline)
        self._measure(figures, groups)  # while QEMU works
        return _then(answers, lambda told: self._understand(figures, groups, [use for _, use in asked], told))

    async def _take_anew(self, groups: Sequence[str], deadline: float) -> GuestFigures:
        self.learn(await self.monitor.begin(self.refresh(), deadline=deadline))
        return await self.take(groups, deadline)

    def _understand(self, figures: GuestFigures, groups: Sequence[str], uses: Sequence[Use],
                    answers: Sequence[Answer]) -> GuestFigures:  # fmt: skip
        for use, answer in zip(uses, answers, strict=True):
            if answer.error is None:
                use(figures, answer)
        self._recall(figures, groups)
        if self._later is None and self._slow(groups, SLOW_AGE):
            self._later = asyncio.get_running_loop().call_later(PAUSE, self._catch_up, groups)
        return figures

    def _catch_up(self, groups: Sequence[str]) -> None:
        """Ask what no round waits for: it is for the next one."""
        self._later = None
        asked = self._slow(groups, SLOW_AGE)
        answers = self.monitor.begin([command for command, _ in asked], deadline=OLDEST)
        answers.add_done_callback(partial(_take_each, [use for _, use in asked]))

    def _questions(self, group: str) -> list[tuple[Command, Use]]:
        if group == "block":
            begin, self._untimed = [(command, _nothing) for command in self._untimed], []
            return [*begin, (BLOCK_STATS, self._block_counters), *self._slow([group], OLDEST)]
        if group == "dirtyrate" and self.dirty.measured is not False:
            return [(DIRTY_RATE, self.dirty.take)]
        if group == "memory" and self._balloon is not None:
            size = [(BALLOON_SIZE, self._balloon_size)] if self._kept.balloon is None else []
            told = self._slow([group], OLDEST) if self._kept.silent else [self._memory_told()]
            return [*size, *told]
        if group == "iothread" and self._kept.iothreads is None:
            return [(IOTHREADS, self._iothreads)]
        return []

    def _slow(self, groups: Sequence[str], age: float) -> list[tuple[Command, Use]]:
        """What changes slowly and was not asked for so many seconds."""
        now, kept = time.monotonic(), self._kept
        sizes = "block" in groups and now - kept.sizes_told > age
        silent = "memory" in groups and kept.silent and now - kept.silence_told > age
        return [*([(BLOCKS, self._block_sizes)] if sizes else []), *([self._memory_told()] if silent else [])]

    def _memory_told(self) -> tuple[Command, Use]:
        path = f"/machine/peripheral/{self._balloon}"
        return Command("qom-get", {"path": path, "property": "guest-stats"}), self._guest_stats

    def _measure(self, figures: GuestFigures, groups: Sequence[str]) -> None:
        """What the kernel counts."""
        if "cpu" in groups:
            figures.cpu = self.process.cpu()
        if "memory" in groups and (rss := self.process.rss()) is not None:
            figures.memory["rss"] = rss
        if "vcpu" in groups:
            found = {c.cpu_index: self.process.thread(c.thread_id) for c in self.cpus or ()}
            figures.vcpus = {index: values for index, values in found.items() if values}
        if "interface" in groups:
            counted = {alias: self.links.read(name) for alias, name in self.interfaces.items()}
            figures.interfaces = {alias: values for alias, values in counted.items() if values}

    def _recall(self, figures: GuestFigures, groups: Sequence[str]) -> None:
        """What QEMU said now or before."""
        if "block" in groups:
            for alias, sizes in self._kept.sizes.items():
                figures.blocks.setdefault(alias, {}).update(sizes)
        if "memory" in groups and self._kept.balloon is not None:
            figures.memory["current"] = self._kept.balloon
        if "iothread" in groups:
            figures.iothreads = self._kept.iothreads or {}

    def _block_counters(self, figures: GuestFigures, answer: Answer) -> None:
        for backend in answer.value(list[Backend]):
            alias = _alias(backend.qdev, backend.device)
            if not alias:
                continue  # a node that no device uses
            figures.blocks.setdefault(alias, {}).update(counters(backend))
            kept = latencies(backend.stats)
            if kept:
                figures.latencies[alias] = kept
            elif backend.qdev and backend.qdev not in self._timed:
                self._timed.add(backend.qdev)
                self._untimed.append(
                    Command("block-latency-histogram-set", {"id": backend.qdev, "boundaries": LATENCY_BOUNDS})
                )

    def _block_sizes(self, figures: GuestFigures, answer: Answer) -> None:
        blocks = answer.value(list[Block])
        self._learn_nodes(blocks)
        self._kept.sizes.clear()
        self._kept.sizes_told = time.monotonic()
        for block in blocks:
            if block.inserted is None:
                continue
            image = block.inserted.image
            sizes = {"capacity": image.virtual_size,
                     "physical": image.virtual_size if image.actual_size is None else image.actual_size}  # fmt: skip
            if block.inserted.write_threshold:
                sizes["threshold"] = block.inserted.write_threshold
            self._kept.sizes[_alias(block.qdev, block.device)] = sizes

    def _balloon_size(self, figures: GuestFigures, answer: Answer) -> None:
        self._kept.balloon = answer.value(Balloon).actual

    def _guest_stats(self, figures: GuestFigures, answer: Answer) -> None:
        told = answer.value(GuestStats)
        figures.memory |= {BALLOON[n]: v for n, v in told.stats.items() if n in BALLOON and 0 <= v != UNKNOWN}
        self._kept.silent = not told.last_update
        if told.last_update:
            figures.memory["last_update"] = told.last_update
        else:
            self._kept.silence_told = time.monotonic()

    def _iothreads(self, figures: GuestFigures, answer: Answer) -> None:
        numbered = ((re.fullmatch(r"iothread(\d+)", one.id), one) for one in answer.value(list[Iothread]))
        self._kept.iothreads = {
            int(number.group(1)): {"poll_max": one.poll_max_ns, "poll_grow": one.poll_grow, "poll_shrink": one.poll_shrink}
            for number, one in numbered if number
        }  # fmt: skip

    def _learn_nodes(self, blocks: Sequence[Block]) -> None:
        self.nodes.clear()
        self.nodes.update({b.inserted.node: _alias(b.qdev, b.device) for b in blocks if b.inserted})


def _then(future: asyncio.Future[T], function: Callable[[T], U]) -> asyncio.Future[U]:
    """What a function makes of a future's result: a coroutine would need a task, which costs as much as all the rest."""
    made: asyncio.Future[U] = future.get_loop().create_future()

    def settle(done: asyncio.Future[T]) -> None:
        if made.done():
            return
        try:
            made.set_result(function(done.result()))
        except asyncio.CancelledError:
            made.cancel()
        except Exception as error:
            made.set_exception(error)

    future.add_done_callback(settle)
    return made


def _failed(error: FrontinusError) -> asyncio.Future[GuestFigures]:
    future: asyncio.Future[GuestFigures] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


def _alias(qdev: str, device: str) -> str:
    return device_of(qdev) or device


def _take_each(uses: Sequence[Use], answers: asyncio.Future[list[Answer]]) -> None:
    """Take in what came; a monitor that is gone or does not answer is noticed by the next round."""
    if answers.cancelled() or answers.exception() is not None:
        return
    for use, answer in zip(uses, answers.result(), strict=True):
        with suppress(FrontinusError):
            use(GuestFigures(), answer)


def _nothing(figures: GuestFigures, answer: Answer) -> None:
    """The answer says nothing."""
