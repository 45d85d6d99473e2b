"""Control groups in memory: remembers what is set, so that a test can look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frontinus.api.errors import Unsupported
from frontinus.api.views import GroupStats
from frontinus.domain.resctrl import Share
from frontinus.ports.limits import Controller, Setting, Shape, Threads

CPUS = 8


class MemoryLimits:
    """`held`: the settings of each group; `pinned`: CPUs by thread; `scheduled`: scheduler and priority
    by thread; `shaped`: rates by link; `shared`: shares of caches by group, on a host that `shares` them."""

    def __init__(self) -> None:
        self.held: dict[str, dict[tuple[str, str, str], int | str]] = {}
        self.pinned: dict[int, tuple[int, ...]] = {}
        self.scheduled: dict[int, tuple[str, int]] = {}
        self.shaped: dict[str, tuple[Shape | None, Shape | None]] = {}
        self.shares = False
        self.shared: dict[str, tuple[Sequence[Share], Threads]] = {}

    def cpus(self) -> tuple[int, ...]:
        return tuple(range(CPUS))

    def controllers(self) -> frozenset[Controller]:
        return frozenset({"cpu", "memory", "blkio", "cpuset"})

    def enter(self, group: str, pid: int) -> None:
        self.held.setdefault(group, {})

    async def apply(self, group: str, settings: Sequence[Setting], threads: Threads) -> None:
        for setting in settings:
            self.held.setdefault(group, {})[setting.part, setting.key, setting.device] = setting.value

    async def allocate(self, group: str, shares: Sequence[Share], threads: Threads) -> None:
        if not self.shares:
            raise Unsupported(f"<{shares[0].element}>: this host has no means for it", element=shares[0].element)
        self.shared[group] = shares, threads

    def measured(self, group: str, vcpus: Sequence[int], what: str) -> Mapping[int, float]:
        return {0: float(len(what))} if group in self.shared else {}

    async def pin(self, threads: Sequence[int], cpus: Sequence[int]) -> None:
        self.pinned |= dict.fromkeys(threads, tuple(cpus))

    async def schedule(self, threads: Sequence[int], policy: str, priority: int) -> None:
        self.scheduled |= dict.fromkeys(threads, (policy, priority))

    async def emulator(self, threads: Threads) -> Sequence[int]:
        return [threads.process]

    async def shape(self, link: str, inbound: Shape | None, outbound: Shape | None) -> None:
        self.shaped[link] = (inbound, outbound)

    def figures(self, group: str) -> GroupStats | None:
        return GroupStats(memory=2**20) if group in self.held else None

    async def remove(self, group: str) -> None:
        self.held.pop(group, None)
        self.shared.pop(group, None)

    async def sweep(self, living: Sequence[str]) -> None:
        self.held = {group: values for group, values in self.held.items() if group in living}
