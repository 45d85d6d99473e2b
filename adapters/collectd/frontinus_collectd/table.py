"""The table of all values: it drives what is dispatched, the reference in the documentation, and the tests.

Types are those of collectd's types.db, instances those of its plugin virt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from frontinus.api.views import REASONS, STATES, BlockStats, GuestStats, InterfaceStats, JobView, StatsGroup
from frontinus_collectd.settings import Settings

Number = int | float | None

MICRO, MILLI = 10**3, 10**6
"""Nanoseconds of a microsecond and of a millisecond."""


@dataclass(frozen=True)
class Reading:
    """A guest's figures with all that is needed to make values of them."""

    stats: GuestStats
    settings: Settings
    last: GuestStats | None = None
    """What was dispatched before."""
    cpus: int = 0
    """CPUs of the host."""
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Host CPUs by virtual CPU."""
    jobs: Sequence[JobView] = ()
    """The guest's jobs that were asked for, oldest first."""

    @property
    def fresh(self) -> bool:
        """Whether there are figures that were not dispatched yet."""
        taken = self.stats.taken if self.stats.id is not None else 0.0
        return taken > (self.last.taken if self.last else 0.0)


@dataclass(frozen=True)
class Metric:
    """One type. `sources`: an attribute or a function of the item for each data source; where one is not known, nothing
    is dispatched. `instance` is made from the item's own name."""

    type: str
    sources: tuple[str | Callable[[Any], Number], ...]
    help: str
    instance: str = "{}"
    extra: str | None = None
    """What ExtraStats has to ask for."""
    per: int = 1

    def values(self, item: object) -> tuple[int | float, ...] | None:
        """The values in the type's unit, or None."""
        found = []
        for source in self.sources:
            value = _attribute(item, source) if isinstance(source, str) else source(item)
            if value is None:
                return None
            found.append(value // self.per if self.per != 1 else value)
        return tuple(found)


@dataclass(frozen=True)
class Scope:
    """Metrics of items of one kind. `items` yields each with its name; `groups`: the engine's figures that it takes."""

    title: str
    name: str
    items: Callable[[Reading], Iterable[tuple[str, object]]]
    groups: tuple[StatsGroup, ...]
    metrics: tuple[Metric, ...]
    state: bool = False
    """The engine knows it without asking the guest: it is dispatched as of now, for guests that are off as well."""

    def chosen(self, settings: Settings) -> list[Metric]:
        """The metrics that a configuration asks for."""
        if not PARTS.get(self.name, _always)(settings):
            return []
        return [metric for metric in self.metrics if metric.extra is None or metric.extra in settings.extra]


@dataclass(frozen=True)
class Sample:
    """One value list. `time`: when its figures were taken (Unix time), 0 for now."""

    type: str
    instance: str
    values: tuple[int | float, ...]
    time: float = 0.0


def samples(reading: Reading) -> Iterator[Sample]:
    """All value lists of a guest. Figures that were dispatched before are no news: rates would be wrong with them."""
    for scope in SCOPES:
        if not scope.state and not reading.fresh:
            continue
        time = 0.0 if scope.state else reading.stats.taken
        metrics = scope.chosen(reading.settings)
        for name, item in scope.items(reading) if metrics else ():
            for metric in metrics:
                if (values := metric.values(item)) is not None:
                    yield Sample(metric.type, metric.instance.format(name), values, time)


def groups(settings: Settings) -> list[StatsGroup]:
    """The engine's figures that a configuration needs."""
    found = {group for scope in SCOPES if scope.chosen(settings) for group in scope.groups}
    if "fs_info" in settings.extra:
        found.add("agent")  # for notifications
    return sorted(found)


def _attribute(item: object, path: str) -> Number:
    try:
        value: Number = attrgetter(path)(item)
    except AttributeError:  # a group that has no figures is None
        return None
    return value


def _always(settings: Settings) -> bool:
    return True


PARTS: Mapping[str, Callable[[Settings], bool]] = {
    "disk": lambda settings: settings.report_blocks,
    "interface": lambda settings: settings.report_interfaces,
}
"""Scopes that an option of their own switches off."""


# --- the items of a guest


class Disk(NamedTuple):
    """A disk's figures, and those of the last reading."""

    now: BlockStats
    before: BlockStats | None


class Work(NamedTuple):
    """A job, and when it was looked at."""

    job: JobView
    at: float


def whole(reading: Reading) -> Iterator[tuple[str, Reading]]:
    yield "", reading


def memory_of(reading: Reading) -> Iterator[tuple[str, object]]:
    if reading.stats.memory is not None:
        yield "", reading.stats.memory


def vcpus_of(reading: Reading) -> Iterator[tuple[str, object]]:
    for vcpu in reading.stats.vcpus:
        yield str(vcpu.index), vcpu


def pins_of(reading: Reading) -> Iterator[tuple[str, int]]:
    """Every pair of a virtual and a host CPU."""
    for vcpu, allowed in sorted(reading.pins.items()):
        for cpu in range(reading.cpus):
            yield f"vcpu_{vcpu}-cpu_{cpu}", int(cpu in allowed)


def block_name(block: BlockStats, settings: Settings) -> str | None:
    """What a disk is called by; None without a source where the source is wanted."""
    if settings.block_format == "target":
        return block.name
    return block.path


def blocks_of(reading: Reading) -> Iterator[tuple[str, Disk]]:
    """The selected disks."""
    settings = reading.settings
    before = {block.name: block for block in reading.last.blocks} if reading.last else {}
    for block in reading.stats.blocks:
        name = block_name(block, settings)
        if name is None or f"{reading.stats.name}:{name}" not in settings.blocks:
            continue
        shown = name.rpartition("/")[2] if settings.basename and settings.block_format == "source" else name
        yield shown, Disk(block, before.get(block.name))


def interface_name(nic: InterfaceStats, settings: Settings) -> str:
    """What an interface is called by; plugin virt counts from 1."""
    return {"name": nic.name, "address": nic.mac, "number": str(nic.index + 1)}[settings.interface_format]


def interfaces_of(reading: Reading) -> Iterator[tuple[str, InterfaceStats]]:
    for nic in reading.stats.interfaces:
        name = interface_name(nic, reading.settings)
        if f"{reading.stats.name}:{name}" in reading.settings.interfaces:
            yield name, nic


def jobs_of(reading: Reading) -> Iterator[tuple[str, Work]]:
    """The last job of those that were asked for."""
    if reading.jobs:
        yield "", Work(reading.jobs[-1], reading.stats.taken)


# --- values that are worked out


def percent(reading: Reading) -> Number:
    """CPU time since the last reading, of what the whole host had in the time between; by the figures' own clock."""
    now, last = reading.stats, reading.last
    if last is None or now.cpu is None or last.cpu is None or now.cpu.time is None or last.cpu.time is None:
        return None
    spent, passed = now.cpu.time - last.cpu.time, now.taken - last.taken
    if spent < 0 or passed <= 0 or not reading.cpus:
        return None  # started anew since
    return min(100.0, 100 * spent / (passed * reading.cpus * 10**9))


def state(reading: Reading) -> Number:
    return STATES.index(reading.stats.state)


def reason(reading: Reading) -> Number:
    known = REASONS[reading.stats.state]
    return known.index(reading.stats.reason) if reading.stats.reason in known else 0


def failing(disk: Disk) -> Number:
    """1 if requests failed since the last reading."""
    now = _failures(disk.now)
    before = _failures(disk.before) if disk.before else now
    return None if now is None or before is None else int(now > before)


def _failures(block: BlockStats) -> int | None:
    if block.read_errors is None or block.write_errors is None:
        return None
    return block.read_errors + block.write_errors


def elapsed(work: Work) -> Number:
    return max(0, round(((work.job.ended or work.at) - work.job.started) * 1000))


def remaining(work: Work) -> Number:
    job = work.job
    return None if job.total is None or job.processed is None else max(0, job.total - job.processed)


# --- the table

_JOBS: Sequence[tuple[str, str, tuple[StatsGroup, ...]]] = (
    ("The job under way", "job_stats_background", ("job",)), ("The last job", "job_stats_completed", ()),
)  # fmt: skip
"""Which job is shown by which word of ExtraStats; those that have ended are no figures."""

SCOPES: tuple[Scope, ...] = (
    Scope("The guest", "", whole, ("cpu",), (
        Metric("virt_cpu_total", ("stats.cpu.time",), "CPU time of the guest's process, ns.", ""),
        Metric("ps_cputime", ("stats.cpu.user", "stats.cpu.system"), "CPU time in user mode and in the kernel, µs.", "",
               extra="pcpu", per=MICRO),
        Metric("percent", (percent,), "CPU time of the guest as a share of all CPUs of the host.", "virt_cpu_total",
               extra="cpu_util"),
    )),
    Scope("The guest's state", "", whole, ("state",), (
        Metric("domain_state", (state, reason), "State and its reason by libvirt's numbers.", "", extra="domain_state"),
    ), state=True),
    Scope("Memory", "memory", memory_of, ("balloon",), (
        Metric("memory", ("current",), "Memory that the guest has, bytes.", "total"),
        Metric("memory", ("current",), "The same, as its balloon says.", "actual_balloon", extra="memory"),
        Metric("memory", ("unused",), "Not in use by the guest, bytes.", "unused", extra="memory"),
        Metric("memory", ("available",), "What the guest's kernel manages, bytes.", "available", extra="memory"),
        Metric("memory", ("usable",), "What could be had without swapping, bytes.", "usable", extra="memory"),
        Metric("memory", ("disk_caches",), "Caches of the guest, bytes.", "disk_caches", extra="memory"),
        Metric("memory", ("rss",), "Resident memory of the guest's process, bytes.", "rss", extra="memory"),
        Metric("memory", ("hugetlb_pgalloc",), "Huge pages that the guest got; a count.", "hugetlb_pgalloc",
               extra="memory"),
        Metric("memory", ("hugetlb_pgfail",), "Huge pages that the guest did not get; a count.", "hugetlb_pgfail",
               extra="memory"),
        Metric("swap_io", ("swap_in",), "Swapped in by the guest, bytes.", "in", extra="memory"),
        Metric("swap_io", ("swap_out",), "Swapped out by the guest, bytes.", "out", extra="memory"),
        Metric("ps_pagefaults", ("minor_faults", "major_faults"), "Page faults within the guest.", "", extra="memory"),
    )),
    Scope("Virtual CPUs", "vcpu", vcpus_of, ("vcpu",), (
        Metric("virt_vcpu", ("time",), "Time of the virtual CPU, ns.", extra="vcpu"),
    )),
    Scope("Pinning", "pin", pins_of, (), (
        Metric("cpu_affinity", (lambda item: item,), "Whether the virtual CPU may run on the host's CPU.",
               extra="vcpupin"),
    )),
    Scope("Disks", "disk", blocks_of, ("block",), (
        Metric("disk_ops", ("now.read_requests", "now.write_requests"), "Requests."),
        Metric("disk_octets", ("now.read_bytes", "now.write_bytes"), "Bytes."),
        Metric("disk_time", ("now.read_time", "now.write_time"), "Time that requests took, ms.", extra="disk",
               per=MILLI),
        Metric("total_requests", ("now.flush_requests",), "Flushes.", "flush-{}", extra="disk"),
        Metric("total_time_in_ms", ("now.flush_time",), "Time that flushes took, ms.", "flush-{}", extra="disk",
               per=MILLI),
        Metric("disk_error", (failing,), "1 if requests failed since the last reading, else 0.", extra="disk_err"),
        Metric("disk_allocation", ("now.allocation",), "End of what is in use of the image, bytes.",
               extra="disk_allocation"),
        Metric("disk_capacity", ("now.capacity",), "Size that the guest sees, bytes.", extra="disk_capacity"),
        Metric("disk_physical", ("now.physical",), "Size that the image takes on the host, bytes.",
               extra="disk_physical"),
    )),
    Scope("Interfaces", "interface", interfaces_of, ("interface",), (
        Metric("if_octets", ("rx_bytes", "tx_bytes"), "Bytes that the guest received and sent."),
        Metric("if_packets", ("rx_packets", "tx_packets"), "Packets."),
        Metric("if_errors", ("rx_errors", "tx_errors"), "Errors."),
        Metric("if_dropped", ("rx_drops", "tx_drops"), "Packets that were dropped."),
    )),
    *(Scope(title, "job", jobs_of, groups, (
        Metric("job_stats", (elapsed,), "Time since its start, ms.", "time_elapsed", extra=extra),
        Metric("job_stats", ("job.total",), "All that is to be done, bytes.", "data_total", extra=extra),
        Metric("job_stats", ("job.processed",), "What has been done, bytes.", "data_processed", extra=extra),
        Metric("job_stats", (remaining,), "What is left, bytes.", "data_remaining", extra=extra),
    )) for title, extra, groups in _JOBS),
)  # fmt: skip
