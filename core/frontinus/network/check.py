"""Why a network cannot be: every rule yields reasons in words that name the element."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from frontinus.domain.devices.netparts import family
from frontinus.network.model import (
    DhcpHost,
    DhcpRange,
    Forward,
    Net,
    NetIp,
    Network,
    Portgroup,
    Srv,
    address_of,
    range_limit,
)

LONGEST_LINK = 15
SHORTEST_LEASE = 120
"""Seconds; dnsmasq takes no less."""
DUID = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2})+")
MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NAT_ONLY = ("nat_ipv6", "nat_start", "nat_end", "nat_port_start", "nat_port_end")
OF_OWN_BRIDGE = {
    "delay": "<bridge delay=>", "stp": "<bridge stp=>", "mtu": "<mtu>", "domain": "<domain>", "ips": "<ip>", "routes": "<route>",
    "txts": "<dns>", "srvs": "<dns>", "dns_hosts": "<dns>", "forwarders": "<dns>", "dns_enabled": "<dns>", "mac": "<mac>",
    "forward_plain_names": "<dns>", "ipv6": "<network ipv6=>", "zone": "<bridge zone=>", "inbound": "<bandwidth>",
    "outbound": "<bandwidth>", "options": "<dnsmasq:options>",
}  # fmt: skip
"""What only a network with a bridge of its own can have."""


def reasons(network: Network) -> Iterator[str]:
    """Every reason why a completed network cannot be."""
    for rule in (_names, _forward, _bridge, _addresses, _routes, _dns, _leases, _portgroups, _shapes):
        yield from rule(network)


def _names(network: Network) -> Iterator[str]:
    if not network.name or "/" in network.name or len(network.name) > 255:
        yield "<name>: a name has 1 to 255 characters and no '/'"
    texts = (
        network.name, network.domain, network.bridge, *network.options, *(f.domain for f in network.forwarders),
        *(text for t in network.txts for text in (t.name, t.value)),
    )  # fmt: skip
    if any(text and CONTROL.search(text) for text in texts):  # dnsmasq would read another line
        yield "<network>: a name or value has a control character"


def _forward(network: Network) -> Iterator[str]:
    mode, forward = network.mode, network.beyond
    if mode != "nat" and any(getattr(forward, field) is not None for field in NAT_ONLY):
        yield f"<nat> is for <forward mode='nat'>, not for '{mode}'"
    yield from _nat(forward)
    devices = [interface.device for interface in forward.interfaces]
    for device, count in Counter(devices).items():
        if count > 1:
            yield f"<forward>: <interface dev='{device}'> stands there {count} times"
    places = Counter((a.domain or 0, a.bus or 0, a.slot or 0, a.function or 0) for a in forward.addresses)
    if any(count > 1 for count in places.values()):
        yield "<forward>: the same <address> stands there more than once"
    if sum(map(bool, (devices, forward.addresses, forward.pf))) > 1:
        yield "<forward>: <interface>, <address> and <pf> exclude each other"
    if mode == "open" and devices:
        yield "<forward mode='open'>: there can be no dev"
    if mode in ("nat", "route") and len(devices) > 1:
        yield f"<forward mode='{mode}'>: one device at most"
    if mode == "hostdev" and not (devices or forward.addresses or forward.pf):
        yield "<forward mode='hostdev'>: there must be <interface>, <address> or <pf>"
    if mode in ("nat", "route", "open", "bridge") and (forward.pf or forward.addresses):
        yield f"<forward mode='{mode}'>: <pf> and <address> are for pools"


def _nat(forward: Forward) -> Iterator[str]:
    start, end = forward.nat_start, forward.nat_end
    if (start is None) != (end is None):
        yield "<nat>: <address> needs start and end"
    for text in filter(None, (start, end)):
        if family(text) != "ipv4":
            yield f"<nat>: '{text}' is no ipv4 address"
    first, last = address_of(start), address_of(end)
    if first and last and int(first) > int(last):
        yield f"<nat>: {start} comes after {end}"
    ports = forward.nat_port_start, forward.nat_port_end
    if (ports[0] is None) != (ports[1] is None) or (ports[0] and ports[1] and ports[0] > ports[1]):
        yield "<nat>: <port> needs start and end, in this order"


def _bridge(network: Network) -> Iterator[str]:
    mode = network.mode
    if network.bridge and len(network.bridge) > LONGEST_LINK:
        yield f"<bridge>: '{network.bridge}' is too long for the name of a link"
    if network.mac and int(network.mac[:2], 16) & 1:
        yield f"<mac>: {network.mac} is a multicast address"
    if network.has_own_bridge:
        return
    if network.bridge and mode != "bridge":
        yield f"<bridge>: <forward mode='{mode}'> has none"
    if network.bridge and network.beyond.interfaces:
        yield "<forward mode='bridge'>: either <bridge name=> or a dev"
    for field, words in OF_OWN_BRIDGE.items():
        if getattr(network, field) not in (None, []):
            yield f"{words}: <forward mode='{mode}'> has none"


def _addresses(network: Network) -> Iterator[str]:
    for ip in network.ips:
        if family(ip.address) != ip.kind:
            yield f"<ip>: '{ip.address}' is no {ip.kind} address"
            continue
        if ip.netmask is not None and (ip.is_ipv6 or ip.prefix is not None or not _is_mask(ip.netmask)):
            yield f"<ip>: netmask '{ip.netmask}' is none, or not for ipv6, or there is a prefix beside it"
            continue
        if ip.prefix is not None and not 1 <= ip.prefix <= (128 if ip.is_ipv6 else 32):
            yield f"<ip>: prefix {ip.prefix} is none of {ip.kind}"
            continue
        if ip.local_ptr and ip.prefix_length % (4 if ip.is_ipv6 else 8):
            yield f"<ip localPtr='yes'>: a prefix of {ip.prefix_length} bits has no zone of its own"
        yield from _dhcp(ip)
    for kind in ("ipv4", "ipv6"):
        if sum(1 for ip in network.ips if ip.kind == kind and ip.has_dhcp) > 1:
            yield f"<ip>: more than one {kind} address has <dhcp>"


def _is_mask(text: str) -> bool:
    found = address_of(text)
    if found is None or found.version != 4:
        return False
    ones = f"{int(found):032b}".rstrip("0")
    return "0" not in ones


def _dhcp(ip: NetIp) -> Iterator[str]:
    if ip.is_ipv6 and (ip.tftp_root or ip.boot_file):
        yield "<ip family='ipv6'>: <tftp> and <bootp> are for ipv4"
    if ip.boot_server and not ip.boot_file:
        yield "<bootp>: a server without a file"
    for text in (ip.tftp_root, ip.boot_file, ip.boot_server):
        if text and CONTROL.search(text):
            yield "<ip>: a path has a control character"
    for one in ip.ranges:
        yield from range_reasons(ip, one)
    for host in ip.hosts:
        yield from host_reasons(ip, host)


def range_reasons(ip: NetIp, one: DhcpRange) -> Iterator[str]:
    """Why an address's network cannot have this range."""
    net = ip.net
    for text in (one.start, one.end):
        yield from _within(net, text, "<range>")
    first, last = address_of(one.start), address_of(one.end)
    if first and last and first.version == last.version:
        if int(first) > int(last):
            yield f"<range>: {one.start} comes after {one.end}"
        elif one.size > range_limit(net):
            yield f"<range>: {one.size} addresses are more than {range_limit(net)}"


def _within(net: Net, text: str | None, element: str) -> Iterator[str]:
    address = address_of(text)
    if address is None or address.version != net.version:
        yield f"{element}: '{text}' is no address of the network's family"
    elif address not in net:
        yield f"{element}: {text} is not within {net}"
    elif net.version == 4 and net.prefixlen < 31 and address in (net.network_address, net.broadcast_address):
        yield f"{element}: {text} is the network's own or its broadcast address"


def host_reasons(ip: NetIp, host: DhcpHost, *, partial: bool = False) -> Iterator[str]:
    """Why an address's network cannot have this host. `partial`: it only says which host is meant."""
    if host.mac and (not MAC.fullmatch(host.mac) or int(host.mac.split(":")[0], 16) & 1):
        yield f"<host>: '{host.mac}' is no MAC address of a guest"
    if host.mac and ip.is_ipv6:
        yield "<host>: mac is for ipv4; of ipv6, hosts are known by id or name"
    if host.id is not None and (not ip.is_ipv6 or not DUID.fullmatch(host.id)):
        yield f"<host>: id '{host.id}' is no DUID, or not of ipv6"
    if host.name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", host.name):
        yield f"<host>: '{host.name[:60]}' is no host's name"
    if host.ip is not None:
        address = address_of(host.ip)
        if address is None or address.version != ip.net.version:
            yield f"<host>: '{host.ip}' is no {ip.kind} address"
        elif not partial and address not in ip.net:
            yield f"<host>: {host.ip} is not within {ip.net}"
    elif not partial:
        yield "<host>: ip is missing"
    if not (host.mac or host.id or host.name) and not (partial and host.ip):
        yield "<host>: there must be mac, id or name"


def _routes(network: Network) -> Iterator[str]:
    for route in network.routes:
        yield from route.check()
        gateway = address_of(route.gateway)
        if gateway is not None and not any(gateway in ip.net for ip in _sound(network)):
            yield f"<route>: the gateway {route.gateway} is on none of the network's addresses"


def _sound(network: Network) -> Iterable[NetIp]:
    return (ip for ip in network.ips if family(ip.address) == ip.kind and (not ip.netmask or _is_mask(ip.netmask)))


def _dns(network: Network) -> Iterator[str]:
    said = (network.forwarders, network.txts, network.srvs, network.dns_hosts, network.forward_plain_names is not None)
    if not network.has_dns and any(said):
        yield "<dns enable='no'> says more than that"
    for forwarder in network.forwarders:
        if not forwarder.domain and not forwarder.address:
            yield "<forwarder>: there must be addr or domain"
        if forwarder.address and address_of(forwarder.address) is None:
            yield f"<forwarder>: '{forwarder.address}' is no address"
    for txt in network.txts:
        if not txt.name or " " in txt.name or txt.value is None:
            yield "<txt>: there must be a name without spaces, and a value"
    for srv in network.srvs:
        yield from srv_reasons(srv)
    for host in network.dns_hosts:
        yield from dns_host_reasons(host.ip, host.names)


def dns_host_reasons(ip: str | None, names: list[str], *, partial: bool = False) -> Iterator[str]:
    """Why a name cannot stand for this address."""
    if ip is not None and address_of(ip) is None:
        yield f"<dns>: <host ip='{ip}'> is no address"
    if not partial and (ip is None or not names or not all(names)):
        yield "<dns>: <host> needs an ip and a <hostname>"
    if any(re.search(r"\s", name) or CONTROL.search(name) for name in names):
        yield "<hostname>: a name has a space"


def srv_reasons(srv: Srv, *, partial: bool = False) -> Iterator[str]:
    """Why there cannot be this service."""
    if not partial and (not srv.service or srv.protocol is None):
        yield "<srv>: there must be a service and a protocol"
    if srv.port == 0:
        yield "<srv>: port 0 is none"
    if srv.target is None and (srv.port, srv.priority, srv.weight) != (None, None, None):
        yield "<srv>: port, priority and weight need a target"
    for text in (srv.service, srv.domain, srv.target):
        if text is not None and (not text or len(text) > 255 or re.search(r"[\s,\x00-\x1f]", text)):
            yield f"<srv>: '{text[:60]}' is no name"


def _leases(network: Network) -> Iterator[str]:
    for lease in network.lease_times():
        if lease.expiry and not SHORTEST_LEASE <= lease.seconds <= 2**32 - 1:
            yield f"<lease>: {lease.expiry} {lease.unit} is less than {SHORTEST_LEASE} seconds, or more than can be counted"


def _portgroups(network: Network) -> Iterator[str]:
    if any(count > 1 for count in Counter(group.name for group in network.portgroups).values()):
        yield "<portgroup>: two have the same name"
    if sum(1 for group in network.portgroups if group.default) > 1:
        yield "<portgroup>: more than one is the default"


def _shapes(network: Network) -> Iterator[str]:
    """Rates, VLANs and virtual ports, of the network and of its groups."""
    holders: list[Network | Portgroup] = [network, *network.portgroups]
    for holder in holders:
        if holder.inbound:
            yield from holder.inbound.check("inbound")
        if holder.outbound:
            yield from holder.outbound.check("outbound")
        if holder.vlan:
            yield from holder.vlan.check()
        port = holder.virtual_port
        inherited = holder is not network and port is not None and port.type is None
        if port and not inherited:
            yield from port.check()
        if holder.vlan and not _carries_vlans(network, port.type if port else None):
            yield f"<vlan>: <forward mode='{network.mode}'> here carries no VLAN tags"
    if network.virtual_port and network.has_own_bridge:
        yield f"<virtualport>: a network of mode '{network.mode}' has none"


def _carries_vlans(network: Network, port_type: str | None) -> bool:
    own = network.virtual_port.type if network.virtual_port else None
    return network.mode in ("hostdev", "passthrough") or (network.mode == "bridge" and "openvswitch" in (port_type, own)) or (
        "802.1Qbh" in (port_type, own))  # fmt: skip
