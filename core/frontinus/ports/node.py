"""Figures of the host and settings of its kernel."""

from __future__ import annotations

from typing import Protocol

from frontinus.api.figures import HostFigures
from frontinus.api.node import CpuMap, NodeCpuStats, NodeMemoryParameters, NodeMemoryStats


class Node(Protocol):
    """The machine that the engine runs on. Methods block for moments only."""

    def figures(self) -> HostFigures: ...
    def cpu_stats(self, cpu: int | None) -> NodeCpuStats:
        """Raises InvalidValue for a CPU that is not online."""

    def memory_stats(self, node: int | None) -> NodeMemoryStats:
        """Raises InvalidValue for a NUMA node that is not there."""

    def cpu_map(self) -> CpuMap: ...
    def memory_parameters(self) -> NodeMemoryParameters:
        """Raises Unsupported without KSM."""

    def set_memory_parameters(self, values: NodeMemoryParameters) -> None:
        """Raises Unsupported, HostFailed."""
