"""A storage pool's definition: where its bytes come from, where they are reached, who may."""

from __future__ import annotations

from frontinus.domain.devices.block.credentials import Auth
from frontinus.storage.parts import Bytes, Path, Permissions
from frontinus.xml import Model, many, one, texts, xml
from frontinus.xml.codecs import Hex2, Hex4, HexFree, Int, UInt32, Uuid, YesNo, integer, one_of

KINDS = ("dir", "fs", "netfs", "logical", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "sheepdog", "gluster",
         "zfs", "vstorage")  # fmt: skip
"""Types of pools, in virsh's order."""


class Extent(Model, tag="freeExtent"):
    """A free part of a device. Bytes."""

    start: int = xml("@start", Int, required=True)
    end: int = xml("@end", Int, required=True)


class Device(Model, tag="device"):
    """A device or target that the pool is made of."""

    path: str = xml("@path", required=True)
    part_separator: bool | None = xml("@part_separator", YesNo)
    free: list[Extent] = many("freeExtent", Extent, live=True)


class Server(Model, tag="host"):
    name: str = xml("@name", required=True)
    port: int | None = xml("@port", integer(0, 65535))


class ParentAddress(Model, tag="address"):
    domain: int = xml("@domain", Hex4, default=0)
    bus: int = xml("@bus", Hex2, default=0)
    slot: int = xml("@slot", Hex2, default=0)
    function: int = xml("@function", HexFree, default=0)


class Parent(Model, tag="parentaddr"):
    """A SCSI host by the PCI function that it sits on, which stays the same when host numbers change."""

    unique_id: int | None = xml("@unique_id", UInt32)
    address: ParentAddress | None = one("address", ParentAddress)


class Adapter(Model, tag="adapter"):
    """A SCSI host, or a virtual port of a Fibre Channel host (NPIV)."""

    type: str | None = xml("@type", one_of("scsi_host", "fc_host"))
    name: str | None = xml("@name")
    parent: str | None = xml("@parent")
    managed: bool | None = xml("@managed", YesNo)
    parent_wwnn: str | None = xml("@parent_wwnn")
    parent_wwpn: str | None = xml("@parent_wwpn")
    parent_fabric_wwn: str | None = xml("@parent_fabric_wwn")
    wwnn: str | None = xml("@wwnn")
    wwpn: str | None = xml("@wwpn")
    parent_address: Parent | None = one("parentaddr", Parent)

    def complete(self) -> None:
        """The type that old documents leave out."""
        self.type = self.type or ("fc_host" if self.wwnn and self.wwpn else "scsi_host")


class PoolSource(Model, tag="source"):
    """Where the pool's bytes come from."""

    hosts: list[Server] = many("host", Server)
    devices: list[Device] = many("device", Device)
    dir: str | None = xml("dir/@path")
    adapter: Adapter | None = one("adapter", Adapter)
    name: str | None = xml("name")
    initiator: str | None = xml("initiator/iqn/@name")
    format: str | None = xml("format/@type")
    auth: Auth | None = one("auth", Auth)
    protocol: str | None = xml("protocol/@ver")
    vendor: str | None = xml("vendor/@name")
    product: str | None = xml("product/@name")


class PoolTarget(Model, tag="target"):
    """Where the pool's volumes are on this host."""

    path: str | None = xml("path", Path)
    permissions: Permissions | None = one("permissions", Permissions)


class ConfigOption(Model, tag="option"):
    name: str = xml("@name", required=True)
    value: str = xml("@value", required=True)


class Pool(Model, tag="pool"):
    """One pool. Sizes in bytes; they are what the last refresh found, and 0 in a definition."""

    type: str = xml("@type", one_of(*KINDS), required=True)
    name: str | None = xml("name")
    uuid: str | None = xml("uuid", Uuid)
    cow: bool | None = xml("features/cow/@state", YesNo)
    capacity: int = xml("capacity", Bytes, default=0)
    allocation: int = xml("allocation", Bytes, default=0)
    available: int = xml("available", Bytes, default=0)
    source: PoolSource | None = one("source", PoolSource)
    target: PoolTarget | None = one("target", PoolTarget)
    mount_options: list[str] = texts("fs:mount_opts/fs:option/@name")
    config_options: list[ConfigOption] = many("rbd:config_opts/rbd:option", ConfigOption)

    @property
    def origin(self) -> PoolSource:
        """The source; an empty one where there is none."""
        return self.source or PoolSource()

    @property
    def path(self) -> str:
        """The target's path, "" where the kind has none."""
        return (self.target.path if self.target else None) or ""

    @property
    def permissions(self) -> Permissions:
        return (self.target.permissions if self.target else None) or Permissions()

    @property
    def device_paths(self) -> list[str]:
        return [device.path for device in self.origin.devices]
