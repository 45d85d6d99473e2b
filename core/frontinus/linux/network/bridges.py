"""Bridges of networks: made, kept as they are wanted, and removed; and what the host knows of its links and routes.

A bridge is ours by its MAC, which the network's definition keeps. Sources: rtnetlink(7), Documentation/networking/ip-sysctl.
"""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frontinus.api.errors import HostFailed
from frontinus.linux.failing import failing
from frontinus.linux.network.iproute import iproute
from frontinus.linux.network.traffic import limit_bridge
from frontinus.network.plan import Bridge
from frontinus.ports.networks import HostRoute, PoolDevice

MAIN_TABLE, UNICAST, STATIC = 254, 1, 4
NO_DAD = 0x02
"""Addresses on a bridge of ours are ours: IPv6 need not ask first, and a bridge without guests could not."""
LINK_SCOPE = 253
STP_DELAYS = 2, 30
"""Seconds that the kernel lets a bridge with STP wait before it forwards; without STP it need not wait at all."""
FAILED, NO_ARP = 0x20, 0x40
SETTINGS = {"accept_ra": "0", "autoconf": "0", "accept_dad": "0"}
"""What IPv6 is told on a bridge of ours: we are the router there."""
FIREWALL_SECONDS = 20.0


def set_up(bridge: Bridge, taps: Sequence[str]) -> None:
    """Make a bridge as it is wanted, whatever of it is there. Raises HostFailed, also for a link that is not ours."""
    with iproute("make the bridge", bridge.name) as ip:
        index = _own(ip, bridge)
        if index is None:
            if _index(ip, bridge.name) is not None:
                raise HostFailed(f"there is a link '{bridge.name}' on this host already, and it is none of ours",
                                 what=bridge.name)  # fmt: skip
            ip.link("add", ifname=bridge.name, kind="bridge", address=bridge.mac)
            index = _index(ip, bridge.name)
            assert index is not None
        _spanning_tree(ip, index, bridge)
        ip.link("set", index=index, mtu=bridge.mtu or 1500)
        _settings(bridge)
        _addresses(ip, index, bridge)
        ip.link("set", index=index, state="up")
        _routes(ip, index, bridge)
        _ports(ip, index, taps)
        limit_bridge(ip, index, bridge.inbound, bridge.outbound)
    _zone(bridge)


def join(tap: str, bridge: str) -> None:
    """Put a tap on a bridge, whatever it was on."""
    with iproute("join the bridge", bridge) as ip:
        index, master = _index(ip, tap), _index(ip, bridge)
        if index is None or master is None:
            raise HostFailed(f"there is no link '{tap if index is None else bridge}' on this host", what=bridge)
        ip.link("set", index=index, master=master, state="up")


def remove(bridge: Bridge) -> None:
    """Remove a bridge if it is there and ours."""
    with iproute("remove the bridge", bridge.name) as ip:
        index = _own(ip, bridge)
        if index is not None:
            ip.link("set", index=index, state="down")
            ip.link("del", index=index)


def _index(ip: Any, name: str) -> int | None:
    found = ip.link_lookup(ifname=name)
    return found[0] if found else None


def _own(ip: Any, bridge: Bridge) -> int | None:
    """The index of our bridge; None where there is none."""
    index = _index(ip, bridge.name)
    if index is None:
        return None
    link = ip.get_links(index)[0]
    kind = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") if link.get_attr("IFLA_LINKINFO") else None
    return index if kind == "bridge" and link.get_attr("IFLA_ADDRESS") == bridge.mac else None


def _spanning_tree(ip: Any, index: int, bridge: Bridge) -> None:
    """STP and its delay. A bridge that has them already is not disturbed, for its ports would learn anew."""
    low, high = STP_DELAYS if bridge.stp else (0, STP_DELAYS[1])
    wanted = {"br_stp_state": int(bridge.stp), "br_forward_delay": min(max(bridge.delay, low), high) * 100}
    data = ip.get_links(index)[0].get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    if all(data.get_attr(f"IFLA_{name.upper()}") == value for name, value in wanted.items()):
        return
    ip.link("set", index=index, kind="bridge", br_stp_state=0)
    ip.link("set", index=index, kind="bridge", br_forward_delay=wanted["br_forward_delay"])
    ip.link("set", index=index, kind="bridge", br_stp_state=wanted["br_stp_state"])


def _settings(bridge: Bridge) -> None:
    folder = Path("/proc/sys/net/ipv6/conf", bridge.name)
    if not folder.is_dir():  # a kernel without IPv6
        return
    for name, value in {"disable_ipv6": "0" if bridge.ipv6 else "1", **SETTINGS}.items():
        (folder / name).write_text(value)


def _addresses(ip: Any, index: int, bridge: Bridge) -> None:
    """Give the bridge its addresses and take others from it; the kernel's own link-local ones stay."""
    wanted = {(str(ipaddress.ip_address(address)), prefix) for address, prefix in bridge.addresses}
    present = {
        (entry.get_attr("IFA_ADDRESS"), entry["prefixlen"])
        for entry in ip.get_addr(index=index) if entry["scope"] != LINK_SCOPE
    }  # fmt: skip
    for address, prefix in present - wanted:
        ip.addr("del", index=index, address=address, prefixlen=prefix)
    for address, prefix in wanted - present:
        net = ipaddress.ip_interface(f"{address}/{prefix}").network
        more: dict[str, Any] = {"flags": NO_DAD} if net.version == 6 else {"broadcast": str(net.broadcast_address)}
        ip.addr("add", index=index, address=address, prefixlen=prefix, **more)


def _routes(ip: Any, index: int, bridge: Bridge) -> None:
    wanted = {}
    for to, prefix, gateway, metric in bridge.routes:
        net = ipaddress.ip_network(f"{to}/{prefix}" if prefix is not None else to, strict=False)
        wanted[str(net), gateway] = metric
    for family in (socket.AF_INET, socket.AF_INET6):
        for route in ip.get_routes(family=family, table=MAIN_TABLE, oif=index):
            if route["proto"] == STATIC and route.get_attr("RTA_OIF") == index:
                key = f"{route.get_attr('RTA_DST')}/{route['dst_len']}", route.get_attr("RTA_GATEWAY")
                if wanted.pop(key, "stale") == "stale":
                    ip.route("del", family=family, dst=key[0], gateway=key[1], oif=index)
    for (net_text, gateway), metric in wanted.items():
        more = {} if metric is None else {"priority": metric}
        ip.route("add", dst=net_text, gateway=gateway, oif=index, proto=STATIC, **more)


def _ports(ip: Any, index: int, taps: Sequence[str]) -> None:
    """Put guests' taps back on a bridge that was made anew under them."""
    for name in taps:
        tap = _index(ip, name)
        if tap is not None and ip.get_links(tap)[0].get_attr("IFLA_MASTER") != index:
            ip.link("set", index=tap, master=index, state="up")


def _zone(bridge: Bridge) -> None:
    """Put the bridge into the zone of firewalld that the network names."""
    if bridge.zone is None:
        return
    argv = ["/usr/bin/firewall-cmd", f"--zone={bridge.zone}", f"--change-interface={bridge.name}"]
    with failing("run", argv[0]):
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=FIREWALL_SECONDS,
                                  check=False, env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"})  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HostFailed(f"firewall-cmd did not end within {FIREWALL_SECONDS:g} s", what=bridge.zone) from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-300:]
        raise HostFailed(f"firewalld refuses zone '{bridge.zone}': {words}", what=bridge.zone)


# --- what the host knows


def routes() -> list[HostRoute]:
    """Networks that the host has a way to."""
    found = []
    with iproute("read", "the host's routes") as ip:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
        for family in (socket.AF_INET, socket.AF_INET6):
            for route in ip.get_routes(family=family, table=MAIN_TABLE):
                target, device = route.get_attr("RTA_DST"), names.get(route.get_attr("RTA_OIF"), "")
                if target is None or not route["dst_len"] or route["type"] != UNICAST:
                    continue
                net = ipaddress.ip_network(f"{target}/{route['dst_len']}")
                if not net.is_link_local and not net.is_multicast:
                    found.append(HostRoute(net, device, route.get_attr("RTA_GATEWAY") is None))
    return found


def links() -> frozenset[str]:
    """Names of all links."""
    return frozenset(name for _, name in socket.if_nameindex())


def neighbours() -> Mapping[str, Sequence[str]]:
    """IP addresses that the host has talked to lately, by MAC."""
    found: dict[str, list[str]] = {}
    with iproute("read", "the host's neighbours") as ip:
        for family in (socket.AF_INET, socket.AF_INET6):
            for entry in ip.get_neighbours(family=family):
                mac, address = entry.get_attr("NDA_LLADDR"), entry.get_attr("NDA_DST")
                if mac and address and not entry["state"] & (FAILED | NO_ARP):
                    found.setdefault(mac.lower(), []).append(address)
    return found


def pool(device: str, net: Path = Path("/sys/class/net")) -> list[PoolDevice]:
    """The virtual functions of a PCI network device, in their order."""
    found = []
    for function in sorted((net / device / "device").glob("virtfn*"), key=lambda path: int(path.name[6:])):
        names = [entry.name for entry in (function / "net").iterdir()] if (function / "net").is_dir() else []
        found.append(PoolDevice(names[0] if names else None, function.resolve().name))
    return found
