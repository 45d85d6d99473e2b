"""org.libvirt.StorageVol, named by its key, and what pools and connections have of volumes."""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable, Mapping

from frontinus.api.errors import InvalidValue
from frontinus.api.storage import ResizeFlag, VolumeFlag, VolumeKind, VolumeView, WipeAlgorithm
from frontinus_dbus import names
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt.connect import NONE, root
from frontinus_dbus.libvirt.pools import pool
from frontinus_dbus.service import Call, Getter, Handler

CREATE = Flags({"prealloc-metadata": 1, "reflink": 2, "validate": 4})
RESIZE = Flags({"allocate": 1, "delta": 2, "shrink": 4})
INFO = Flags({"physical": 1})
DELETE = Flags({"zeroed": 1, "with-snapshots": 2})
KINDS: tuple[VolumeKind, ...] = typing.get_args(VolumeKind)
WIPES: tuple[WipeAlgorithm, ...] = typing.get_args(WipeAlgorithm)
"""libvirt's numbers: the index of each name."""


def path(call: Call, found: VolumeView) -> str:
    return f"{root(call)}/storagevol/{names.of_text(found.key)}"


async def volume(call: Call) -> VolumeView:
    """The volume that is called. Raises NoSuchVolume."""
    return await (await call.engine()).volume_by_key(call.key)


async def lookup_key(call: Call, key: str) -> str:
    """The volume of a key."""
    return path(call, await (await call.engine()).volume_by_key(key))


async def lookup_path(call: Call, file: str) -> str:
    """The volume of a path."""
    return path(call, await (await call.engine()).volume_by_path(file))


async def listed(call: Call, flags: int) -> list[str]:
    """Its volumes."""
    NONE.read(flags)
    return [path(call, found) for found in await (await call.engine()).volumes(pool(call).uuid)]


async def lookup_name(call: Call, name: str) -> str:
    """Its volume of a name."""
    return path(call, await (await call.engine()).volume(pool(call).uuid, name))


def making(flags: int) -> list[VolumeFlag]:
    given = CREATE.read(flags)
    return [flag for flag in typing.get_args(VolumeFlag) if flag in given]


async def create(call: Call, text: str, flags: int) -> str:
    """Make a volume."""
    return path(call, await (await call.engine()).create_volume(pool(call).uuid, text, making(flags)))


async def clone(call: Call, text: str, key: str, flags: int) -> str:
    """Make a volume with the content of another."""
    engine = await call.engine()
    source = await engine.volume_by_key(key)
    return path(call, await engine.clone_volume(pool(call).uuid, text, source.pool, source.name, making(flags)))


async def delete(call: Call, flags: int) -> None:
    """Remove it, by flag (1) wiped before."""
    given = DELETE.read(flags)
    found = await volume(call)
    engine = await call.engine()
    if "zeroed" in given:
        await engine.wipe_volume(found.pool, found.name)
    await engine.delete_volume(found.pool, found.name)


async def info(call: Call, flags: int) -> list[int]:
    """Type, capacity and allocation, by flag (1) what it takes physically."""
    given = INFO.read(flags)
    found = await volume(call)
    used = found.physical if "physical" in given and found.physical is not None else found.allocation
    return [KINDS.index(found.kind), found.capacity, used]


async def xml(call: Call, flags: int) -> str:
    """The definition."""
    NONE.read(flags)
    found = await volume(call)
    return await (await call.engine()).volume_xml(found.pool, found.name)


async def resize(call: Call, capacity: int, flags: int) -> None:
    """Give it another capacity in bytes: allocated, as a difference, or smaller, by flag."""
    given = RESIZE.read(flags)
    found = await volume(call)
    chosen: list[ResizeFlag] = [flag for flag in typing.get_args(ResizeFlag) if flag in given]
    await (await call.engine()).resize_volume(found.pool, found.name, capacity, chosen)


async def wipe(call: Call, pattern: int, flags: int) -> None:
    """Overwrite all of it."""
    NONE.read(flags)
    if pattern >= len(WIPES):
        raise InvalidValue(f"unknown pattern {pattern}", field="pattern")
    found = await volume(call)
    await (await call.engine()).wipe_volume(found.pool, found.name, WIPES[pattern])


def _member(name: str) -> Callable[[Call], Awaitable[object]]:
    async def get(call: Call) -> object:
        return getattr(await volume(call), name)

    return get


CONNECT: Mapping[str, Handler] = {"StorageVolLookupByKey": lookup_key, "StorageVolLookupByPath": lookup_path}
OF_POOL: Mapping[str, Handler] = {
    "ListStorageVolumes": listed, "StorageVolCreateXML": create, "StorageVolCreateXMLFrom": clone,
    "StorageVolLookupByName": lookup_name,
}  # fmt: skip
METHODS: Mapping[str, Handler] = {"Delete": delete, "GetInfo": info, "GetXMLDesc": xml, "Resize": resize, "Wipe": wipe}
GETTERS: Mapping[str, Getter] = {"Key": _member("key"), "Name": _member("name"), "Path": _member("path")}
