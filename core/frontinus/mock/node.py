"""The mock's host: eight CPUs, 16 GiB, one NUMA node. Its times grow with the clock."""

from __future__ import annotations

import time

import msgspec

from frontinus.api.errors import InvalidValue
from frontinus.api.figures import HostFigures
from frontinus.api.node import CpuMap, FreePages, NodeCpuStats, NodeMemoryParameters, NodeMemoryStats

CPUS = 8
HUGE = 2 * 2**20
MEMORY, FREE = 16 * 2**30, 8 * 2**30


class MockNode:
    """`ports.Node` in memory."""

    def __init__(self) -> None:
        self.huge = 0
        self._parameters = NodeMemoryParameters(
            pages_to_scan=100, sleep_millisecs=20, merge_across_nodes=True, pages_shared=0, pages_sharing=0,
            pages_unshared=0, pages_volatile=0, full_scans=0)  # fmt: skip

    def figures(self) -> HostFigures:
        told = self.cpu_stats(None)
        return HostFigures(memory=MEMORY, memory_free=FREE, memory_available=FREE, cpu_user=told.user,
                           cpu_system=told.kernel, cpu_idle=told.idle, cpu_iowait=told.iowait)  # fmt: skip

    def cpu_stats(self, cpu: int | None) -> NodeCpuStats:
        if cpu is not None and not 0 <= cpu < CPUS:
            raise InvalidValue(f"CPU {cpu} is not online", field="cpu")
        ran = int(time.monotonic() * 1e9) * (CPUS if cpu is None else 1)
        return NodeCpuStats(kernel=ran // 10, user=ran // 5, idle=ran * 7 // 10, iowait=0)

    def memory_stats(self, node: int | None) -> NodeMemoryStats:
        if node not in (None, 0):
            raise InvalidValue(f"the host has no NUMA node {node}", field="node")
        rest = {} if node == 0 else {"buffers": 0, "cached": 0}
        return NodeMemoryStats(total=MEMORY, free=FREE, **rest)

    def cpu_map(self) -> CpuMap:
        return CpuMap(present=CPUS, online=tuple(range(CPUS)))

    def free_pages(self, node: int | None) -> FreePages:
        self.memory_stats(node)
        return FreePages(node=node, pages={4096: FREE // 4096, HUGE: self.huge})

    def allocate_pages(self, size: int, count: int, node: int | None, *, add: bool) -> int:
        self.memory_stats(node)
        if size != HUGE:
            raise InvalidValue(f"the host has no huge pages of {size} bytes", field="size")
        self.huge = count + (self.huge if add else 0)
        return self.huge

    def memory_parameters(self) -> NodeMemoryParameters:
        return self._parameters

    def set_memory_parameters(self, values: NodeMemoryParameters) -> None:
        given = {name: value for name, value in msgspec.structs.asdict(values).items() if value is not None}
        self._parameters = msgspec.structs.replace(self._parameters, **given)
