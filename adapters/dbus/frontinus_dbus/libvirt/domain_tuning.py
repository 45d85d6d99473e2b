"""org.libvirt.Domain: where a guest's threads run, and what it may take of the host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from dbus_fast import Variant

from frontinus.api.engine import Engine
from frontinus_dbus.libvirt import parameters
from frontinus_dbus.libvirt.domain import IMPACT, engine, guest
from frontinus_dbus.libvirt.figures import double
from frontinus_dbus.libvirt.parameters import Given
from frontinus_dbus.service import Call, Getter, Handler

SCHEDULER_PARAMETERS = len(parameters.SCHEDULER.rows)


def scope(flags: int) -> tuple[bool, bool]:
    """live and config. Raises InvalidValue for other flags."""
    given = IMPACT.read(flags)
    return "live" in given, "config" in given


def inactive(flags: int) -> bool:
    """Whether the definition of a running guest is asked for."""
    return "config" in IMPACT.read(flags)


# CPUs


def chosen(cpus: Sequence[bool]) -> list[int]:
    """The numbers of a map of CPUs."""
    return [number for number, on in enumerate(cpus) if on]


async def host_cpus(target: Engine) -> int:
    return (await target.node_cpu_map()).present


def as_map(cpus: Sequence[int], size: int) -> list[bool]:
    """A map of the host's CPUs."""
    return [number in cpus for number in range(size)]


async def vcpu_pins(call: Call, flags: int) -> list[list[bool]]:
    """The host's CPUs for each vCPU."""
    target, uuid = await engine(call)
    size = await host_cpus(target)
    return [as_map(pin.cpus, size) for pin in await target.vcpu_pins(uuid, inactive(flags))]


async def pin_vcpu(call: Call, vcpu: int, cpus: list[bool], flags: int) -> None:
    """Choose the host's CPUs for a vCPU."""
    target, uuid = await engine(call)
    await target.pin_vcpu(uuid, vcpu, chosen(cpus), *scope(flags))


async def emulator_pin(call: Call, flags: int) -> list[bool]:
    """The host's CPUs for what is neither vCPU nor I/O thread."""
    target, uuid = await engine(call)
    return as_map(await target.emulator_pin(uuid, inactive(flags)), await host_cpus(target))


async def pin_emulator(call: Call, cpus: list[bool], flags: int) -> None:
    """Choose the host's CPUs for what is neither vCPU nor I/O thread."""
    target, uuid = await engine(call)
    await target.pin_emulator(uuid, chosen(cpus), *scope(flags))


async def iothreads(call: Call, flags: int) -> list[list[object]]:
    """The I/O threads, and the host's CPUs for each."""
    target, uuid = await engine(call)
    size = await host_cpus(target)
    return [[thread.id, as_map(thread.cpus, size)] for thread in await target.iothreads(uuid, inactive(flags))]


async def pin_iothread(call: Call, number: int, cpus: list[bool], flags: int) -> None:
    """Choose the host's CPUs for an I/O thread."""
    target, uuid = await engine(call)
    await target.pin_iothread(uuid, number, chosen(cpus), *scope(flags))


async def add_iothread(call: Call, number: int, flags: int) -> None:
    """Add an I/O thread."""
    target, uuid = await engine(call)
    await target.add_iothread(uuid, number, *scope(flags))


async def del_iothread(call: Call, number: int, flags: int) -> None:
    """Remove an I/O thread that nothing uses."""
    target, uuid = await engine(call)
    await target.del_iothread(uuid, number, *scope(flags))


# Families of parameters


def getter(ask: Callable[[Engine, str, bool], Awaitable[dict[str, Variant]]], doc: str) -> Handler:
    async def handler(call: Call, flags: int) -> dict[str, Variant]:
        target, uuid = await engine(call)
        return await ask(target, uuid, inactive(flags))

    handler.__doc__ = doc
    return handler


def setter(act: Callable[..., Awaitable[None]], doc: str) -> Handler:
    """act(engine, uuid, parameters, live, config)."""

    async def handler(call: Call, given: Given, flags: int) -> None:
        target, uuid = await engine(call)
        await act(target, uuid, given, *scope(flags))

    handler.__doc__ = doc
    return handler


async def _scheduler(target: Engine, uuid: str, stored: bool) -> dict[str, Variant]:
    return parameters.SCHEDULER.show(await target.scheduler_parameters(uuid, stored))


async def _memory(target: Engine, uuid: str, stored: bool) -> dict[str, Variant]:
    return parameters.Memory.show(await target.memory_parameters(uuid, stored))


async def _blkio(target: Engine, uuid: str, stored: bool) -> dict[str, Variant]:
    return parameters.Blkio.show(await target.blkio_parameters(uuid, stored))


async def _numa(target: Engine, uuid: str, stored: bool) -> dict[str, Variant]:
    return parameters.Numa.show(await target.numa_parameters(uuid, stored))


async def _perf(target: Engine, uuid: str, stored: bool) -> dict[str, Variant]:
    return {name: double(Variant("b", on)) for name, on in (await target.perf_events(uuid, stored)).items()}


async def set_perf(target: Engine, uuid: str, given: Given, live: bool, config: bool) -> None:
    await target.set_perf_events(uuid, {name: bool(parameters.plain(on)) for name, on in given.items()}, live, config)


async def interface(call: Call, device: str, flags: int) -> dict[str, Variant]:
    """Limits of a NIC's traffic, by its name on the host or its MAC address."""
    target, uuid = await engine(call)
    return parameters.Bandwidth.show(await target.interface_parameters(uuid, device, inactive(flags)))


async def set_interface(call: Call, device: str, given: Given, flags: int) -> None:
    """Limit a NIC's traffic; an average of 0 lifts the limit."""
    target, uuid = await engine(call)
    await target.set_interface_parameters(uuid, device, parameters.Bandwidth.read(given), *scope(flags))


async def block_io_tune(call: Call, disk: str, flags: int) -> dict[str, Variant]:
    """Limits of a disk."""
    target, uuid = await engine(call)
    return parameters.BLOCK_IO_TUNE.show(await target.block_io_tune(uuid, disk, inactive(flags)))


async def set_block_io_tune(call: Call, disk: str, given: Given, flags: int) -> None:
    """Limit a disk; 0 lifts a limit."""
    target, uuid = await engine(call)
    await target.set_block_io_tune(uuid, disk, parameters.BLOCK_IO_TUNE.read(given), *scope(flags))


async def stats_period(call: Call, seconds: int, flags: int) -> None:
    """How often the guest tells memory figures."""
    target, uuid = await engine(call)
    await target.set_memory_stats_period(uuid, seconds, *scope(flags))


METHODS: Mapping[str, Handler] = {
    "AddIOThread": add_iothread,
    "DelIOThread": del_iothread,
    "GetBlockIOParameters": getter(_blkio, "The share of the host's block I/O."),
    "GetBlockIOTune": block_io_tune,
    "GetEmulatorPinInfo": emulator_pin,
    "GetIOThreadInfo": iothreads,
    "GetInterfaceParameters": interface,
    "GetMemoryParameters": getter(_memory, "Limits of the host's memory, in KiB."),
    "GetNumaParameters": getter(_numa, "Which nodes of the host its memory comes from."),
    "GetPerfEvents": getter(_perf, "Performance events, and whether they are counted."),
    "GetSchedulerParameters": getter(_scheduler, "Shares and limits of CPU time."),
    "GetVcpuPinInfo": vcpu_pins,
    "PinEmulator": pin_emulator,
    "PinIOThread": pin_iothread,
    "PinVcpu": pin_vcpu,
    "SetBlockIOParameters": setter(
        lambda e, g, given, *where: e.set_blkio_parameters(g, parameters.Blkio.read(given), *where),
        "Set the share of the host's block I/O."),
    "SetBlockIOTune": set_block_io_tune,
    "SetInterfaceParameters": set_interface,
    "SetMemoryParameters": setter(
        lambda e, g, given, *where: e.set_memory_parameters(g, parameters.Memory.read(given), *where),
        "Limit the host's memory, in KiB."),
    "SetMemoryStatsPeriod": stats_period,
    "SetNumaParameters": setter(
        lambda e, g, given, *where: e.set_numa_parameters(g, parameters.Numa.read(given), *where),
        "Choose the nodes that its memory comes from."),
    "SetPerfEvents": setter(set_perf, "Refused: performance events are not counted."),
    "SetSchedulerParameters": setter(
        lambda e, g, given, *where: e.set_scheduler_parameters(g, parameters.SCHEDULER.read(given), *where),
        "Set shares and limits of CPU time."),
}  # fmt: skip


def scheduler_type(call: Call) -> list[object]:
    """Name of the host's scheduler, and how many parameters it has."""
    guest(call)
    return ["posix", SCHEDULER_PARAMETERS]


GETTERS: Mapping[str, Getter] = {"SchedulerType": scheduler_type}
