"""Figures of everything in one call, for those who poll: the guests, their host, and the engine itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from frontinus.api.view import View
from frontinus.api.views import GuestStats, LatencyHistogram, StatsGroup

DirtyRateMode = Literal["page-sampling", "dirty-bitmap", "dirty-ring"]
"""In virsh's order: the index is the number of the bit in virDomainDirtyRateCalcFlags; sampling is 0."""


class Pressure(View, frozen=True, kw_only=True):
    """Time in which work stood still for want of a resource (Documentation/accounting/psi.rst), ns since boot.

    `some`: at least one task waited; `full`: all did. None where the kernel does not tell.
    """

    some: int
    full: int | None = None


class NodeMemory(View, frozen=True, kw_only=True):
    """Memory of one NUMA node, bytes."""

    node: int
    total: int
    free: int


class HostFigures(View, frozen=True, kw_only=True):
    """Figures of the host. Bytes; times in ns over all CPUs since boot; `pressure` by resource: cpu, memory, io."""

    memory: int
    memory_free: int
    memory_available: int
    swap: int = 0
    swap_free: int = 0
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cpu_user: int = 0
    cpu_system: int = 0
    cpu_idle: int = 0
    cpu_iowait: int = 0
    nodes: tuple[NodeMemory, ...] = ()
    pressure: Mapping[str, Pressure] = {}


class MonitorFigures(View, frozen=True, kw_only=True):
    """The traffic with the hypervisors' monitors since the engine started. `seconds`: sum of all waiting for batches.

    `waiting`: batches under way; `late`: those whose deadline passed; `latency` counts batches.
    """

    commands: int = 0
    failures: int = 0
    late: int = 0
    waiting: int = 0
    seconds: float = 0.0
    latency: LatencyHistogram | None = None


class EngineFigures(View, frozen=True, kw_only=True):
    """The engine itself. `started` is Unix time, `cpu` ns, `rss` bytes; `restarts` of adapters by name, since then.

    `rounds`: samplings of one guest; `shared`: answers that an earlier or running round served; `resyncs`: readers of the
    event stream that fell behind and were given a snapshot.
    """

    started: float
    cpu: int
    rss: int
    generation: int
    guests: int
    watchers: int = 0
    resyncs: int = 0
    jobs: int = 0
    rounds: int = 0
    shared: int = 0
    stale: int = 0
    restarts: Mapping[str, int] = {}
    monitor: MonitorFigures = MonitorFigures()


class Poll(View, frozen=True, kw_only=True):
    """All figures of one moment."""

    guests: list[GuestStats]
    host: HostFigures
    engine: EngineFigures


class FigureCalls(Protocol):
    """The use cases of those who measure."""

    async def poll(self, guests: Sequence[str] | None = None, groups: Sequence[StatsGroup] | None = None,
                   max_age: float = 0.0) -> Poll:  # fmt: skip
        """`stats`, and with it what the host and the engine have to say."""

    async def measure_dirty_rate(self, guest: str, seconds: int = 1, mode: DirtyRateMode = "page-sampling") -> None:
        """Measure for 1 to 60 s how fast the guest changes its memory; `stats` shows the result. Returns when begun."""
