"""Rates of a tap's traffic by the kernel's traffic control (tc-htb(8), tc-ifb). What goes to the guest leaves the tap and
queues there; what comes from the guest arrives, and is policed, since nothing can queue before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyroute2 import IPRoute  # type: ignore[attr-defined]
from pyroute2.netlink.exceptions import NetlinkError

from frontinus.api.errors import HostFailed, NoSuchDevice, Unsupported
from frontinus.ports.limits import Shape

KILO, KIB = 1000, 1024
ROOT, CLASS, INGRESS = 0x10000, 0x10001, 0xFFFF0000
BURST = 32 * KIB
"""What a policer lets through at once where nothing is said: more than one packet, or nothing gets through."""
LONGEST = 64 * KIB
"""Bytes of the longest packet: one that a guest leaves to the host to cut up. Longer ones would be dropped."""
ABSENT = (2, 22, 95)
"""errno of taking away what is not there, and of a kind that this kernel was built without."""


def shape(link: str, inbound: Shape | None, outbound: Shape | None) -> None:
    """Set both rates of a tap anew. Raises NoSuchDevice, Unsupported, HostFailed. Blocks for milliseconds."""
    with IPRoute() as netlink:  # type: ignore[no-untyped-call]
        found = netlink.link_lookup(ifname=link)
        if not found:
            raise NoSuchDevice(f"the host has no network device '{link}'")
        (index,) = found
        for kind in ("htb", "ingress"):
            _forget(netlink, index, kind)
        if inbound is not None and inbound.average:
            _try(link, "to", lambda: _queue(netlink, index, inbound))
        if outbound is not None and outbound.average:
            _try(link, "from", lambda: _police(netlink, index, outbound))


def _queue(netlink: Any, index: int, rate: Shape) -> None:
    average = (rate.average or 0) * KILO
    netlink.tc("add", "htb", index, ROOT, default=CLASS)
    netlink.tc("add-class", "htb", index, CLASS, parent=ROOT, rate=average, ceil=(rate.peak or 0) * KILO or average,
               **({"burst": rate.burst * KIB, "cburst": rate.burst * KIB} if rate.burst else {}))  # fmt: skip


def _police(netlink: Any, index: int, rate: Shape) -> None:
    netlink.tc("add", "ingress", index, INGRESS)
    netlink.tc("add-filter", "u32", index, parent=INGRESS, protocol=3, target=1, keys=["0x0/0x0+0"],
               rate=(rate.average or 0) * KILO, burst=(rate.burst or 0) * KIB or BURST, mtu=LONGEST, action="drop")  # fmt: skip


def _forget(netlink: Any, index: int, kind: str) -> None:
    try:
        netlink.tc("del", kind, index, ROOT if kind == "htb" else INGRESS)
    except NetlinkError as error:
        if error.code not in ABSENT:
            raise HostFailed(f"the kernel does not take a limit back: {error}", what=kind) from None


def _try(link: str, way: str, act: Callable[[], None]) -> None:
    try:
        act()
    except NetlinkError as error:
        if error.code in ABSENT:
            raise Unsupported(f"this kernel cannot limit the traffic {way} guests on '{link}': {error}") from None
        raise HostFailed(f"the kernel refuses a limit on '{link}': {error}", what=link) from None
