"""CIM_ResourcePoolConfigurationService (DSP1041): storage pools, networks and volumes made and removed by settings."""

from __future__ import annotations

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.client.details import parse
from frontinus_cim.host.resources import Storage
from frontinus_cim.instances.fields import put, text
from frontinus_cim.instances.pool_settings import PLACES, POOL_TYPES
from frontinus_cim.instances.pools import CLASSES, Pool
from frontinus_cim.instances.services import POOLS
from frontinus_cim.methods.calls import NOT_SUPPORTED, MethodCall, Result, method
from frontinus_cim.methods.define import checked
from frontinus_cim.methods.switches import remove_network
from frontinus_cim.translation import compose, compose_switch, new
from frontinus_cim.wire.errors import CimError, Status, invalid
from frontinus_cim.wire.model import Embedded, Value

DISK_SETTINGS, NET_SETTINGS = "KVM_DiskPoolResourceAllocationSettingData", "KVM_NetPoolResourceAllocationSettingData"
VOLUME_SETTINGS = "KVM_StorageVolumeResourceAllocationSettingData"


def _settings(call: MethodCall, cls: str | None = None) -> Embedded:
    found = call.arguments.get("Settings")
    if isinstance(found, list) and len(found) > 1:
        raise invalid("Settings: one pool is made at a time")
    given = found[0] if isinstance(found, list) and found else found
    if not isinstance(given, Embedded) or (cls is not None and given.cls != cls):
        raise invalid(f"Settings must be {cls or 'settings of a pool'}")
    return compose.in_words(given)


def _pool(call: MethodCall) -> Pool:
    path = call.path("Pool")
    node = call.registry.find(call.world, path) if path else None
    if node is None or not isinstance(node.subject, Pool):
        raise CimError(Status.NOT_FOUND, "Pool: there is no such pool")
    return node.subject


# --- documents


def storage_xml(name: str, given: Embedded) -> str:
    """A storage pool's definition. Raises CimError."""
    values, kind = given.values, given.values.get("Type")
    if kind is None:
        kind = 1
    if not isinstance(kind, int) or not 1 <= kind < len(POOL_TYPES):
        raise invalid(f"Type {kind} is not known")
    root = etree.Element("pool", type=POOL_TYPES[kind])
    put(root, "name", name)
    for prop, path in PLACES.items():
        if isinstance(said := values.get(prop), str) and said:
            put(root, path, said)
    paths = values.get("DevicePaths")
    if isinstance(paths, list) and paths:
        put(root, "source", "")
        source = root.find("source")
        assert source is not None
        for path in paths[:64]:
            etree.SubElement(source, "device").set("path", str(path))
    return text(root)


def network_xml(name: str, given: Embedded) -> str:
    """A network's definition. Raises CimError."""
    whole = Embedded(given.cls, {**given.values, "VirtualSystemIdentifier": name})
    return compose_switch.definition(whole, None)[1]


def volume_xml(given: Embedded) -> str:
    """A volume's definition. Raises CimError."""
    values = given.values
    name, capacity = values.get("VolumeName") or values.get("ElementName"), values.get("Capacity")
    if not isinstance(name, str) or not name or not isinstance(capacity, int):
        raise invalid("a volume needs VolumeName and Capacity")
    root = etree.Element("volume")
    put(root, "name", name)
    for tag, size in (
        ("capacity", capacity),
        ("allocation", values.get("Allocation", values.get("AllocationQuantity"))),
    ):
        if isinstance(size, int):
            put(root, tag, str(size))
            put(root, f"{tag}/@unit", "bytes")
    if isinstance(kind := values.get("FormatType"), str) and kind:
        put(root, "target/format/@type", kind)
    return text(root)


# --- methods


@method(POOLS, "CreateChildResourcePool")
async def create_child(call: MethodCall) -> Result:
    """A storage pool or a network, started, and started with the host from now on."""
    given = _settings(call)
    name = call.arguments.get("ElementName") or str(given.values.get("PoolID") or "").partition("/")[2]
    if not isinstance(name, str) or not name:
        raise invalid("ElementName must name the pool")
    if given.cls == DISK_SETTINGS:
        xml, auto = checked(lambda: storage_xml(name, given)), given.values.get("Autostart") != 0
        checked(lambda: new.storage(call.world, parse(xml), given, autostart=auto))
        return await call.long(_create_storage(call, call.engine, name, xml, autostart=auto))
    if given.cls == NET_SETTINGS:
        xml = checked(lambda: network_xml(name, given))
        checked(lambda: new.network(call.world, parse(xml), given, autostart=True))
        return await call.long(_create_network(call, call.engine, name, xml))
    raise invalid(f"pools are made of {DISK_SETTINGS} or {NET_SETTINGS}")


async def _create_storage(call: MethodCall, engine: Engine, name: str, xml: str, *, autostart: bool) -> Result:
    view = await engine.define_pool(xml)
    await engine.start_pool(view.uuid, build=())
    await engine.set_pool_autostart(view.uuid, autostart)
    shown = call.world.pools
    await call.world.shows(lambda: view.uuid in shown and shown[view.uuid].view.autostart == autostart)
    return Result(0, {"Pool": _path(call, "disk", name)})


async def _create_network(call: MethodCall, engine: Engine, name: str, xml: str) -> Result:
    view = await engine.define_network(xml)
    await engine.start_network(view.uuid)
    await engine.set_network_autostart(view.uuid, True)
    shown = call.world.networks
    await call.world.shows(lambda: view.uuid in shown and shown[view.uuid].view.autostart)
    return Result(0, {"Pool": _path(call, "net", name)})


def _path(call: MethodCall, family: str, name: str) -> Value:
    from frontinus_cim.wire.model import Path

    row = CLASSES[family]
    return Path(row.cls, (("InstanceID", f"{row.prefix}/{name}"),))


@method(POOLS, "DeleteResourcePool")
async def delete_pool(call: MethodCall) -> Result:
    """Stop and forget; what is stored in a storage pool stays."""
    pool = _pool(call)
    if pool.storage is None and pool.network is None:
        return Result(NOT_SUPPORTED)
    return await call.long(_delete(call, call.engine, pool))


async def _delete(call: MethodCall, engine: Engine, pool: Pool) -> Result:
    if pool.storage is not None:
        view = pool.storage.view
        if view.active:
            await engine.destroy_pool(view.uuid)
        if view.persistent:
            await engine.undefine_pool(view.uuid)
        await call.world.shows(lambda: view.uuid not in call.world.pools)
    elif pool.network is not None:
        await remove_network(call, engine, pool.network)
    return Result(0)


def _storage(call: MethodCall) -> Pool:
    pool = _pool(call)
    if pool.storage is None:
        raise CimError(Status.NOT_SUPPORTED, "only storage pools have volumes")
    return pool


@method(POOLS, "CreateResourceInPool")
async def create_volume(call: MethodCall) -> Result:
    pool, given = _storage(call), compose.volume_in_bytes(_settings(call, VOLUME_SETTINGS))
    xml = checked(lambda: volume_xml(given))
    checked(lambda: new.volume(pool, parse(xml), given))
    return await call.long(_create_volume(call, call.engine, pool, xml))


async def _create_volume(call: MethodCall, engine: Engine, pool: Pool, xml: str) -> Result:
    assert pool.storage is not None
    view = await engine.create_volume(pool.storage.view.uuid, xml)
    await call.world.shows(lambda: True, pool.storage)
    return Result(0, {"Resource": view.path})


@method(POOLS, "DeleteResourceInPool")
async def delete_volume(call: MethodCall) -> Result:
    pool, given = _storage(call), call.instance("Resource")
    assert pool.storage is not None
    wanted = given.values if given else {}
    name = next((v.name for v in pool.storage.volumes.values()
                 if v.path in (wanted.get("Path"), wanted.get("Address")) or v.name == wanted.get("VolumeName")), None)  # fmt: skip
    if name is None:
        raise CimError(Status.NOT_FOUND, "Resource names no volume of the pool")
    return await call.long(_delete_volume(call, call.engine, pool.storage, name))


async def _delete_volume(call: MethodCall, engine: Engine, pool: Storage, name: str) -> Result:
    await engine.delete_volume(pool.view.uuid, name)
    await call.world.shows(lambda: True, pool)
    return Result(0)


@method(POOLS, "RefreshResourcesInPool")
async def refresh(call: MethodCall) -> Result:
    pool = _storage(call)
    assert pool.storage is not None
    return await call.long(_refresh(call, call.engine, pool.storage))


async def _refresh(call: MethodCall, engine: Engine, pool: Storage) -> Result:
    await engine.refresh_pool(pool.view.uuid)
    await call.world.shows(lambda: True, pool)
    return Result(0)


@method(
    POOLS,
    "CreateResourcePool",
    "AddResourcesToResourcePool",
    "RemoveResourcesFromResourcePool",
)
async def not_supported(call: MethodCall) -> Result:
    """As the service's capabilities say."""
    return Result(NOT_SUPPORTED)
