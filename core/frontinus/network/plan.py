"""What an active network is on the host, as data: its bridge, its dnsmasq, and what the kernel must let through."""

from __future__ import annotations

from dataclasses import dataclass

from frontinus.domain.devices.netparts import Rate
from frontinus.domain.host import Paths
from frontinus.domain.plan import Shape
from frontinus.network.dnsmasq import DnsmasqFiles, dnsmasq_files, file_name, needs_dnsmasq
from frontinus.network.model import Net, Network

FIRST_CLASS = 3
"""Traffic classes of a bridge: 1 is all of it, 2 what no port has a floor for, ports count from here."""


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
    shape: Shape | None = None
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
        shape=shape(network.inbound, network.outbound), zone=network.zone,
    )  # fmt: skip


def _dnsmasq(network: Network, bridge: str, paths: Paths) -> Dnsmasq:
    folder = f"{paths.state}/dnsmasq"
    place = f"{folder}/{file_name(network)}"
    return Dnsmasq(
        config=f"{place}.conf", hosts=f"{place}.hostsfile", names=f"{place}.addnhosts", leases=f"{place}.leases",
        pid=f"{paths.run}/dnsmasq/{file_name(network)}.pid", files=dnsmasq_files(network, bridge, folder),
    )  # fmt: skip


def shape(inbound: Rate | None, outbound: Rate | None, class_id: int | None = None) -> Shape | None:
    """Rates as a tap or a bridge gets them; None without any. `class_id`: the port's class for its floor."""
    if inbound is None and outbound is None:
        return None
    rates = tuple((r.average or 0, r.peak or 0, r.burst or 0) if r else None for r in (inbound, outbound))
    floor = inbound.floor if inbound else None
    return Shape(inbound=rates[0], outbound=rates[1], floor=floor, class_id=class_id if floor else None)
