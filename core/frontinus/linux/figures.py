"""Figures of the host, from /proc and /sys. `root` stands in for / in tests.

Sources: proc(5), Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from frontinus.api.figures import HostFigures, NodeMemory, Pressure
from frontinus.api.node import NodeCpuStats
from frontinus.linux import topology
from frontinus.linux.topology import read

ROOT = Path("/")
TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
RESOURCES = ("cpu", "memory", "io")


def read_figures(root: Path = ROOT) -> HostFigures:
    """The figures of this moment; takes some microseconds a file."""
    memory = topology.read_memory(root)
    cpu = cpu_times(root) or NodeCpuStats(kernel=0, user=0, idle=0, iowait=0)
    return HostFigures(
        memory=memory["MemTotal"], memory_free=memory["MemFree"],
        memory_available=memory.get("MemAvailable", memory["MemFree"]), swap=memory.get("SwapTotal", 0),
        swap_free=memory.get("SwapFree", 0), load=_load(root), cpu_user=cpu.user, cpu_system=cpu.kernel,
        cpu_idle=cpu.idle, cpu_iowait=cpu.iowait, nodes=_nodes(root), pressure=_pressures(root),
    )  # fmt: skip


def cpu_times(root: Path, wanted: str = "cpu") -> NodeCpuStats | None:
    """Times of all CPUs together, or of one by its name; None for one that is not online."""
    for line in (read(root / "proc/stat") or "").splitlines():
        name, *fields = line.split()
        if name == wanted:
            user, nice, system, idle, iowait, irq, softirq, *_ = (int(field) * TICK for field in fields)
            return NodeCpuStats(kernel=system + irq + softirq, user=user + nice, idle=idle, iowait=iowait)
    return None


def _load(root: Path) -> tuple[float, float, float]:
    one, five, fifteen = (read(root / "proc/loadavg") or "0 0 0").split()[:3]
    return float(one), float(five), float(fifteen)


def _nodes(root: Path) -> tuple[NodeMemory, ...]:
    found = []
    for number, folder in topology.node_folders(root).items():
        memory = topology.node_memory(number, folder)
        if "MemTotal" in memory:
            found.append(NodeMemory(node=number, total=memory["MemTotal"], free=memory.get("MemFree", 0)))
    return tuple(found)


def _pressures(root: Path) -> dict[str, Pressure]:
    found = {name: read(root / "proc/pressure" / name) for name in RESOURCES}
    return {name: pressure for name, text in found.items() if text and (pressure := parse_pressure(text))}


def parse_pressure(text: str) -> Pressure | None:
    """A file of the kernel's such as /proc/pressure/io; its totals are microseconds."""
    totals = {kind: int(total) * 1000 for kind, total in re.findall(r"^(some|full) .*total=(\d+)", text, re.MULTILINE)}
    return Pressure(some=totals["some"], full=totals.get("full")) if "some" in totals else None
