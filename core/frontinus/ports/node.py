"""Figures of the host and settings of its kernel."""

from __future__ import annotations

from typing import Protocol

from frontinus.api.figures import HostFigures
from frontinus.api.node import CpuMap, FreePages, NodeCpuStats, NodeMemoryParameters, NodeMemoryStats


class Node(Protocol):
    """The machine that the engine runs on. Methods block for moments only."""

    def figures(self) -> HostFigures: ...
    def cpu_stats(self, cpu: int | None) -> NodeCpuStats:
        """Raises InvalidValue for a CPU that is not online."""

    def memory_stats(self, node: int | None) -> NodeMemoryStats:
        """Raises InvalidValue for a NUMA node that is not there."""

    def cpu_map(self) -> CpuMap: ...
    def free_pages(self, node: int | None) -> FreePages:
        """Raises InvalidValue for a NUMA node that is not there."""

    def allocate_pages(self, size: int, count: int, node: int | None, *, add: bool) -> int:
        """Raises InvalidValue, HostFailed."""

    def memory_parameters(self) -> NodeMemoryParameters:
        """Raises Unsupported without KSM."""

    def set_memory_parameters(self, values: NodeMemoryParameters) -> None:
        """Raises Unsupported, HostFailed."""
