"""What a definition leaves open outside its devices, decided once at define time and kept."""

from __future__ import annotations

import uuid

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.clock import Clock
from frontinus.domain.cpu.model import Cpu, CpuModelName
from frontinus.domain.features import HyperV
from frontinus.domain.firmware import store_path
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.osboot import Nvram
from frontinus.domain.tuning import NumaMemory, NumaTune, Vcpu
from frontinus.xml import Model

UNLIMITED = 9007199254740991 * 1024
"""Bytes from which on a limit of memory is none."""
DIRTY_RING = 4096
"""Entries of KVM's dirty ring when the user wants one of any size."""
MAY_BE_EMPTY = ("cpu_tune", "blkio_tune", "mem_tune", "numa_tune", "memory_backing", "resource", "power", "features")
ZERO_IS_NONE = frozenset({
    "period", "quota", "global_period", "global_quota", "emulator_period", "emulator_quota", "iothread_period",
    "iothread_quota", "weight", "read_iops", "write_iops", "read_bytes", "write_bytes",
})  # fmt: skip
QEMU_TYPES = ("kvm", "qemu", "hvf")
"""Types of guests whose hypervisor is QEMU."""
RUN_HERE = ("kvm", "qemu")
"""Types of guests whose hypervisor is QEMU on this host."""
SMALLER = {"x86_64": ("i686",)}
"""Processors that an emulator has besides its own."""


def runs_on(guest: Guest, caps: Capabilities) -> bool:
    """Whether the guest is one for this hypervisor, and of a processor that the emulator has."""
    return guest.type in QEMU_TYPES and guest.arch in (None, caps.arch, *SMALLER.get(caps.arch, ()))


def complete_guest(guest: Guest, caps: Capabilities, host: HostFacts, *, stored: bool = False) -> None:
    """Fill in everything that is no device: machine, identity, memory, CPUs, clock, what happens on events.

    `stored`: the guest was defined before, and keeps what it says.
    """
    _identity(guest, host)
    _machine(guest, caps, host)
    _memory(guest, stored)
    _vcpus(guest)
    _cpu(guest, caps)
    _iothreads(guest)
    _tuning(guest)
    _boot(guest, host)
    _features(guest)
    _labels(guest, host)
    _clock(guest)
    guest.on_poweroff = guest.on_poweroff or "destroy"
    guest.on_reboot = guest.on_reboot or "restart"
    guest.on_crash = guest.on_crash or "destroy"
    _drop_empty(guest)


def _identity(guest: Guest, host: HostFacts) -> None:
    if guest.uuid is None:
        guest.uuid = random_uuid(host)
    if guest.genid == "":
        guest.genid = random_uuid(host)
    guest.devices.emulator = guest.devices.emulator or None


def random_uuid(host: HostFacts) -> str:
    """A version 4 UUID from the host's entropy."""
    return str(uuid.UUID(bytes=host.entropy(16), version=4))


def _machine(guest: Guest, caps: Capabilities, host: HostFacts) -> None:
    """A machine alias becomes the versioned type, so a newer QEMU presents the same hardware."""
    guest.os.arch = guest.os.arch or caps.arch
    machine = caps.canonical_machine(guest.machine)
    if machine is None or guest.type not in RUN_HERE:
        return
    if guest.machine is None or not host.keep_machine_alias:
        guest.machine = machine.alias if host.keep_machine_alias else machine.name


def _memory(guest: Guest, stored: bool) -> None:
    """With NUMA cells, the guest's memory is theirs and that of its memory devices, whatever a new definition says."""
    in_cells = sum(cell.memory or 0 for cell in guest.cells)
    if in_cells and not (stored and guest.memory):
        guest.memory = in_cells + sum(device.size or 0 for device in guest.devices.memories)
    backing = guest.memory_backing
    for page in backing.hugepages.pages if backing and backing.hugepages and not guest.cells else ():
        page.nodes = None if page.nodes == (0,) else page.nodes
    limits = guest.mem_tune
    for name in ("hard_limit", "soft_limit", "min_guarantee", "swap_hard_limit"):
        if limits is not None and (getattr(limits, name) or 0) >= UNLIMITED:
            setattr(limits, name, None)
    if guest.memory is not None:
        guest.current_memory = min(guest.current_memory or guest.memory, guest.memory)


def _vcpus(guest: Guest) -> None:
    guest.vcpus = 1 if guest.vcpus is None else guest.vcpus
    _each_vcpu(guest, guest.vcpus)
    if guest.vcpu_current == guest.vcpus:
        guest.vcpu_current = None
    if guest.vcpu_placement is None:
        automatic = guest.numa_tune and guest.numa_tune.memory and guest.numa_tune.memory.placement == "auto"
        guest.vcpu_placement = "auto" if automatic and guest.vcpu_cpuset is None else "static"
    memory = guest.numa_tune.memory if guest.numa_tune else None
    if memory is not None:
        memory.mode = memory.mode or "strict"
        memory.placement = memory.placement or (None if memory.nodes else guest.vcpu_placement)
        if memory.placement == "auto":
            memory.nodes = None
        elif memory.nodes:
            memory.placement = None
    elif guest.vcpu_placement == "auto" and guest.vcpu_cpuset is None:
        guest.numa_tune = guest.numa_tune or NumaTune()
        guest.numa_tune.memory = NumaMemory(mode="strict", placement="auto")


def _each_vcpu(guest: Guest, total: int) -> None:
    """Where some vCPUs are described, the others are off; one that is off can be plugged."""
    if not guest.vcpu_list:
        return
    described = {vcpu.id for vcpu in guest.vcpu_list}
    guest.vcpu_list += [Vcpu(id=number, enabled=False) for number in range(total) if number not in described]
    guest.vcpu_list.sort(key=lambda vcpu: vcpu.id)
    for vcpu in guest.vcpu_list:
        vcpu.hotpluggable = not vcpu.enabled if vcpu.hotpluggable is None else vcpu.hotpluggable
    if guest.vcpu_current is None:
        guest.vcpu_current = sum(vcpu.enabled for vcpu in guest.vcpu_list)


def _cpu(guest: Guest, caps: Capabilities) -> None:
    cpu = guest.cpu
    _cells(guest)
    if cpu is None or not says_model(cpu):
        if settled(guest, caps) and not (cpu and cpu.features):
            cpu = default_cpu(guest, caps) or cpu
        guest.cpu = cpu
    if cpu is None:
        return
    if cpu.topology is not None:
        cpu.topology.dies = cpu.topology.dies or 1
    if not says_model(cpu):
        return
    _model(cpu)
    for feature in cpu.features:
        feature.policy = feature.policy or "require"
    if cpu.mode == "host-passthrough" and cpu.migratable is None and settled(guest, caps):
        cpu.migratable = True if caps.has_property(f"max-{caps.arch}-cpu", "migratable") else None
    cpu.check = cpu.check or _check_of(guest, cpu)


def _model(cpu: Cpu) -> None:
    """How the model is meant; only CPUs of one's own choice are compared with it."""
    cpu.mode = cpu.mode or "custom"
    if cpu.mode == "custom":
        cpu.match = cpu.match or "exact"
        if cpu.model is not None:
            cpu.model.fallback = cpu.model.fallback or "allow"
        return
    cpu.match = None
    if cpu.model is not None and not (cpu.mode == "host-model" and (cpu.model.name or cpu.model.vendor_id)):
        cpu.model = None


def _cells(guest: Guest) -> None:
    """Cells in the order of their ids; vCPUs that no cell names belong to the first."""
    cells = guest.cells
    if not cells:
        return
    for number, cell in enumerate(cells):
        cell.id = number if cell.id is None else cell.id
    cells.sort(key=lambda cell: cell.id or 0)
    total = guest.vcpus or 1
    named = {vcpu for cell in cells for vcpu in cell.cpus or ()}
    if len(named) < total:
        cells[0].cpus = tuple(sorted({*(cells[0].cpus or ()), *(set(range(total)) - named)}))


def settled(guest: Guest, caps: Capabilities) -> bool:
    """Whether the guest's hardware can be told from its definition: the emulator was asked, and the machine is no alias."""
    return caps.settles(guest.devices.emulator, guest.machine)


def says_model(cpu: Cpu) -> bool:
    """Whether a model is asked for at all; a <cpu> may carry nothing but topology or cells."""
    return cpu.mode not in (None, "custom") or bool(cpu.model and cpu.model.name)


def _check_of(guest: Guest, cpu: Cpu) -> str:
    if cpu.mode in ("host-passthrough", "maximum") or (cpu.mode == "custom" and guest.type == "qemu"):
        return "none"
    return "partial"


def default_cpu(guest: Guest, caps: Capabilities) -> Cpu | None:
    """The guest's CPU with the model that its machine would take; None where this emulator is not the guest's."""
    machine = caps.canonical_machine(guest.machine)
    if machine is None or machine.default_cpu is None or guest.devices.emulator not in (None, caps.emulator):
        return None
    name = machine.default_cpu.removesuffix("-cpu").removesuffix(f"-{caps.arch}")
    cpu = guest.cpu.clone() if guest.cpu else Cpu()
    if name in ("host", "max"):
        cpu.mode, cpu.check = "host-passthrough" if name == "host" else "maximum", "none"
        return cpu
    cpu.mode, cpu.match, cpu.check = "custom", "exact", "none"
    cpu.model = CpuModelName(name=name, fallback="forbid")
    return cpu


def _iothreads(guest: Guest) -> None:
    """As many I/O threads as ids are given; ids are written only where some are."""
    guest.iothreads = guest.iothreads or None
    if guest.default_iothread is not None and not _says(guest.default_iothread):
        guest.default_iothread = None
    if guest.iothread_ids:
        guest.iothread_ids = guest.all_iothreads()
        guest.iothreads = len(guest.iothread_ids)


def _tuning(guest: Guest) -> None:
    """Schedulers one thread at a time, pins in the order of vCPUs: the form that a change of one of them leaves."""
    tune = guest.cpu_tune
    if tune is None:
        return
    tune.vcpu_pins = sorted((pin for pin in tune.vcpu_pins if pin.vcpu < (guest.vcpus or 1)), key=lambda pin: pin.vcpu)
    tune.iothread_pins.sort(key=lambda pin: pin.iothread)
    tune.vcpu_scheds = sorted((sched.clone(vcpus=(number,)) for sched in tune.vcpu_scheds for number in sched.vcpus),
                              key=lambda sched: sched.vcpus)  # fmt: skip
    tune.iothread_scheds = sorted((sched.clone(iothreads=(number,)) for sched in tune.iothread_scheds
                                   for number in sched.iothreads), key=lambda sched: sched.iothreads)  # fmt: skip


def _boot(guest: Guest, host: HostFacts) -> None:
    os = guest.os
    if not os.boot and not any(device.boot_order for device in guest.devices.all()):
        os.boot = ["hd"]
    loader = os.loader
    if loader and loader.path and loader.type is None and os.firmware is None:
        loader.type = "rom"
    if loader and loader.path and loader.type == "pflash" and loader.readonly and not loader.stateless:
        nvram = os.nvram = os.nvram or Nvram()
        if nvram.path is None and nvram.source is None:
            nvram.path = store_path(guest, host, nvram.format)


def _features(guest: Guest) -> None:
    features = guest.features
    if features is None:
        return
    if features.hyperv is not None:
        features.hyperv.mode = features.hyperv.mode or "custom"
        if features.hyperv.mode == "passthrough":
            features.hyperv = HyperV(mode="passthrough")
    ring = features.kvm.dirty_ring if features.kvm else None
    if ring is not None and ring.state and ring.size is None:
        ring.size = DIRTY_RING


def _clock(guest: Guest) -> None:
    """A clock that is shifted is one with a variable offset, from UTC unless the user says otherwise."""
    clock = guest.clock = guest.clock or Clock()
    clock.offset = clock.offset or "utc"
    shifted = clock.adjustment not in (None, "reset")
    if clock.offset in ("utc", "localtime") and shifted:
        clock.basis, clock.offset = clock.offset, "variable"
    if clock.offset == "variable":
        clock.adjustment, clock.basis = clock.adjustment or "0", clock.basis or "utc"


def _drop_empty(guest: Guest) -> None:
    """Zero means no limit for these; and an element that says nothing goes."""
    for tune in (guest.cpu_tune, guest.blkio_tune, *(guest.blkio_tune.devices if guest.blkio_tune else ())):
        for name in ZERO_IS_NONE & vars(tune).keys() if tune is not None else ():
            setattr(tune, name, getattr(tune, name) or None)
    if guest.blkio_tune is not None:
        guest.blkio_tune.devices = [device for device in guest.blkio_tune.devices if _says(device, but="path")]
    for name in MAY_BE_EMPTY:
        part = getattr(guest, name)
        if part is not None and not _says(part):
            setattr(guest, name, None)


def _says(part: Model, but: str = "") -> bool:
    """Whether anything is set; `but`: a field that alone says nothing."""
    return any(value is not None and value != [] for name, value in vars(part).items() if name != but)


def _labels(guest: Guest, host: HostFacts) -> None:
    """A label that is chosen for the guest relabels its files; one that the user gives does not unless told.

    The one label of a guest is of the host's model; a host without any labels nothing.
    """
    if len(guest.seclabels) == 1 and guest.seclabels[0].type != "static" and not guest.seclabels[0].base_label:
        guest.seclabels[0].model = guest.seclabels[0].model or host.security_model
    for label in guest.seclabels:
        if label.model == "none":
            label.type, label.relabel = "none", None
        label.type = label.type or "dynamic"
        if label.type == "none":
            label.relabel = None if label.relabel is False else label.relabel
        elif label.relabel is None:
            label.relabel = label.type == "dynamic"
