"""The <networkport> document: one NIC's place on a network."""

from __future__ import annotations

from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.netparts import Rate, VirtualPort, Vlan
from frontinus.xml import Model, one, xml
from frontinus.xml.codecs import Mac, UInt32, Uuid, YesNo, one_of

SETTINGS = ("inbound", "outbound", "vlan", "isolated", "virtual_port", "trust_filters")
"""What a port and its NIC both say."""


class NetworkPort(Model, tag="networkport"):
    """What a NIC is plugged into: a bridge of ours (network), another's bridge, a host device (direct), a PCI device."""

    uuid: str | None = xml("uuid", Uuid)
    owner_name: str = xml("owner/name", required=True)
    owner_uuid: str = xml("owner/uuid", Uuid, required=True)
    group: str | None = xml("group")
    mac: str = xml("mac/@address", Mac, required=True)
    class_id: int | None = xml("bandwidth/@classID", UInt32)
    inbound: Rate | None = one("bandwidth/inbound", Rate)
    outbound: Rate | None = one("bandwidth/outbound", Rate)
    vlan: Vlan | None = one("vlan", Vlan)
    isolated: bool | None = xml("port/@isolated", YesNo)
    virtual_port: VirtualPort | None = one("virtualport", VirtualPort)
    trust_filters: bool | None = xml("rxfilters/@trustGuest", YesNo)
    plug: str = xml("plug/@type", one_of("none", "network", "bridge", "direct", "hostdev-pci"), required=True)
    bridge: str | None = xml("plug/@bridge")
    mac_table: str | None = xml("plug/@macTableManager", one_of("kernel", "libvirt"))
    device: str | None = xml("plug/@dev")
    mode: str | None = xml("plug/@mode", one_of("vepa", "private", "bridge", "passthrough"))
    managed: bool | None = xml("plug/@managed", YesNo)
    driver: str | None = xml("plug/driver/@name", one_of("kvm", "vfio"))
    address: PciAddress | None = one("plug/address", PciAddress)
