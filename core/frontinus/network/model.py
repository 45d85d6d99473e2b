"""The <network> document: the names of libvirt's network XML, in its order."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.netparts import Rate, Route, VirtualPort, Vlan, family
from frontinus.xml import Model, Raw, many, one, texts, xml
from frontinus.xml.codecs import Int, Mac, OnOff, UInt32, Uuid, YesNo, integer, one_of

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Net = ipaddress.IPv4Network | ipaddress.IPv6Network

MODES = ("nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev")
OWN_BRIDGE = frozenset({"isolated", "nat", "route", "open"})
"""Modes in which the network has a bridge of its own, made when it starts."""
MACVTAP = frozenset({"private", "vepa", "passthrough"})
"""Modes in which guests get macvtap devices; bridge mode too, unless it names a bridge."""

UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}
UInt16 = integer(0, 65535)


class LeaseTime(Model, tag="lease"):
    """How long a lease lasts; 0 is for ever."""

    expiry: int = xml("@expiry", Int, required=True)
    unit: str | None = xml("@unit", one_of(*UNITS))

    @property
    def seconds(self) -> int:
        return self.expiry * UNITS[self.unit or "minutes"]

    def complete(self) -> None:
        """A number without a unit counts minutes; for ever needs none."""
        self.unit = (self.unit or "minutes") if self.expiry else None


class DhcpRange(Model, tag="range"):
    start: str = xml("@start", required=True)
    end: str = xml("@end", required=True)
    lease: LeaseTime | None = one("lease", LeaseTime)

    @property
    def size(self) -> int:
        """How many addresses it has; 0 when it is no range."""
        first, last = address_of(self.start), address_of(self.end)
        return int(last) - int(first) + 1 if first and last and first.version == last.version else 0


class DhcpHost(Model, tag="host"):
    """A guest that always gets the same address. `id` is a DUID."""

    id: str | None = xml("@id")
    mac: str | None = xml("@mac")
    name: str | None = xml("@name")
    ip: str | None = xml("@ip")
    lease: LeaseTime | None = one("lease", LeaseTime)


class NetIp(Model, tag="ip"):
    """An address of the host's on the network, and the services behind it."""

    family: str | None = xml("@family", one_of("ipv4", "ipv6"))
    address: str = xml("@address", required=True)
    netmask: str | None = xml("@netmask")
    prefix: int | None = xml("@prefix", integer(0, 128))
    local_ptr: bool | None = xml("@localPtr", YesNo)
    tftp_root: str | None = xml("tftp/@root")
    ranges: list[DhcpRange] = many("dhcp/range", DhcpRange)
    hosts: list[DhcpHost] = many("dhcp/host", DhcpHost)
    boot_file: str | None = xml("dhcp/bootp/@file")
    boot_server: str | None = xml("dhcp/bootp/@server")

    @property
    def kind(self) -> str:
        """ipv4 or ipv6."""
        return self.family or family(self.address) or "ipv4"

    @property
    def is_ipv6(self) -> bool:
        return self.kind == "ipv6"

    @property
    def has_dhcp(self) -> bool:
        return bool(self.ranges or self.hosts)

    @property
    def prefix_length(self) -> int:
        """As given, as a mask, or by the address's old class; 64 for IPv6."""
        if self.prefix is not None:
            return self.prefix
        if self.is_ipv6:
            return 64
        if self.netmask:
            return ipaddress.ip_network(f"0.0.0.0/{self.netmask}").prefixlen
        first = int(self.address.split(".")[0])
        return 8 if first < 128 else 16 if first < 192 else 24

    @property
    def net(self) -> Net:
        """The network that the address is in. Raises ValueError for an address that is none."""
        return ipaddress.ip_network(f"{self.address}/{self.prefix_length}", strict=False)


class Forwarder(Model, tag="forwarder"):
    """Where names are asked for: those of a domain, or all."""

    domain: str | None = xml("@domain")
    address: str | None = xml("@addr")


class Txt(Model, tag="txt"):
    name: str = xml("@name", required=True)
    value: str | None = xml("@value")


class Srv(Model, tag="srv"):
    """A service's place (RFC 2782)."""

    service: str | None = xml("@service")
    protocol: str | None = xml("@protocol", one_of("tcp", "udp"))
    domain: str | None = xml("@domain")
    target: str | None = xml("@target")
    port: int | None = xml("@port", UInt16)
    priority: int | None = xml("@priority", UInt16)
    weight: int | None = xml("@weight", UInt16)


class DnsHost(Model, tag="host"):
    ip: str | None = xml("@ip")
    names: list[str] = texts("hostname")


class ForwardInterface(Model, tag="interface"):
    """A device of the host; `connections` says how many guests use it now."""

    device: str = xml("@dev", required=True)
    connections: int | None = xml("@connections", UInt32, live=True)


class PoolAddress(PciAddress, tag="address"):
    """A PCI device of a pool."""

    connections: int | None = xml("@connections", UInt32, live=True)


class Portgroup(Model, tag="portgroup"):
    """Settings that a guest's interface takes by naming the group."""

    name: str = xml("@name", required=True)
    default: bool | None = xml("@default", YesNo)
    trust_filters: bool | None = xml("@trustGuestRxFilters", YesNo)
    vlan: Vlan | None = one("vlan", Vlan)
    virtual_port: VirtualPort | None = one("virtualport", VirtualPort)
    inbound: Rate | None = one("bandwidth/inbound", Rate)
    outbound: Rate | None = one("bandwidth/outbound", Rate)


class Forward(Model, tag="forward"):
    """How guests reach what lies beyond, or which devices of the host they get."""

    device: str | None = xml("@dev")
    mode: str | None = xml("@mode", one_of(*MODES))
    managed: bool | None = xml("@managed", YesNo)
    driver: str | None = xml("driver/@name", one_of("kvm", "vfio"))
    nat_ipv6: bool | None = xml("nat/@ipv6", YesNo)
    nat_start: str | None = xml("nat/address/@start")
    nat_end: str | None = xml("nat/address/@end")
    nat_port_start: int | None = xml("nat/port/@start", integer(1, 65535))
    nat_port_end: int | None = xml("nat/port/@end", integer(1, 65535))
    pf: str | None = xml("pf/@dev")
    interfaces: list[ForwardInterface] = many("interface", ForwardInterface)
    addresses: list[PoolAddress] = many("address", PoolAddress)


class Network(Model, tag="network"):
    """A <network> document."""

    connections: int | None = xml("@connections", UInt32, live=True)
    ipv6: bool | None = xml("@ipv6", YesNo)
    trust_filters: bool | None = xml("@trustGuestRxFilters", YesNo)
    name: str = xml("name", required=True)
    uuid: str | None = xml("uuid", Uuid)
    metadata: str | None = xml("metadata", Raw)
    forward: Forward | None = one("forward", Forward)
    bridge: str | None = xml("bridge/@name")
    zone: str | None = xml("bridge/@zone")
    stp: bool | None = xml("bridge/@stp", OnOff)
    delay: int | None = xml("bridge/@delay", UInt32)
    mac_table: str | None = xml("bridge/@macTableManager", one_of("kernel", "libvirt"))
    mtu: int | None = xml("mtu/@size", UInt32)
    mac: str | None = xml("mac/@address", Mac)
    domain: str | None = xml("domain/@name")
    domain_local: bool | None = xml("domain/@localOnly", YesNo)
    dns_enabled: bool | None = xml("dns/@enable", YesNo)
    forward_plain_names: bool | None = xml("dns/@forwardPlainNames", YesNo)
    forwarders: list[Forwarder] = many("dns/forwarder", Forwarder)
    txts: list[Txt] = many("dns/txt", Txt)
    srvs: list[Srv] = many("dns/srv", Srv)
    dns_hosts: list[DnsHost] = many("dns/host", DnsHost)
    vlan: Vlan | None = one("vlan", Vlan)
    inbound: Rate | None = one("bandwidth/inbound", Rate)
    outbound: Rate | None = one("bandwidth/outbound", Rate)
    isolated_ports: bool | None = xml("port/@isolated", YesNo)
    ips: list[NetIp] = many("ip", NetIp)
    routes: list[Route] = many("route", Route)
    virtual_port: VirtualPort | None = one("virtualport", VirtualPort)
    portgroups: list[Portgroup] = many("portgroup", Portgroup)
    options: list[str] = texts("dnsmasq:options/dnsmasq:option/@value")

    @property
    def mode(self) -> str:
        """The forward mode; "isolated" without <forward>."""
        return (self.forward.mode or "nat") if self.forward else "isolated"

    @property
    def beyond(self) -> Forward:
        """What <forward> says; of a network without one, nothing."""
        return self.forward or Forward()

    @property
    def has_own_bridge(self) -> bool:
        return self.mode in OWN_BRIDGE

    @property
    def is_macvtap(self) -> bool:
        """Whether guests get macvtap devices over the host's devices."""
        return self.mode in MACVTAP or (
            self.mode == "bridge" and not self.bridge and bool(self.beyond.interfaces or self.beyond.pf)
        )

    @property
    def has_dns(self) -> bool:
        return self.dns_enabled is not False

    def dhcp(self, kind: str) -> NetIp | None:
        """The address of a family whose network has DHCP."""
        return next((ip for ip in self.ips if ip.kind == kind and ip.has_dhcp), None)

    def portgroup(self, name: str | None) -> Portgroup | None:
        """The group of a name; without a name the default one."""
        return next((g for g in self.portgroups if (g.name == name if name else g.default)), None)

    def lease_times(self) -> Iterator[LeaseTime]:
        for ip in self.ips:
            yield from (entry.lease for entry in ip.ranges if entry.lease)
            yield from (host.lease for host in ip.hosts if host.lease)


def address_of(text: str | None) -> Address | None:
    """The address that a text is, or None."""
    try:
        return ipaddress.ip_address(text) if text else None
    except ValueError:
        return None


def range_limit(net: Net) -> int:
    """How many addresses a DHCP range may have: dnsmasq's leases are counted by 16 bits."""
    return min(65535, net.num_addresses)
