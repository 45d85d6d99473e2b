"""What dnsmasq is told for a network: its configuration, and the files that it reads again on SIGHUP.

Options are those of dnsmasq(8). Guests of an isolated network are given no default route and no way out by DNS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from frontinus.network.model import DhcpHost, DhcpRange, LeaseTime, NetIp, Network, Srv, address_of


@dataclass(frozen=True)
class DnsmasqFiles:
    """Texts of the files, by what they are; `hosts` and `names` may change while dnsmasq runs."""

    config: str
    hosts: str
    names: str


def file_name(name: str) -> str:
    """A network's part in names of files."""
    return name.replace('"', "&quot;").replace("%", "&#37;")


def needs_dnsmasq(network: Network) -> bool:
    """Whether there is anything for a dnsmasq to do."""
    return network.has_own_bridge and bool(network.ips) and (
        network.has_dns or any(ip.has_dhcp or ip.tftp_root or ip.is_ipv6 for ip in network.ips))  # fmt: skip


def dnsmasq_files(network: Network, bridge: str, folder: str) -> DnsmasqFiles:
    """Everything that a network's dnsmasq reads; the files are to be in `folder`."""
    lines = [
        *_names(network),
        *_interface(network, bridge),
        *_records(network),
        *_dhcp(network, folder),
        *network.options,
    ]
    hosts = [_host(ip, host) for ip in network.ips for host in ip.hosts]
    names = ["\t".join((host.ip or "", *host.names)) for host in network.dns_hosts]
    return DnsmasqFiles(*("".join(f"{line}\n" for line in part) for part in (lines, hosts, names)))


def _names(network: Network) -> Iterator[str]:
    """Where names are looked up."""
    yield "strict-order"
    if not network.has_dns:
        yield "port=0"
    if any(not forwarder.domain for forwarder in network.forwarders):
        yield "no-resolv"
    for forwarder in network.forwarders:
        domain = f"/{forwarder.domain}/" if forwarder.domain else ""
        yield f"server={domain}{forwarder.address or '#'}"
    if network.domain:
        if network.domain_local:
            yield f"local=/{network.domain}/"
        yield f"domain={network.domain}"
        yield "expand-hosts"
    for ip in network.ips:
        if ip.local_ptr:
            yield f"local=/{_reverse_zone(ip)}/"
    if network.has_dns and network.forward_plain_names is False:
        yield "domain-needed"
        yield "local=//"


def _reverse_zone(ip: NetIp) -> str:
    """The zone in which the names of a network's addresses are."""
    net = ip.net
    labels = net.network_address.reverse_pointer.split(".")
    bits = 4 if ip.is_ipv6 else 8
    return ".".join(labels[(net.max_prefixlen - net.prefixlen) // bits :])


def _interface(network: Network, bridge: str) -> Iterator[str]:
    yield "except-interface=lo"
    yield "bind-dynamic"
    yield f"interface={bridge}"
    if network.mode == "isolated":
        yield "dhcp-option=3"  # no router
        yield "no-resolv"
        yield "ra-param=*,0,0"


def _records(network: Network) -> Iterator[str]:
    for txt in network.txts:
        yield f"txt-record={txt.name},{txt.value}"
    for srv in network.srvs:
        yield f"srv-host={','.join(_service(srv))}"


def _service(srv: Srv) -> Iterator[str]:
    """A service by its place: what is left out before something that is said gets its default."""
    domain = f".{srv.domain}" if srv.domain else ""
    yield f"_{srv.service}._{srv.protocol}{domain}"
    if srv.target:
        yield srv.target
        if srv.port or srv.priority or srv.weight:
            yield str(srv.port or 1)
        if srv.priority or srv.weight:
            yield str(srv.priority or 0)
        if srv.weight:
            yield str(srv.weight)


def _dhcp(network: Network, folder: str) -> Iterator[str]:
    served = [ip for ip in (network.dhcp("ipv4"), network.dhcp("ipv6")) if ip is not None]
    for ip in network.ips:
        if ip.tftp_root and ip not in served:
            yield from _boot(ip)
    for ip in served:
        yield from _ranges(ip)
        if not ip.is_ipv6:
            yield "dhcp-no-override"
            yield "dhcp-authoritative"
            yield from _boot(ip)
    place = f"{folder}/{file_name(network.name)}"
    if count := sum(one.size for ip in served for one in ip.ranges):
        yield f"dhcp-lease-max={count}"
    if served:
        yield f"dhcp-hostsfile={place}.hostsfile"
    if network.has_dns:
        yield f"addn-hosts={place}.addnhosts"
    if served and network.mtu:
        yield f"dhcp-option=option:mtu,{network.mtu}"
    if network.dhcp("ipv6"):
        yield "enable-ra"
    else:
        yield from (f"dhcp-range={ip.address},ra-only" for ip in network.ips if ip.is_ipv6)


def _ranges(ip: NetIp) -> Iterator[str]:
    width = str(ip.prefix_length) if ip.is_ipv6 else str(ip.net.netmask)
    for one in ip.ranges:
        yield f"dhcp-range={','.join((one.start, one.end, width, *_lease_time(one)))}"
    if not ip.ranges:  # only hosts that are listed
        yield f"dhcp-range={ip.address},static" + (f",{width}" if ip.is_ipv6 else "")


def _lease_time(holder: DhcpRange | DhcpHost) -> Iterator[str]:
    lease: LeaseTime | None = holder.lease
    if lease is not None:
        yield f"{lease.expiry}{(lease.unit or 'minutes')[0]}" if lease.expiry else "infinite"


def _boot(ip: NetIp) -> Iterator[str]:
    if ip.tftp_root:
        yield "enable-tftp"
        yield f"tftp-root={ip.tftp_root}"
    if ip.boot_file:
        named = f",{ip.boot_server}" if address_of(ip.boot_server) is None else f",,{ip.boot_server}"
        yield f"dhcp-boot={ip.boot_file}" + (named if ip.boot_server else "")


def _host(ip: NetIp, host: DhcpHost) -> str:
    """A line of the hosts file (dnsmasq(8), --dhcp-host)."""
    if ip.is_ipv6:
        known = (f"id:{host.id}",) if host.id else ()
        words = (*known, *((host.name,) if host.name else ()), f"[{host.ip}]")
    else:
        known = (host.mac,) if host.mac else (host.name or "",)
        words = (*known, host.ip or "", *((host.name,) if host.mac and host.name else ()))
    return ",".join((*words, *_lease_time(host)))
