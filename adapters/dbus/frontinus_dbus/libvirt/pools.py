"""org.libvirt.StoragePool, and what org.libvirt.Connect has of storage pools."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence

from frontinus.api.errors import NoSuchPool
from frontinus.api.storage import BuildFlag, PoolState, PoolView
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt.connect import NONE, object_path, to_uuid
from frontinus_dbus.libvirt.listing import Listing
from frontinus_dbus.service import Call, Getter, Handler, Setter

TYPES = ("dir", "fs", "netfs", "logical", "disk", "iscsi", "scsi", "mpath", "rbd", "sheepdog", "gluster", "zfs",
         "vstorage", "iscsi-direct")  # fmt: skip
"""Of each the bit is the next after those of the other groups."""


def _is(kind: str) -> Callable[[PoolView], bool]:
    return lambda pool: pool.kind == kind


LIST: Listing[PoolView] = Listing((
    (("inactive", 1, lambda p: not p.active), ("active", 2, lambda p: p.active)),
    (("persistent", 4, lambda p: p.persistent), ("transient", 8, lambda p: not p.persistent)),
    (("autostart", 16, lambda p: p.autostart), ("no-autostart", 32, lambda p: not p.autostart)),
    tuple((kind, 64 << index, _is(kind)) for index, kind in enumerate(TYPES)),
))  # fmt: skip
XML = Flags({"inactive": 1})
DEFINE = Flags({"validate": 1})
CREATE = Flags({"build": 1, "overwrite": 2, "no-overwrite": 4})
BUILD = Flags({"repair": 1, "resize": 2, "no-overwrite": 4, "overwrite": 8})
STATES: tuple[PoolState, ...] = typing.get_args(PoolState)
"""libvirt's numbers: the index of each name."""


def all_of(call: Call) -> list[PoolView]:
    return [thing for thing in call.model.things["storagepool"].values() if isinstance(thing, PoolView)]


def pool(call: Call) -> PoolView:
    """The pool that is called. Raises NoSuchPool."""
    found = call.model.find("storagepool", call.key)
    if not isinstance(found, PoolView):
        raise NoSuchPool(f"no storage pool with matching uuid '{call.key}'")
    return found


def path(call: Call, found: PoolView | None, how: str = "") -> str:
    if found is None:
        raise NoSuchPool(f"no storage pool with matching {how}")
    return object_path(call, "storagepool", found.uuid)


def list_pools(call: Call, flags: int) -> list[str]:
    """The storage pools, or those that the flags choose."""
    return [path(call, found) for found in LIST.choose(all_of(call), flags)]


def lookup_name(call: Call, name: str) -> str:
    """The storage pool of a name."""
    return path(call, next((p for p in all_of(call) if p.name == name), None), f"name '{name}'")


def lookup_uuid(call: Call, uuid: str) -> str:
    """The storage pool of a UUID."""
    wanted = to_uuid(uuid)
    return path(call, next((p for p in all_of(call) if p.uuid == wanted), None), f"uuid '{wanted}'")


def built(flags: int) -> Sequence[BuildFlag] | None:
    """How a pool is built before it starts; None: not at all."""
    given = CREATE.read(flags)
    if not given:
        return None
    return [flag for flag in typing.get_args(BuildFlag) if flag in given]


async def define(call: Call, text: str, flags: int) -> str:
    """Store a storage pool's definition, new or replaced."""
    given = DEFINE.read(flags)
    return path(call, await (await call.engine()).define_pool(text, "validate" in given))


async def create_xml(call: Call, text: str, flags: int) -> str:
    """Start a transient storage pool, by flag built before."""
    return path(call, await (await call.engine()).create_pool(text, built(flags)))


async def find_sources(call: Call, kind: str, where: str, flags: int) -> str:
    """What sources of a type there are, as XML."""
    NONE.read(flags)
    return await (await call.engine()).find_pool_sources(kind, where or None)


async def build(call: Call, flags: int) -> None:
    """Make what it needs: a folder, a file system, a table of partitions."""
    given = BUILD.read(flags)
    engine = await call.engine()
    await engine.build_pool(pool(call).uuid, [flag for flag in typing.get_args(BuildFlag) if flag in given])


async def create(call: Call, flags: int) -> None:
    """Start it, by flag built before."""
    await (await call.engine()).start_pool(pool(call).uuid, built(flags))


async def delete(call: Call, flags: int) -> None:
    """Remove its data."""
    Flags({"zeroed": 1}).read(flags)
    await (await call.engine()).delete_pool(pool(call).uuid)


async def destroy(call: Call) -> None:
    """Stop it; its data stays."""
    await (await call.engine()).destroy_pool(pool(call).uuid)


async def undefine(call: Call) -> None:
    """Forget the definition."""
    await (await call.engine()).undefine_pool(pool(call).uuid)


async def refresh(call: Call, flags: int) -> None:
    """Look anew at its volumes."""
    NONE.read(flags)
    await (await call.engine()).refresh_pool(pool(call).uuid)


async def info(call: Call) -> list[int]:
    """State, capacity, allocation and what is free, in bytes."""
    found = await (await call.engine()).pool(pool(call).uuid)
    return [STATES.index(found.state), found.capacity, found.allocation, found.available]


async def xml(call: Call, flags: int) -> str:
    """The definition."""
    return await (await call.engine()).pool_xml(pool(call).uuid, "inactive" in XML.read(flags))


async def set_autostart(call: Call, on: object) -> None:
    await (await call.engine()).set_pool_autostart(pool(call).uuid, bool(on))


CONNECT: Mapping[str, Handler] = {
    "FindStoragePoolSources": find_sources, "ListStoragePools": list_pools, "StoragePoolCreateXML": create_xml,
    "StoragePoolDefineXML": define, "StoragePoolLookupByName": lookup_name, "StoragePoolLookupByUUID": lookup_uuid,
}  # fmt: skip
METHODS: Mapping[str, Handler] = {
    "Build": build, "Create": create, "Delete": delete, "Destroy": destroy, "GetInfo": info, "GetXMLDesc": xml,
    "Refresh": refresh, "Undefine": undefine,
}  # fmt: skip
GETTERS: Mapping[str, Getter] = {
    "Active": lambda call: pool(call).active, "Autostart": lambda call: pool(call).autostart,
    "Name": lambda call: pool(call).name, "Persistent": lambda call: pool(call).persistent,
    "UUID": lambda call: pool(call).uuid,
}  # fmt: skip
SETTERS: Mapping[str, Setter] = {"Autostart": set_autostart}
