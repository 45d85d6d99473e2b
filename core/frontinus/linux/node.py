"""Figures of this host, and its merging of same pages (Documentation/admin-guide/mm/ksm.rst). `root` stands in for /."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed, InvalidValue, Unsupported
from frontinus.api.figures import HostFigures
from frontinus.api.node import CpuMap, FreePages, NodeCpuStats, NodeMemoryParameters, NodeMemoryStats
from frontinus.linux import figures, topology
from frontinus.linux.topology import CPUS, numbers, read, read_memory

PAGE = os.sysconf("SC_PAGE_SIZE")
KSM = "sys/kernel/mm/ksm"
FILES: Mapping[str, str] = {
    "pages_to_scan": "pages_to_scan", "sleep_millisecs": "sleep_millisecs", "merge_across_nodes": "merge_across_nodes",
    "pages_shared": "pages_shared", "pages_sharing": "pages_sharing", "pages_unshared": "pages_unshared",
    "pages_volatile": "pages_volatile", "full_scans": "full_scans",
}  # fmt: skip
SETTABLE = ("pages_to_scan", "sleep_millisecs", "merge_across_nodes")


class LinuxNode:
    """`ports.Node`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def figures(self) -> HostFigures:
        return figures.read_figures(self._root)

    def cpu_stats(self, cpu: int | None) -> NodeCpuStats:
        times = figures.cpu_times(self._root, "cpu" if cpu is None else f"cpu{cpu}")
        if times is None:
            raise InvalidValue(f"CPU {cpu} is not online", field="cpu")
        return times

    def memory_stats(self, node: int | None) -> NodeMemoryStats:
        if node is None:
            memory = read_memory(self._root)
            return NodeMemoryStats(total=memory["MemTotal"], free=memory["MemFree"], buffers=memory.get("Buffers"),
                                   cached=memory.get("Cached"))  # fmt: skip
        folder = topology.node_folders(self._root).get(node)
        if folder is None:
            raise InvalidValue(f"the host has no NUMA node {node}", field="node")
        found = topology.node_memory(node, folder)
        return NodeMemoryStats(total=found["MemTotal"], free=found["MemFree"])

    def cpu_map(self) -> CpuMap:
        present = numbers(read(self._root / CPUS / "present") or "0")
        return CpuMap(present=max(present) + 1, online=tuple(numbers(read(self._root / CPUS / "online") or "0")))

    def free_pages(self, node: int | None) -> FreePages:
        free = self.memory_stats(node).free
        pages = {PAGE: free // PAGE}
        for size, folder in self._pools(node).items():
            pages[size] = _number(folder / "free_hugepages") or 0
        return FreePages(node=node, pages=pages)

    def allocate_pages(self, size: int, count: int, node: int | None, *, add: bool) -> int:
        folder = self._pools(node).get(size)
        if folder is None:
            raise InvalidValue(f"the host has no huge pages of {size} bytes", field="size")
        file = folder / "nr_hugepages"
        wanted = count + ((_number(file) or 0) if add else 0)
        try:
            file.write_text(str(wanted))
        except OSError as error:
            raise HostFailed(
                f"the kernel refuses {wanted} pages of {size} bytes: {error.strerror}", what=str(file)
            ) from None
        now = _number(file) or 0
        if now < wanted:
            raise HostFailed(f"the kernel found room for {now} of {wanted} pages of {size} bytes", what=str(file))
        return now

    def _pools(self, node: int | None) -> dict[int, Path]:
        """Pools of huge pages by page size. Raises InvalidValue for a node that is not there."""
        if node is None:
            return topology.pools(self._root / "sys/kernel/mm/hugepages")
        folder = topology.node_folders(self._root).get(node)
        if folder is None:
            raise InvalidValue(f"the host has no NUMA node {node}", field="node")
        return topology.pools(folder / "hugepages")

    def memory_parameters(self) -> NodeMemoryParameters:
        folder = self._ksm()
        values = {name: _number(folder / file) for name, file in FILES.items()}
        merge = values.pop("merge_across_nodes")
        return NodeMemoryParameters(merge_across_nodes=None if merge is None else bool(merge), **values)

    def set_memory_parameters(self, values: NodeMemoryParameters) -> None:
        folder = self._ksm()
        for name in SETTABLE:
            value = getattr(values, name)
            if value is not None:
                try:
                    (folder / FILES[name]).write_text(str(int(value)))
                except OSError as error:
                    raise HostFailed(f"the kernel refuses {name}={int(value)}: {error.strerror}", what=name) from None

    def _ksm(self) -> Path:
        folder = self._root / KSM
        if not folder.is_dir():
            raise Unsupported("this kernel does not merge same pages (KSM)")
        return folder


def _number(file: Path) -> int | None:
    text = read(file)
    return int(text) if text is not None and text.strip().isdecimal() else None
