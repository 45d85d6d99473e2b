"""The <interface> device: a network card and what it is attached to."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, PciAddress, Rom, VirtioOptions
from frontinus.domain.devices.netparts import Ip, Parameter, Rate, Route, VirtualPort, Vlan
from frontinus.filter.instance import FilterUse
from frontinus.xml import Model, many, one, xml
from frontinus.xml.codecs import Mac, OnOff, UInt32, YesNo, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

KINDS = (
    "user", "ethernet", "server", "client", "mcast", "network", "bridge", "internal", "direct", "hostdev", "udp",
    "vdpa", "null", "vds", "vhostuser",
)  # fmt: skip
REFUSED = frozenset({"internal", "null", "vds"})
"""Kinds of other hypervisors."""
TAPS = frozenset({"network", "bridge", "ethernet", "direct"})
"""Kinds whose traffic passes through a tap or macvtap device of the host."""
QUEUED = TAPS | {"vhostuser", "vdpa"}
PASST = frozenset({"user", "vhostuser"})
"""Kinds whose other end can be passt."""
VIRTIO_MODELS = frozenset({"virtio", "virtio-transitional", "virtio-non-transitional"})
GENERATED = ("vnet", "vif", "macvtap", "macvlan")
"""Prefixes of device names that are chosen at each start."""
DEFAULT_MODELS = ("rtl8139", "e1000", "virtio-net-pci")
SOURCES: dict[str, tuple[str, ...]] = {
    "network": ("network",), "bridge": ("bridge",), "direct": ("device",), "vdpa": ("device",), "internal": ("name",),
    "vhostuser": ("socket", "path", "mode"), "client": ("address", "port"), "server": ("port",),
    "mcast": ("address", "port"), "udp": ("address", "port", "local_address", "local_port"),
}  # fmt: skip
"""What <source> must say, by kind."""
OUI = (0x52, 0x54, 0x00)


class InterfaceSource(Model, tag="source"):
    """What the card is attached to: which attributes have a meaning depends on the kind of interface."""

    network: str | None = xml("@network")
    portgroup: str | None = xml("@portgroup")
    bridge: str | None = xml("@bridge")
    port_id: str | None = xml("@portid", live=True)
    name: str | None = xml("@name")
    device: str | None = xml("@dev")
    socket: str | None = xml("@type", one_of("unix"))
    path: str | None = xml("@path")
    mode: str | None = xml("@mode", one_of("vepa", "private", "bridge", "passthrough", "client", "server"))
    address: str | None = xml("@address")
    port: int | None = xml("@port", integer(0, 65535))
    local_address: str | None = xml("local/@address")
    local_port: int | None = xml("local/@port", integer(0, 65535))
    switch_id: str | None = xml("@switchid")
    portgroup_id: str | None = xml("@portgroupid")
    connection_id: str | None = xml("@connectionid")
    reconnect: bool | None = xml("reconnect/@enabled", YesNo)
    reconnect_timeout: int | None = xml("reconnect/@timeout", UInt32)
    host_device: PciAddress | None = one("address", PciAddress)
    ips: list[Ip] = many("ip", Ip)
    routes: list[Route] = many("route", Route)


class PortRange(Model, tag="range"):
    """Ports of one <portForward>."""

    start: int | None = xml("@start", integer(1, 65535))
    end: int | None = xml("@end", integer(1, 65535))
    to: int | None = xml("@to", integer(1, 65535))
    exclude: bool | None = xml("@exclude", YesNo)


class PortForward(Model, tag="portForward"):
    """Ports of the host that lead into the guest (passt)."""

    proto: str = xml("@proto", one_of("tcp", "udp"), required=True)
    address: str | None = xml("@address")
    device: str | None = xml("@dev")
    ranges: list[PortRange] = many("range", PortRange)


class Interface(Device, VirtioOptions, tag="interface"):
    """An <interface> element."""

    type: str = xml("@type", one_of(*KINDS), required=True)
    managed: bool | None = xml("@managed", YesNo)
    trust_filters: bool | None = xml("@trustGuestRxFilters", YesNo)
    mac: str | None = xml("mac/@address", Mac)
    mac_type: str | None = xml("mac/@type", one_of("generated", "static"))
    mac_check: bool | None = xml("mac/@check", YesNo)
    source: InterfaceSource | None = one("source", InterfaceSource)
    vlan: Vlan | None = one("vlan", Vlan)
    virtual_port: VirtualPort | None = one("virtualport", VirtualPort)
    inbound: Rate | None = one("bandwidth/inbound", Rate)
    outbound: Rate | None = one("bandwidth/outbound", Rate)
    isolated: bool | None = xml("port/@isolated", YesNo)
    script: str | None = xml("script/@path")
    down_script: str | None = xml("downscript/@path")
    backend_domain: str | None = xml("backenddomain/@name")
    target: str | None = xml("target/@dev")
    target_managed: bool | None = xml("target/@managed", YesNo)
    guest_name: str | None = xml("guest/@dev")
    guest_actual: str | None = xml("guest/@actual", live=True)
    ips: list[Ip] = many("ip", Ip)
    routes: list[Route] = many("route", Route)
    port_forwards: list[PortForward] = many("portForward", PortForward)
    model: str | None = xml("model/@type")
    driver: str | None = xml("driver/@name", one_of("qemu", "vhost", "vfio", "kvm", "xen"))
    tx_mode: str | None = xml("driver/@txmode", one_of("iothread", "timer"))
    ioeventfd: bool | None = xml("driver/@ioeventfd", OnOff)
    event_idx: bool | None = xml("driver/@event_idx", OnOff)
    queues: int | None = xml("driver/@queues", UInt32)
    rx_queue_size: int | None = xml("driver/@rx_queue_size", UInt32)
    tx_queue_size: int | None = xml("driver/@tx_queue_size", UInt32)
    rss: bool | None = xml("driver/@rss", OnOff)
    rss_hash_report: bool | None = xml("driver/@rss_hash_report", OnOff)
    host_csum: bool | None = xml("driver/host/@csum", OnOff)
    host_gso: bool | None = xml("driver/host/@gso", OnOff)
    host_tso4: bool | None = xml("driver/host/@tso4", OnOff)
    host_tso6: bool | None = xml("driver/host/@tso6", OnOff)
    host_ecn: bool | None = xml("driver/host/@ecn", OnOff)
    host_ufo: bool | None = xml("driver/host/@ufo", OnOff)
    mrg_rxbuf: bool | None = xml("driver/host/@mrg_rxbuf", OnOff)
    guest_csum: bool | None = xml("driver/guest/@csum", OnOff)
    guest_tso4: bool | None = xml("driver/guest/@tso4", OnOff)
    guest_tso6: bool | None = xml("driver/guest/@tso6", OnOff)
    guest_ecn: bool | None = xml("driver/guest/@ecn", OnOff)
    guest_ufo: bool | None = xml("driver/guest/@ufo", OnOff)
    backend: str | None = xml("backend/@type", one_of("default", "passt"))
    tap_path: str | None = xml("backend/@tap")
    vhost_path: str | None = xml("backend/@vhost")
    backend_log: str | None = xml("backend/@logFile")
    backend_hostname: str | None = xml("backend/@hostname")
    backend_fqdn: str | None = xml("backend/@fqdn")
    filter: str | None = xml("filterref/@filter", needed=True)
    filter_parameters: list[Parameter] = many("filterref/parameter", Parameter)
    link: str | None = xml("link/@state", one_of("up", "down"))
    sndbuf: int | None = xml("tune/sndbuf", integer())
    teaming: str | None = xml("teaming/@type", one_of("persistent", "transient"), needed=True)
    teaming_partner: str | None = xml("teaming/@persistent")
    mtu: int | None = xml("mtu/@size", UInt32)
    coalesce: int | None = xml("coalesce/rx/frames/@max", UInt32)
    rom: Rom | None = one("rom", Rom)

    @property
    def is_virtio(self) -> bool:
        """Whether the guest sees a virtio card."""
        return self.model in VIRTIO_MODELS

    @property
    def by_passt(self) -> bool:
        """Whether passt is the card's other end."""
        return self.backend == "passt" and self.type in PASST

    @property
    def queue_count(self) -> int:
        """Pairs of queues."""
        return self.queues or 1

    @property
    def filter_use(self) -> FilterUse | None:
        """The filter that the card asks for, with the values of its variables."""
        if self.filter is None:
            return None
        return FilterUse(self.filter, tuple((one.name, one.value) for one in self.filter_parameters))

    def forget(self, host: HostFacts) -> None:
        """Drop names and identifiers that the host gave to a run."""
        if self.target and self.target.startswith(GENERATED) and self.target_managed is not False:
            self.target = None
        self.guest_actual = None
        if self.source is not None:
            self._leave_network(self.source)

    def _leave_network(self, source: InterfaceSource) -> None:
        """What a network gave to this run: its bridge or device, and the kind of card that this made."""
        if source.network and source.port_id:
            self.type, self.managed = "network", None
            source.bridge = source.device = source.mode = source.host_device = None
        source.port_id = None

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Choose the model, the address, and what the source leaves open."""
        if self.mac is None:
            self.mac = free_mac(guest, host)
        if self.model is None and self.type != "hostdev":
            self.model = "virtio" if self.type == "vdpa" else default_model(caps)
        if self.source is not None:
            self._complete_source(self.source)
        for ip in self.ips:
            ip.complete()
        if self.vlan:
            self.vlan.complete()
        port = self.virtual_port
        if port and port.type == "802.1Qbg" and port.instance_id is None:
            port.instance_id = str(uuid.UUID(bytes=host.entropy(16), version=4))
        if port and port.type == "openvswitch" and port.interface_id is None:
            port.interface_id = str(uuid.UUID(bytes=host.entropy(16), version=4))
        self._drop_driver()

    def _complete_source(self, source: InterfaceSource) -> None:
        if source.host_device is not None:
            source.host_device.fill()
        if self.type == "direct" and source.mode is None:
            source.mode = "vepa"
        for ip in source.ips:
            ip.complete()
        for route in source.routes:
            route.family = route.family or "ipv4"

    def _drop_driver(self) -> None:
        """Only virtio cards have a driver to speak of, and one queue is no choice."""
        if not self.is_virtio and self.type != "hostdev":
            for name, spec in type(self)._specs.items():
                if spec.path.startswith("driver/") and name not in VirtioOptions._specs:
                    setattr(self, name, None)
            self.vhost_path = None
        if self.queues is not None and self.queues < 2:
            self.queues = None

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this interface cannot be."""
        from frontinus.domain.devices.interface_check import check

        return check(self, guest, caps)


def default_model(caps: Capabilities) -> str:
    """The model that a card has when nobody chose: the oldest that this QEMU has."""
    found = next((name for name in DEFAULT_MODELS if caps.has_type(name)), DEFAULT_MODELS[0])
    return "virtio" if found.startswith("virtio") else found


def free_mac(guest: Guest, host: HostFacts) -> str:
    """An address of QEMU's range that no other card of the guest has."""
    taken = {card.mac for card in guest.devices.interfaces}
    macs = (":".join(f"{byte:02x}" for byte in (*OUI, *host.entropy(size)[-3:])) for size in itertools.count(3))
    return next(mac for mac in macs if mac not in taken)


def is_model_name(name: str) -> bool:
    """Whether a model's name has only the characters that QEMU's device names have."""
    return re.fullmatch(r"[A-Za-z0-9_.-]+", name) is not None
