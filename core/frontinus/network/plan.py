"""What an active network is on the host, as data: its bridge, its dnsmasq, and what the kernel must let through."""

from __future__ import annotations

from dataclasses import dataclass

from frontinus.domain.devices.netparts import Rate
from frontinus.domain.host import Paths
from frontinus.domain.plan import Floor
from frontinus.network.dnsmasq import DnsmasqFiles, dnsmasq_files, file_name, needs_dnsmasq
from frontinus.network.model import Net, Network
from frontinus.network.port import NetworkPort

FIRST_CLASS = 3
"""Traffic classes of a bridge: 1 is all of it, 2 what no port has a floor for, ports count from here."""


Speed = tuple[int, int, int]
"""Average and peak in kilobytes a second, burst in KiB; 0 is none."""


@dataclass(frozen=True)
class Bridge:
    """A bridge of ours. `addresses` are (address, prefix); `routes` (network, prefix, gateway, metric); delay in seconds."""

    name: str
    mac: str | None
    mtu: int | None = None
    stp: bool = True
    delay: int = 0
    ipv6: bool = False
    addresses: tuple[tuple[str, int], ...] = ()
    routes: tuple[tuple[str, int | None, str | None, int | None], ...] = ()
    inbound: Speed | None = None
    outbound: Speed | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Dnsmasq:
    """The DHCP and DNS server of one network: the names of its files and what is in them."""

    config: str
    hosts: str
    names: str
    leases: str
    pid: str
    files: DnsmasqFiles


@dataclass(frozen=True)
class NetworkPlan:
    """One active network. `forwards`: families whose packets the host must pass on. `nets`: what no host route may be."""

    name: str
    bridge: Bridge | None = None
    dnsmasq: Dnsmasq | None = None
    forwards: tuple[str, ...] = ()
    nets: tuple[Net, ...] = ()


def plan(network: Network, paths: Paths) -> NetworkPlan:
    """Work out an active network; its bridge has a name by now."""
    if not network.has_own_bridge or network.bridge is None:
        return NetworkPlan(network.name)
    families = {ip.kind for ip in network.ips}
    return NetworkPlan(
        name=network.name,
        bridge=_bridge(network, network.bridge),
        dnsmasq=_dnsmasq(network, network.bridge, paths) if needs_dnsmasq(network) else None,
        forwards=tuple(sorted(families)) if network.mode in ("nat", "route") else (),
        nets=tuple(ip.net for ip in network.ips),
    )


def _bridge(network: Network, name: str) -> Bridge:
    return Bridge(
        name=name, mac=network.mac, mtu=network.mtu, stp=network.stp is not False, delay=network.delay or 0,
        ipv6=bool(network.ipv6) or any(ip.is_ipv6 for ip in network.ips),
        addresses=tuple((ip.address, ip.prefix_length) for ip in network.ips),
        routes=tuple((r.address, r.prefix_length, r.gateway, r.metric) for r in network.routes),
        inbound=_rate(network.inbound), outbound=_rate(network.outbound), zone=network.zone,
    )  # fmt: skip


def _dnsmasq(network: Network, bridge: str, paths: Paths) -> Dnsmasq:
    folder = f"{paths.state}/dnsmasq"
    place = f"{folder}/{file_name(network.name)}"
    return Dnsmasq(
        config=f"{place}.conf", hosts=f"{place}.hostsfile", names=f"{place}.addnhosts", leases=f"{place}.leases",
        pid=f"{paths.run}/dnsmasq/{file_name(network.name)}.pid", files=dnsmasq_files(network, bridge, folder),
    )  # fmt: skip


def _rate(rate: Rate | None) -> Speed | None:
    return (rate.average or 0, rate.peak or 0, rate.burst or 0) if rate else None


def floor(port: NetworkPort) -> Floor | None:
    """What a port is promised of its bridge."""
    if port.class_id is None or port.inbound is None or not port.inbound.floor:
        return None
    most = max(port.inbound.floor, port.inbound.average or 0, port.inbound.peak or 0)
    return Floor(port.class_id, port.inbound.floor, most)
