"""org.libvirt.Connect: figures and settings of the host, and its CPUs."""

from __future__ import annotations

from collections.abc import Mapping

from dbus_fast import Variant

from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt import parameters
from frontinus_dbus.libvirt.connect import KIB, NONE
from frontinus_dbus.libvirt.parameters import Given
from frontinus_dbus.service import Call, Handler

BASELINE = Flags({"expand": 1, "migratable": 2})
COMPARE = Flags({"fail-incompatible": 1, "validate": 2})
RESULTS = {"incompatible": 0, "identical": 1, "superset": 2}
"""libvirt's numbers."""


async def cpu_map(call: Call, flags: int) -> list[bool]:
    """The host's CPUs, and whether each is online."""
    NONE.read(flags)
    found = await (await call.engine()).node_cpu_map()
    return [number in found.online for number in range(found.present)]


async def cpu_stats(call: Call, cpu: int, flags: int) -> dict[str, int]:
    """Time of one CPU, or of all (-1), in ns."""
    NONE.read(flags)
    found = await (await call.engine()).node_cpu_stats(None if cpu == -1 else cpu)
    return {"kernel": found.kernel, "user": found.user, "idle": found.idle, "iowait": found.iowait}


async def memory_stats(call: Call, cell: int, flags: int) -> dict[str, int]:
    """Memory of one NUMA node, or of the host (-1), in KiB."""
    NONE.read(flags)
    found = await (await call.engine()).node_memory_stats(None if cell == -1 else cell)
    values = {"total": found.total, "free": found.free, "buffers": found.buffers, "cached": found.cached}
    return {name: value // KIB for name, value in values.items() if value is not None}


async def sysinfo(call: Call, flags: int) -> str:
    """The host's SMBIOS data, as XML."""
    NONE.read(flags)
    return await (await call.engine()).node_sysinfo()


async def security_model(call: Call) -> list[str]:
    """How guests are confined: model and domain of interpretation."""
    found = await (await call.engine()).node_security_model()
    return [found.model, found.doi]


async def memory_parameters(call: Call, flags: int) -> dict[str, Variant]:
    """The kernel's merging of same pages."""
    NONE.read(flags)
    return parameters.NODE_MEMORY.show(await (await call.engine()).node_memory_parameters())


async def set_memory_parameters(call: Call, given: Given, flags: int) -> None:
    """Set the kernel's merging of same pages."""
    NONE.read(flags)
    await (await call.engine()).set_node_memory_parameters(parameters.node_memory(given))


async def cpu_models(call: Call, arch: str, flags: int) -> list[str]:
    """The CPU models that guests of an architecture can be given."""
    NONE.read(flags)
    return await (await call.engine()).cpu_models(arch or None)


async def compare_cpu(call: Call, xml: str, flags: int) -> int:
    """The host's CPU against a described one: incompatible 0, identical 1, superset 2."""
    COMPARE.read(flags)
    return RESULTS[await (await call.engine()).compare_cpu(xml)]


async def baseline_cpu(call: Call, xmls: list[str], flags: int) -> str:
    """The richest CPU that several hosts can give."""
    given = BASELINE.read(flags)
    return await (await call.engine()).baseline_cpu(xmls, "expand" in given, "migratable" in given)


METHODS: Mapping[str, Handler] = {
    "BaselineCPU": baseline_cpu, "CompareCPU": compare_cpu, "GetCPUModelNames": cpu_models, "GetSysinfo": sysinfo,
    "NodeGetCPUMap": cpu_map, "NodeGetCPUStats": cpu_stats, "NodeGetMemoryParameters": memory_parameters,
    "NodeGetMemoryStats": memory_stats, "NodeGetSecurityModel": security_model,
    "NodeSetMemoryParameters": set_memory_parameters,
}  # fmt: skip
