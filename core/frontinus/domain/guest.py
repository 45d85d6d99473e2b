"""The guest: the model of a <domain> document. Each concept has a file of its own."""

from __future__ import annotations

from typing import Any

from frontinus.domain.clock import Clock
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.devices import Devices
from frontinus.domain.devices.base import SecurityLabel
from frontinus.domain.devices.block.iotune import ThrottleGroup
from frontinus.domain.features import Features
from frontinus.domain.launch_security import LaunchSecurity
from frontinus.domain.memory import MemoryBacking
from frontinus.domain.numa import Cell, Interconnects
from frontinus.domain.osboot import Os
from frontinus.domain.passthrough import Commandline, Deprecation, Override, QemuCapabilities
from frontinus.domain.policy import Cipher, IdMap, PerfEvent, Power
from frontinus.domain.sysinfo import Sysinfo
from frontinus.domain.tuning import (
    BlkioTune,
    CpuTune,
    DefaultIothread,
    Iothread,
    MemTune,
    NumaTune,
    Resource,
    Vcpu,
)
from frontinus.xml import Model, Raw, Size, many, one, xml
from frontinus.xml.codecs import CpuSet, Int, OnOff, Uuid, YesNo, integer, one_of

TYPES = (
    "qemu", "kvm", "hvf", "kqemu", "xen", "lxc", "uml", "openvz", "test", "vmware", "hyperv", "vbox", "phyp", "bhyve",
    "parallels", "vz",
)  # fmt: skip
"""Hypervisors that a definition may be written for; only the first two run here, the check refuses the others."""
LIFECYCLE = ("destroy", "restart", "preserve", "rename-restart")
MOST_IOTHREADS = 4096
"""Far beyond any guest; a definition costs what it asks for."""
CRASH = (*LIFECYCLE, "coredump-destroy", "coredump-restart")


class Guest(Model, tag="domain"):
    """A whole domain document. Sizes are bytes. `os` and `devices` are always there."""

    type: str = xml("@type", one_of(*TYPES), required=True)
    id: int | None = xml("@id", Int, live=True)
    name: str = xml("name", required=True)
    uuid: str | None = xml("uuid", Uuid)
    hardware_uuid: str | None = xml("hwuuid", Uuid)
    genid: str | None = xml("genid")
    title: str | None = xml("title")
    description: str | None = xml("description")
    metadata: str | None = xml("metadata", Raw)
    max_memory: int | None = xml("maxMemory", Size())
    memory_slots: int | None = xml("maxMemory/@slots", integer(0, 65535))
    memory: int | None = xml("memory", Size())
    dump_core: bool | None = xml("memory/@dumpCore", OnOff)
    current_memory: int | None = xml("currentMemory", Size())
    blkio_tune: BlkioTune | None = one("blkiotune", BlkioTune)
    mem_tune: MemTune | None = one("memtune", MemTune)
    memory_backing: MemoryBacking | None = one("memoryBacking", MemoryBacking)
    vcpu_placement: str | None = xml("vcpu/@placement", one_of("static", "auto"))
    vcpu_cpuset: tuple[int, ...] | None = xml("vcpu/@cpuset", CpuSet)
    vcpu_current: int | None = xml("vcpu/@current", integer(1, 2**16))
    vcpus: int | None = xml("vcpu", integer(0, 2**16))
    vcpu_list: list[Vcpu] = many("vcpus/vcpu", Vcpu)
    iothreads: int | None = xml("iothreads", integer(0, MOST_IOTHREADS))
    iothread_ids: list[Iothread] = many("iothreadids/iothread", Iothread)
    throttle_groups: list[ThrottleGroup] = many("throttlegroups/throttlegroup", ThrottleGroup)
    default_iothread: DefaultIothread | None = one("defaultiothread", DefaultIothread)
    cpu_tune: CpuTune | None = one("cputune", CpuTune)
    numa_tune: NumaTune | None = one("numatune", NumaTune)
    resource: Resource | None = one("resource", Resource)
    sysinfos: list[Sysinfo] = many("sysinfo", Sysinfo)
    bootloader: str | None = xml("bootloader")
    bootloader_arguments: str | None = xml("bootloader_args")
    os: Os = one("os", Os)
    id_map: IdMap | None = one("idmap", IdMap)
    features: Features | None = one("features", Features)
    cpu: Cpu | None = one("cpu", Cpu)
    clock: Clock | None = one("clock", Clock)
    on_poweroff: str | None = xml("on_poweroff", one_of(*LIFECYCLE))
    on_reboot: str | None = xml("on_reboot", one_of(*LIFECYCLE))
    on_crash: str | None = xml("on_crash", one_of(*CRASH))
    on_lockfailure: str | None = xml("on_lockfailure", one_of("poweroff", "restart", "pause", "ignore"))
    power: Power | None = one("pm", Power)
    perf: list[PerfEvent] = many("perf/event", PerfEvent)
    devices: Devices = one("devices", Devices)
    key_wrap: list[Cipher] = many("keywrap/cipher", Cipher)
    seclabels: list[SecurityLabel] = many("seclabel", SecurityLabel)
    iommufd: bool | None = xml("iommufd/@enabled", YesNo)
    iommufd_group: str | None = xml("iommufd/@fdgroup")
    launch_security: LaunchSecurity | None = one("launchSecurity", LaunchSecurity)
    commandline: Commandline | None = one("qemu:commandline", Commandline)
    qemu_capabilities: QemuCapabilities | None = one("qemu:capabilities", QemuCapabilities)
    override: Override | None = one("qemu:override", Override)
    deprecation: Deprecation | None = one("qemu:deprecation", Deprecation)

    def __init__(self, **values: Any) -> None:
        os = values.pop("os", None) or Os()
        for name in ("machine", "arch"):
            if name in values:
                setattr(os, name, values.pop(name))
        if "os_type" in values:
            os.type = values.pop("os_type")
        super().__init__(os=os, devices=values.pop("devices", None) or Devices(), **values)

    @property
    def machine(self) -> str | None:
        """The machine type."""
        return self.os.machine

    @machine.setter
    def machine(self, name: str | None) -> None:
        self.os.machine = name

    @property
    def arch(self) -> str | None:
        """The guest's architecture: x86_64 or i686."""
        return self.os.arch

    @arch.setter
    def arch(self, name: str | None) -> None:
        self.os.arch = name

    @property
    def os_type(self) -> str | None:
        """Always hvm here."""
        return self.os.type

    @property
    def is_q35(self) -> bool:
        """Whether the machine is of the q35 family (PCI Express)."""
        return self.os.is_q35

    @property
    def is_i440fx(self) -> bool:
        """Whether the machine is of the i440fx family (PCI, ISA)."""
        return self.os.is_i440fx

    @property
    def acpi(self) -> bool:
        """Whether the guest has ACPI."""
        return bool(self.features and self.features.acpi)

    @property
    def cells(self) -> list[Cell]:
        """The guest's NUMA nodes, by their id; empty for a guest without."""
        return self.cpu.numa.cells if self.cpu and self.cpu.numa else []

    @property
    def interconnects(self) -> Interconnects | None:
        """The links between cells, where they are described."""
        return self.cpu.numa.interconnects if self.cpu and self.cpu.numa else None

    @property
    def has_hmat(self) -> bool:
        """Whether memory performance is described: links between cells, or caches of cells."""
        return self.interconnects is not None or any(cell.caches for cell in self.cells)

    def cell(self, node: int | None) -> Cell | None:
        """One of the guest's cells."""
        return self.cells[node] if node is not None and node < len(self.cells) else None

    @property
    def initial_memory(self) -> int:
        """Bytes at start without memory devices: the cells' where there are any."""
        if self.cells:
            return sum(cell.memory or 0 for cell in self.cells)
        return (self.memory or 0) - sum(getattr(device, "size", None) or 0 for device in self.devices.memories)

    def all_iothreads(self) -> list[Iothread]:
        """Every I/O thread: those described, and as many more as are asked for under the lowest free ids."""
        described = {thread.id for thread in self.iothread_ids}
        missing = max(0, (self.iothreads or 0) - len(self.iothread_ids))
        free = (number for number in range(1, len(described) + missing + 1) if number not in described)
        return [thread.clone() for thread in self.iothread_ids] + [Iothread(id=next(free)) for _ in range(missing)]

    @property
    def boot_vcpus(self) -> int:
        """vCPUs that are there when QEMU starts; those enabled but hot-pluggable are plugged before the guest runs."""
        if not self.vcpu_list:
            return self.vcpu_current or self.vcpus or 1
        return sum(1 for vcpu in self.vcpu_list if vcpu.enabled and not vcpu.hotpluggable)
