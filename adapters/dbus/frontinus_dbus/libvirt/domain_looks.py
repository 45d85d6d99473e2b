"""org.libvirt.Domain: dumps, memory, disks, displays, and what confines the guest."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.engine import Descriptor
from frontinus.api.errors import InvalidValue
from frontinus.api.inspection import DumpFormat
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt.connect import NONE
from frontinus_dbus.libvirt.domain import engine
from frontinus_dbus.service import Call, Handler

DUMP = Flags({"crash": 1, "live": 2, "bypass-cache": 4, "reset": 8, "memory-only": 16})
FORMATS: tuple[DumpFormat, ...] = ("raw", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp")
MEMORY = Flags({"virtual": 1, "physical": 2})
GRAPHICS = Flags({"skip-auth": 1})
CONTROL_STATES = ("ok", "job", "occupied", "error")
CONTROL_REASONS = ("none", "unknown", "monitor", "internal")
DISK_ERRORS = ("none", "unspecified", "no space")
"""libvirt's numbers: the index of each name."""


async def core_dump(call: Call, to: str, form: int, flags: int) -> None:
    """Write its memory to a file; by flag memory only, while it runs, with a crash or a reset after."""
    given = DUMP.read(flags)
    if form >= len(FORMATS):
        raise InvalidValue(f"unknown format {form}", field="dumpformat")
    target, uuid = await engine(call)
    await target.core_dump(uuid, to, "memory-only" in given, FORMATS[form], "live" in given, "crash" in given,
                           "reset" in given)  # fmt: skip


async def memory_peek(call: Call, offset: int, size: int, flags: int) -> bytes:
    """Bytes of its memory, by flag at a virtual (1) or physical (2) address."""
    given = MEMORY.read(flags)
    if len(given) != 1:
        raise InvalidValue("an address is either virtual (1) or physical (2)", field="flags")
    target, uuid = await engine(call)
    return await target.memory_peek(uuid, offset, size, "physical" in given)


async def block_peek(call: Call, disk: str, offset: int, size: int, flags: int) -> bytes:
    """Bytes of a raw disk."""
    NONE.read(flags)
    target, uuid = await engine(call)
    return await target.block_peek(uuid, disk, offset, size)


async def disk_errors(call: Call, flags: int) -> list[list[object]]:
    """Disks that an error stopped: unspecified (1), no space (2)."""
    NONE.read(flags)
    target, uuid = await engine(call)
    return [[one.disk, DISK_ERRORS.index(one.error)] for one in await target.disk_errors(uuid)]


async def control_info(call: Call, flags: int) -> list[int]:
    """The state of the way to its hypervisor, why, and since when in ms."""
    NONE.read(flags)
    target, uuid = await engine(call)
    found = await target.control_info(uuid)
    reason = CONTROL_REASONS.index(found.reason) if found.reason in CONTROL_REASONS else 1
    return [CONTROL_STATES.index(found.state), reason, found.since]


async def labels(call: Call) -> list[list[object]]:
    """What confines it, and whether that is enforced."""
    target, uuid = await engine(call)
    return [[one.label, one.enforcing] for one in await target.security_labels(uuid)]


async def graphics(call: Call, index: int, flags: int) -> Descriptor:
    """A connection to a display, as a client that is logged in."""
    GRAPHICS.read(flags)
    target, uuid = await engine(call)
    return await target.open_graphics(uuid, index)


METHODS: Mapping[str, Handler] = {
    "BlockPeek": block_peek, "CoreDump": core_dump, "GetControlInfo": control_info, "GetDiskErrors": disk_errors,
    "GetSecurityLabelList": labels, "MemoryPeek": memory_peek, "OpenGraphicsFD": graphics,
}  # fmt: skip
