"""What storage pools and networks were made from, and the volumes in pools (DSP1041, DSP1047)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus_cim.host.world import World
from frontinus_cim.instances.kinds import Kind
from frontinus_cim.instances.pools import KINDS, Pool, find, pools
from frontinus_cim.instances.switch_settings import netmask
from frontinus_cim.wire.model import HOST, Path, Value
from frontinus_cim.wire.writer import Columns

POOL_TYPES = ("unknown", "dir", "fs", "netfs", "disk", "iscsi", "logical", "scsi")
"""Type of KVM_DiskPoolResourceAllocationSettingData is the index."""


PLACES: Mapping[str, str] = {
    "Host": "source/host/@name", "SourceDirectory": "source/dir/@path", "Adapter": "source/adapter/@name",
    "AdapterName": "source/adapter/@name", "PortName": "source/adapter/@wwpn", "NodeName": "source/adapter/@wwnn",
    "Path": "target/path",
}  # fmt: skip
"""Where a storage pool's properties stand in its definition."""


def _common(words: str, type_: int) -> Columns[Pool]:
    return {"InstanceID": lambda p: p.id, "ElementName": lambda p: p.name, "Caption": words, "ResourceType": type_,
            "PoolID": lambda p: p.id, "ChangeableType": 2, "VirtualQuantity": 1, "AllocationUnits": "count",
            "VirtualQuantityUnits": "count"}  # fmt: skip


def _storage(pool: Pool) -> PoolView:
    assert pool.storage is not None
    return pool.storage.view


def _network(pool: Pool) -> NetworkView:
    assert pool.network is not None
    return pool.network.view


def _fact(pool: Pool, path: str) -> str | None:
    entry = pool.storage or pool.network
    return entry.facts.get(path) if entry else None


def _devices(pool: Pool) -> list[str] | None:
    return [value for path, value in (pool.storage.facts if pool.storage else {}).items()
            if path.startswith("source/device") and path.endswith("/@path")] or None  # fmt: skip


def _only_own(family: str) -> tuple[Callable[[World], Iterable[Pool]], Callable[[World, Path], Pool | None]]:
    """Pools that have settings: those that somebody made."""

    def every(world: World) -> Iterable[Pool]:
        return (pool for pool in pools(world, family) if pool.storage or pool.network)

    def find_one(world: World, path: Path) -> Pool | None:
        found = find(world, path.key("InstanceID"))
        return found if found and found.family == family and (found.storage or found.network) else None

    return every, find_one


DISK_POOL_SETTINGS: Kind[Pool] = Kind("KVM_DiskPoolResourceAllocationSettingData", {
    **_common("Storage pool settings", 17),
    "Type": lambda p: POOL_TYPES.index(k) if (k := _storage(p).kind) in POOL_TYPES else 0,
    "ResourceSubType": lambda p: _storage(p).kind, "Path": lambda p: _storage(p).path,
    **{name: lambda p, at=at: _fact(p, at) for name, at in PLACES.items() if name != "Path"},  # type: ignore[misc]
    "DevicePaths": _devices,
    "Autostart": lambda p: int(_storage(p).autostart),
}, *_only_own("disk"))  # fmt: skip

NET_POOL_SETTINGS: Kind[Pool] = Kind("KVM_NetPoolResourceAllocationSettingData", {
    **_common("Network settings", 10),
    "ResourceSubType": lambda p: _network(p).forward, "Address": lambda p: _fact(p, "ip/@address"),
    "Netmask": lambda p: netmask(p.network.facts if p.network else {}),
    "IPRangeStart": lambda p: _fact(p, "ip/dhcp/range/@start"), "IPRangeEnd": lambda p: _fact(p, "ip/dhcp/range/@end"),
    "ForwardMode": lambda p: _network(p).forward, "ForwardDevice": lambda p: _fact(p, "forward/@dev"),
    "BridgeName": lambda p: _network(p).bridge,
}, *_only_own("net"))  # fmt: skip


@dataclass(frozen=True)
class Volume:
    """A volume in its pool."""

    pool: Pool
    name: str

    @property
    def id(self) -> str:
        return f"{self.pool.id}/{self.name}"


def volumes(pool: Pool) -> Iterable[Volume]:
    return (Volume(pool, name) for name in (pool.storage.volumes if pool.storage else ()))


def _every_volume(world: World) -> Iterable[Volume]:
    return (volume for pool in pools(world, "disk") for volume in volumes(pool))


def _find_volume(world: World, given: Value) -> Volume | None:
    prefix, _, rest = str(given).partition("/")
    pool_name, _, name = rest.partition("/")
    pool = find(world, f"{prefix}/{pool_name}")
    return Volume(pool, name) if pool and pool.storage and name in pool.storage.volumes else None


def _of(attribute: str) -> Callable[[Volume], Value]:
    return lambda v: getattr(v.pool.storage.volumes[v.name], attribute) if v.pool.storage else None


VOLUME_SETTINGS: Kind[Volume] = Kind("KVM_StorageVolumeResourceAllocationSettingData", {
    "InstanceID": lambda v: v.id, "ElementName": lambda v: v.name, "Caption": "Volume settings", "ResourceType": 32,
    "PoolID": lambda v: v.pool.id, "VolumeName": lambda v: v.name, "Path": _of("path"), "FormatType": _of("format"),
    "Capacity": _of("capacity"), "Allocation": _of("allocation"), "AllocationQuantity": _of("allocation"),
    "AllocationQuantityUnits": "byte", "VirtualQuantity": 1,
    "AllocationUnits": "count", "VirtualQuantityUnits": "count", "Address": _of("path"),
}, _every_volume, lambda world, path: _find_volume(world, path.key("InstanceID")))  # fmt: skip

VOLUMES: Kind[Volume] = Kind("KVM_StorageVolume", {
    "SystemCreationClassName": HOST, "SystemName": lambda v: v.pool.world.hostname, "CreationClassName": "KVM_StorageVolume",
    "DeviceID": lambda v: v.id, "Name": _of("path"), "ElementName": lambda v: v.name, "Caption": "Volume", "BlockSize": 512,
    "NumberOfBlocks": lambda v: _blocks(v), "ConsumableBlocks": lambda v: _blocks(v), "EnabledState": 2, "RequestedState": 12,
    "OperationalStatus": [2], "HealthState": 5, "Primordial": False, "Access": 3, "ThinlyProvisioned": lambda v: _thin(v),
    "NameFormat": 1,
}, _every_volume, lambda world, path: _find_volume(world, path.key("DeviceID")))  # fmt: skip


def _blocks(volume: Volume) -> int | None:
    size = _of("capacity")(volume)
    return size // 512 if isinstance(size, int) else None


def _thin(volume: Volume) -> bool | None:
    size, taken = _of("capacity")(volume), _of("allocation")(volume)
    return taken < size if isinstance(size, int) and isinstance(taken, int) else None


ALL: Sequence[Kind[Any]] = (*KINDS.values(), DISK_POOL_SETTINGS, NET_POOL_SETTINGS, VOLUME_SETTINGS, VOLUMES)
"""Pools, their settings and volumes."""
