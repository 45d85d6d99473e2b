"""What a guest may take of its host: a control group a guest, with parts for its threads, and the CPUs that they run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from frontinus.api.views import GroupStats
from frontinus.domain.resctrl import Share

Controller = Literal["cpu", "memory", "blkio", "cpuset"]
NO_LIMIT = -1


@dataclass(frozen=True)
class Setting:
    """One value of a guest's group, or of a part of it ("vcpu0", "iothread1", "emulator").

    `key`, in the words of the domain XML: shares, period, quota (µs); hard_limit, soft_limit, swap_hard_limit (bytes);
    weight; read_bytes, write_bytes, read_iops, write_iops (per second, of a `device`); mems (a list of nodes). NO_LIMIT,
    and for devices 0, lifts a limit.
    """

    controller: Controller
    key: str
    value: int | str
    part: str = ""
    device: str = ""


class Shape(Protocol):
    """A rate of traffic: average and peak in kilobytes a second, burst in kilobytes."""

    @property
    def average(self) -> int | None: ...
    @property
    def peak(self) -> int | None: ...
    @property
    def burst(self) -> int | None: ...


@dataclass(frozen=True)
class Threads:
    """The threads of a running guest, by number of vCPU and of I/O thread; all others are the emulator's."""

    process: int
    vcpus: Mapping[int, int] = field(default_factory=dict)
    iothreads: Mapping[int, int] = field(default_factory=dict)


class Limits(Protocol):
    """`group` is the guest's private folder: a later engine finds the group by it."""

    def cpus(self) -> tuple[int, ...]:
        """The host's CPUs that guests may run on."""

    def controllers(self) -> frozenset[Controller]:
        """What can be limited here."""

    def enter(self, group: str, pid: int) -> None:
        """Make the group and put a process that was just started into it, as far as the host lets us. Never fails."""

    async def apply(self, group: str, settings: Sequence[Setting], threads: Threads) -> None:
        """Set values, their parts made first. Raises Unsupported for what cannot be limited here, HostFailed."""

    async def allocate(self, group: str, shares: Sequence[Share], threads: Threads) -> None:
        """Give vCPUs shares of caches and of memory bandwidth, and measure what they use; what is given stays as it is,
        threads that have come join it. Raises Unsupported for what the host cannot give, HostFailed."""

    def measured(self, group: str, vcpus: Sequence[int], what: str) -> Mapping[int, float]:
        """What is measured of these vCPUs together, by number of cache, node or package; `what` as in domain.resctrl.MEASURES."""

    async def pin(self, threads: Sequence[int], cpus: Sequence[int]) -> None:
        """Let threads run on these CPUs only. Raises HostFailed, InvalidValue when none of them is there."""

    async def schedule(self, threads: Sequence[int], policy: str, priority: int) -> None:
        """Let the kernel's scheduler treat threads so (batch, idle, fifo, rr). Raises HostFailed where it may not."""

    async def emulator(self, threads: Threads) -> Sequence[int]:
        """The threads of the process that are neither vCPU nor I/O thread."""

    async def shape(self, link: str, inbound: Shape | None, outbound: Shape | None) -> None:
        """Limit what a tap carries to its guest and from it; None lifts a limit. Raises Unsupported, HostFailed."""

    def figures(self, group: str) -> GroupStats | None:
        """What the kernel counts of a guest's group; None for one that has none. Some pread of kept descriptors."""

    async def remove(self, group: str) -> None:
        """Forget the group of a guest that has ended. Idempotent."""

    async def sweep(self, living: Sequence[str]) -> None:
        """Remove groups of ours that belong to none of the living guests, by their private folders."""
