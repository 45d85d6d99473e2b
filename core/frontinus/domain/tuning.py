"""Placement and limits of a guest on its host: CPU, memory, block I/O, NUMA."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.domain.scaled import Scaled
from frontinus.xml import Model, Size, many, one, xml
from frontinus.xml.codecs import CpuSet, Int, Signed, UInt32, YesNo, integer, one_of

SCHEDULERS = one_of("batch", "idle", "fifo", "rr")
NUMA_MODES = one_of("strict", "preferred", "interleave", "restrictive")


class VcpuPin(Model, tag="vcpupin"):
    vcpu: int = xml("@vcpu", UInt32, required=True)
    cpus: tuple[int, ...] = xml("@cpuset", CpuSet, required=True)


class EmulatorPin(Model, tag="emulatorpin"):
    cpus: tuple[int, ...] = xml("@cpuset", CpuSet, required=True)


class IothreadPin(Model, tag="iothreadpin"):
    iothread: int = xml("@iothread", integer(1, 2**32 - 1), required=True)
    cpus: tuple[int, ...] = xml("@cpuset", CpuSet, required=True)


class VcpuSched(Model, tag="vcpusched"):
    """Scheduling of vCPUs; `priority` is for the real-time schedulers."""

    vcpus: tuple[int, ...] = xml("@vcpus", CpuSet, required=True)
    scheduler: str = xml("@scheduler", SCHEDULERS, required=True)
    priority: int | None = xml("@priority", Signed)


class IothreadSched(Model, tag="iothreadsched"):
    iothreads: tuple[int, ...] = xml("@iothreads", CpuSet, required=True)
    scheduler: str = xml("@scheduler", SCHEDULERS, required=True)
    priority: int | None = xml("@priority", Signed)


class EmulatorSched(Model, tag="emulatorsched"):
    scheduler: str = xml("@scheduler", SCHEDULERS, required=True)
    priority: int | None = xml("@priority", Signed)


class CacheShare(Model, tag="cache"):
    """A share of a host cache, in bytes."""

    id: int = xml("@id", UInt32, required=True)
    level: int = xml("@level", UInt32, required=True)
    type: str = xml("@type", one_of("both", "code", "data"), required=True)
    size: int | None = xml("", Scaled("size", write_unit=""))


class CacheMonitor(Model, tag="monitor"):
    level: int = xml("@level", UInt32, required=True)
    vcpus: tuple[int, ...] = xml("@vcpus", CpuSet, required=True)


class CacheTune(Model, tag="cachetune"):
    vcpus: tuple[int, ...] = xml("@vcpus", CpuSet, required=True)
    id: str | None = xml("@id", live=True)
    caches: list[CacheShare] = many("cache", CacheShare)
    monitors: list[CacheMonitor] = many("monitor", CacheMonitor)


class MemoryShare(Model, tag="node"):
    """A share, in percent, of a node's memory bandwidth."""

    id: int = xml("@id", UInt32, required=True)
    bandwidth: int = xml("@bandwidth", UInt32, required=True)


class MemoryMonitor(Model, tag="monitor"):
    level: int | None = xml("@level", UInt32)
    vcpus: tuple[int, ...] = xml("@vcpus", CpuSet, required=True)


class MemoryTune(Model, tag="memorytune"):
    vcpus: tuple[int, ...] = xml("@vcpus", CpuSet, required=True)
    id: str | None = xml("@id", live=True)
    nodes: list[MemoryShare] = many("node", MemoryShare)
    monitors: list[MemoryMonitor] = many("monitor", MemoryMonitor)


class EnergyMonitor(Model, tag="monitor"):
    vcpus: tuple[int, ...] = xml("@vcpus", CpuSet, required=True)


class EnergyTune(Model, tag="energytune"):
    """vCPUs whose use of energy is to be told."""

    vcpus: tuple[int, ...] = xml("@vcpus", CpuSet, required=True)
    id: str | None = xml("@id", live=True)
    monitors: list[EnergyMonitor] = many("monitor", EnergyMonitor)


Tune = CacheTune | MemoryTune | EnergyTune
"""What vCPUs get or are measured by through the kernel's resctrl."""


class CpuTune(Model, tag="cputune"):
    """Shares, bandwidth (microseconds) and placement of the guest's threads."""

    shares: int | None = xml("shares", Int)
    period: int | None = xml("period", Int)
    quota: int | None = xml("quota", Signed)
    global_period: int | None = xml("global_period", Int)
    global_quota: int | None = xml("global_quota", Signed)
    emulator_period: int | None = xml("emulator_period", Int)
    emulator_quota: int | None = xml("emulator_quota", Signed)
    iothread_period: int | None = xml("iothread_period", Int)
    iothread_quota: int | None = xml("iothread_quota", Signed)
    vcpu_pins: list[VcpuPin] = many("vcpupin", VcpuPin)
    emulator_pin: EmulatorPin | None = one("emulatorpin", EmulatorPin)
    iothread_pins: list[IothreadPin] = many("iothreadpin", IothreadPin)
    emulator_sched: EmulatorSched | None = one("emulatorsched", EmulatorSched)
    vcpu_scheds: list[VcpuSched] = many("vcpusched", VcpuSched)
    iothread_scheds: list[IothreadSched] = many("iothreadsched", IothreadSched)
    caches: list[CacheTune] = many("cachetune", CacheTune)
    memory: list[MemoryTune] = many("memorytune", MemoryTune)
    energy: list[EnergyTune] = many("energytune", EnergyTune)

    def tunes(self) -> list[Tune]:
        """All that resctrl does."""
        return [*self.caches, *self.memory, *self.energy]


class MemTune(Model, tag="memtune"):
    """Limits of host memory, in bytes."""

    hard_limit: int | None = xml("hard_limit", Size())
    soft_limit: int | None = xml("soft_limit", Size())
    min_guarantee: int | None = xml("min_guarantee", Size())
    swap_hard_limit: int | None = xml("swap_hard_limit", Size())


class BlkioDevice(Model, tag="device"):
    """Limits for one host disk."""

    path: str = xml("path", required=True)
    weight: int | None = xml("weight", UInt32)
    read_iops: int | None = xml("read_iops_sec", UInt32)
    write_iops: int | None = xml("write_iops_sec", UInt32)
    read_bytes: int | None = xml("read_bytes_sec", Int)
    write_bytes: int | None = xml("write_bytes_sec", Int)


class BlkioTune(Model, tag="blkiotune"):
    """The guest's share of block I/O."""

    weight: int | None = xml("weight", UInt32)
    devices: list[BlkioDevice] = many("device", BlkioDevice)


class NumaMemory(Model, tag="memory"):
    """Where all memory comes from."""

    mode: str | None = xml("@mode", NUMA_MODES)
    nodes: tuple[int, ...] | None = xml("@nodeset", CpuSet)
    placement: str | None = xml("@placement", one_of("static", "auto"))


class MemNode(Model, tag="memnode"):
    """Where one guest cell's memory comes from."""

    cell: int = xml("@cellid", UInt32, required=True)
    mode: str | None = xml("@mode", NUMA_MODES)
    nodes: tuple[int, ...] = xml("@nodeset", CpuSet, required=True)


class NumaTune(Model, tag="numatune"):
    """Which host nodes the guest's memory comes from."""

    memory: NumaMemory | None = one("memory", NumaMemory)
    cells: list[MemNode] = many("memnode", MemNode)

    def cell(self, node: int | None) -> MemNode | None:
        """What is said of one guest cell itself."""
        return next((cell for cell in self.cells if cell.cell == node), None)

    def mode(self, node: int | None) -> str:
        """The mode for a guest cell (None: for all memory)."""
        cell = self.cell(node)
        return (cell.mode if cell else self.memory.mode if self.memory else None) or "strict"

    def nodes(self, node: int | None, automatic: tuple[int, ...]) -> tuple[int, ...] | None:
        """Host nodes for a guest cell; `automatic` are those that the host would choose."""
        cell = self.cell(node)
        if cell is not None:
            return cell.nodes
        if self.memory is None:
            return None
        return automatic or None if self.memory.placement == "auto" else self.memory.nodes


class Resource(Model, tag="resource"):
    """The cgroup partition, and the tag for Fibre Channel traffic."""

    partition: str | None = xml("partition")
    fibre_channel: str | None = xml("fibrechannel/@appid")


class Vcpu(Model, tag="vcpu"):
    """One vCPU's state at start."""

    id: int = xml("@id", UInt32, required=True)
    enabled: bool = xml("@enabled", YesNo, required=True)
    hotpluggable: bool | None = xml("@hotpluggable", YesNo)
    order: int | None = xml("@order", integer(1, 2**31))


class Poll(Model, tag="poll"):
    """Adaptive polling of an I/O thread, in nanoseconds."""

    max: int | None = xml("@max", Int)
    grow: int | None = xml("@grow", Int)
    shrink: int | None = xml("@shrink", Int)


class Iothread(Model, tag="iothread"):
    """An I/O thread; pool sizes are worker threads."""

    id: int = xml("@id", integer(1, 2**32 - 1), required=True)
    pool_min: int | None = xml("@thread_pool_min", integer(0, 2**31 - 1))
    pool_max: int | None = xml("@thread_pool_max", integer(0, 2**31 - 1))
    poll: Poll | None = one("poll", Poll)


def set_parameters(thread: Iothread, given: Mapping[str, int]) -> None:
    """Set members of an I/O thread by the facade's names."""
    for name, value in given.items():
        if name.startswith("thread_"):
            setattr(thread, name.removeprefix("thread_"), value)
        else:
            thread.poll = thread.poll or Poll()
            setattr(thread.poll, POLL[name], value)


POLL: Mapping[str, str] = {"poll_max_ns": "max", "poll_grow": "grow", "poll_shrink": "shrink"}


class DefaultIothread(Model, tag="defaultiothread"):
    """The main loop's worker threads."""

    pool_min: int | None = xml("@thread_pool_min", integer(0, 2**31 - 1))
    pool_max: int | None = xml("@thread_pool_max", integer(0, 2**31 - 1))
