"""The part of the facade that tells of the host: figures, security, CPU models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from frontinus.api.view import View

CpuComparison = Literal["incompatible", "identical", "superset"]


class NodeCpuStats(View, frozen=True, kw_only=True):
    """Time of the host's CPUs since boot, in ns."""

    kernel: int
    user: int
    idle: int
    iowait: int


class NodeMemoryStats(View, frozen=True, kw_only=True):
    """Memory in bytes. A single node has no buffers and caches of its own."""

    total: int
    free: int
    buffers: int | None = None
    cached: int | None = None


class CpuMap(View, frozen=True, kw_only=True):
    """CPUs that the host has, and those that are online."""

    present: int
    online: tuple[int, ...]


class SecurityModel(View, frozen=True, kw_only=True):
    """How guests are confined: model and domain of interpretation; both empty where nothing is."""

    model: str
    doi: str


class NodeMemoryParameters(View, frozen=True, kw_only=True):
    """The kernel's merging of same pages (KSM). The first three can be set; the others are counts of pages and scans."""

    pages_to_scan: int | None = None
    sleep_millisecs: int | None = None
    merge_across_nodes: bool | None = None
    pages_shared: int | None = None
    pages_sharing: int | None = None
    pages_unshared: int | None = None
    pages_volatile: int | None = None
    full_scans: int | None = None


class FreePages(View, frozen=True, kw_only=True):
    """Free pages of each size (bytes) on one NUMA node, or of the host."""

    node: int | None
    pages: Mapping[int, int]


class NodeCalls(Protocol):
    """Questions about the host."""

    async def node_cpu_stats(self, cpu: int | None = None) -> NodeCpuStats:
        """Of one CPU, or of all together. Raises InvalidValue for one that is not online."""

    async def node_memory_stats(self, node: int | None = None) -> NodeMemoryStats:
        """Of one NUMA node, or of the host."""

    async def node_cpu_map(self) -> CpuMap: ...
    async def node_sysinfo(self) -> str:
        """The host's SMBIOS data as <sysinfo>. Raises Unsupported where it has none."""

    async def node_security_model(self) -> SecurityModel: ...
    async def node_memory_parameters(self) -> NodeMemoryParameters:
        """Raises Unsupported on a kernel without KSM."""

    async def set_node_memory_parameters(self, values: NodeMemoryParameters) -> None: ...
    async def cpu_models(self, arch: str | None = None) -> list[str]:
        """Names of CPU models that definitions for an architecture may have."""

    async def compare_cpu(self, xml: str) -> CpuComparison:
        """The host's own CPU against a <cpu>, of a host or of a guest."""

    async def baseline_cpu(self, xmls: Sequence[str], expand: bool = False, migratable: bool = False) -> str:
        """The richest CPU that all of these hosts (<cpu>) can give, as <cpu>."""

    async def compare_hypervisor_cpu(self, xml: str, emulator: str | None = None, arch: str | None = None,
                                     machine: str | None = None, virt_type: str | None = None) -> CpuComparison:  # fmt: skip
        """What guests of a binary, machine and type can have here against a <cpu>. Raises InvalidXML, Unsupported."""

    async def baseline_hypervisor_cpu(self, xmls: Sequence[str], emulator: str | None = None, arch: str | None = None,
                                      machine: str | None = None, virt_type: str | None = None, expand: bool = False,
                                      migratable: bool = False) -> str:  # fmt: skip
        """The richest CPU that guests can have on all of these hosts (<cpu>), of the models that this binary has."""

    async def free_pages(self, node: int | None = None) -> FreePages: ...
    async def allocate_pages(self, size: int, count: int, node: int | None = None, add: bool = False) -> int:
        """Set the pool of huge pages of a size in bytes, or `add` to it; how many it has now.

        Raises InvalidValue for a size that the host has not, HostFailed where the kernel found too few.
        """
