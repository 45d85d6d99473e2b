"""What a definition leaves open outside its devices, decided once at define time and kept."""

from __future__ import annotations

import uuid

from frontinus.domain.capabilities import Capabilities, MachineType
from frontinus.domain.clock import Clock
from frontinus.domain.cpu import Cpu, CpuModelName
from frontinus.domain.firmware import store_path
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.osboot import Nvram
from frontinus.domain.tuning import Iothread, NumaMemory, NumaTune

ARCHITECTURES = ("x86_64", "i686")


def complete_guest(guest: Guest, caps: Capabilities, host: HostFacts) -> None:
    """Fill in everything that is no device: machine, identity, memory, CPUs, clock, what happens on events."""
    _identity(guest, host)
    _machine(guest, caps, host)
    _memory(guest)
    _vcpus(guest)
    _cpu(guest, caps)
    _iothreads(guest)
    _boot(guest, host)
    guest.clock = guest.clock or Clock()
    guest.clock.offset = guest.clock.offset or "utc"
    guest.on_poweroff = guest.on_poweroff or "destroy"
    guest.on_reboot = guest.on_reboot or "restart"
    guest.on_crash = guest.on_crash or "destroy"


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
    if machine is not None and (guest.machine is None or not host.keep_machine_alias):
        guest.machine = machine.name if not host.keep_machine_alias else machine.alias or machine.name


def _memory(guest: Guest) -> None:
    if guest.memory is None and guest.cells:
        plugged = sum(getattr(device, "size", None) or 0 for device in guest.devices.memories)
        guest.memory = sum(cell.memory or 0 for cell in guest.cells) + plugged
    if guest.memory is not None:
        guest.current_memory = min(guest.current_memory or guest.memory, guest.memory)


def _vcpus(guest: Guest) -> None:
    guest.vcpus = guest.vcpus or 1
    if guest.vcpu_current == guest.vcpus:
        guest.vcpu_current = None
    if guest.vcpu_placement is None:
        automatic = guest.numa_tune and guest.numa_tune.memory and guest.numa_tune.memory.placement == "auto"
        guest.vcpu_placement = "auto" if automatic and guest.vcpu_cpuset is None else "static"
    memory = guest.numa_tune.memory if guest.numa_tune else None
    if memory is not None:
        memory.mode = memory.mode or "strict"
        memory.placement = memory.placement or (None if memory.nodes else guest.vcpu_placement)
    elif guest.vcpu_placement == "auto" and guest.vcpu_cpuset is None:
        guest.numa_tune = guest.numa_tune or NumaTune()
        guest.numa_tune.memory = NumaMemory(mode="strict", placement="auto")


def _cpu(guest: Guest, caps: Capabilities) -> None:
    cpu = guest.cpu
    if cpu is None or not says_model(cpu):
        cpu = _default_cpu(cpu, caps.canonical_machine(guest.machine), caps) or cpu
        guest.cpu = cpu
    if cpu is None:
        return
    for number, cell in enumerate(cpu.numa.cells if cpu.numa else ()):
        cell.id = number if cell.id is None else cell.id
    if cpu.numa:
        cpu.numa.cells.sort(key=lambda cell: cell.id or 0)
    if cpu.topology is not None:
        cpu.topology.dies = cpu.topology.dies or 1
    if not says_model(cpu):
        return
    cpu.mode = cpu.mode or "custom"
    if cpu.mode == "custom":
        cpu.match = cpu.match or "exact"
        if cpu.model is not None:
            cpu.model.fallback = cpu.model.fallback or "allow"
    for feature in cpu.features:
        feature.policy = feature.policy or "require"
    if cpu.mode in ("host-passthrough", "maximum") and cpu.migratable is None:
        cpu.migratable = True if caps.has_property(f"max-{caps.arch}-cpu", "migratable") else None
    cpu.check = cpu.check or _check_of(guest, cpu)


def says_model(cpu: Cpu) -> bool:
    """Whether a model is asked for at all; a <cpu> may carry nothing but topology or cells."""
    return cpu.mode not in (None, "custom") or bool(cpu.model and cpu.model.name)


def _check_of(guest: Guest, cpu: Cpu) -> str:
    if cpu.mode in ("host-passthrough", "maximum") or (cpu.mode == "custom" and guest.type == "qemu"):
        return "none"
    return "partial"


def _default_cpu(cpu: Cpu | None, machine: MachineType | None, caps: Capabilities) -> Cpu | None:
    """The model that the machine itself would take, said aloud so that it stays when the machine's changes."""
    if machine is None or machine.default_cpu is None:
        return None
    name = machine.default_cpu.removesuffix("-cpu").removesuffix(f"-{caps.arch}")
    cpu = cpu or Cpu()
    if name in ("host", "max"):
        cpu.mode, cpu.check = "host-passthrough" if name == "host" else "maximum", "none"
        return cpu
    cpu.mode, cpu.match, cpu.check = "custom", "exact", cpu.check or "none"
    cpu.model = CpuModelName(name=name, fallback="forbid")
    return cpu


def _iothreads(guest: Guest) -> None:
    """As many I/O threads as are asked for; ids that nobody names are the lowest free ones."""
    total = max(guest.iothreads or 0, len(guest.iothread_ids))
    if not total:
        return
    guest.iothreads = total
    guest.iothread_ids += [Iothread() for _ in range(total - len(guest.iothread_ids))]
    taken = {thread.id for thread in guest.iothread_ids}
    free = (number for number in range(1, 2 * total + 2) if number not in taken)
    for thread in guest.iothread_ids:
        thread.id = next(free) if thread.id is None else thread.id


def _boot(guest: Guest, host: HostFacts) -> None:
    os = guest.os
    if not os.boot and not any(device.boot_order for device in guest.devices.all()):
        os.boot = ["hd"]
    loader = os.loader
    if loader and loader.path and loader.type == "pflash" and loader.readonly and not loader.stateless:
        nvram = os.nvram = os.nvram or Nvram()
        if nvram.path is None and nvram.source is None:
            nvram.path = store_path(guest, host, nvram.format)
