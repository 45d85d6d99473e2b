"""Rates of bridges by the kernel's traffic control: all that goes to a network's guests, and what some of them are promised.

Sources: tc-htb(8), tc-u32(8), linux/pkt_cls.h, linux/pkt_sched.h.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from typing import Any

from frontinus.domain.plan import Floor
from frontinus.linux.network.netlink import CREATE, EXCLUSIVE, Netlink, attribute
from frontinus.network.plan import Speed

KILO, KIB = 1000, 1024
ROOT, ALL, REST = 0x10000, 0x10001, 0x10002
"""1: the qdisc, 1:1 all traffic, 1:2 what no port has a floor for."""
INGRESS = 0xFFFF0000
ETH_P_ALL = 0x0003
LEAST = 8 * KILO
"""Bytes a second that traffic without a floor is promised; it borrows what nobody uses."""
BURST = 32 * KIB
"""What a policer lets through at once where nothing is said."""
ABSENT = (errno.ENOENT, errno.EINVAL)
"""Of taking away what is not there."""

NEW_FILTER, DELETE_FILTER = 44, 45
_FILTER = struct.Struct("=BxxxiIII")
_SELECTOR = struct.Struct("=BBBxHHhhI")
_KEY = struct.Struct("=4s4sii")
_TERMINAL = 1
_KIND, _OPTIONS, _U32_CLASS, _U32_SELECTOR = 1, 2, 1, 5


@contextlib.contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Let some refusals of the kernel pass."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


def limit_bridge(ip: Any, index: int, inbound: Speed | None, outbound: Speed | None) -> None:
    """Limit what goes to a bridge's guests from elsewhere, with room for floors, and what they send out of it.

    What is as wanted stays, with its ports' classes.
    """
    with _unless(*ABSENT):
        ip.tc("del", "ingress", index=index)
    if outbound is not None and outbound[0]:
        ip.tc("add", "ingress", index=index)
        action = {"kind": "police", "rate": outbound[0] * KILO, "burst": outbound[2] * KIB or BURST, "conform": "pipe",
                  "exceed": "drop"}  # fmt: skip
        ip.tc("add-filter", "u32", index=index, parent=INGRESS, protocol=ETH_P_ALL, keys=["0x0/0x0+0"], action=[action])
    if inbound is None or not inbound[0]:
        with _unless(*ABSENT):
            ip.tc("del", "htb", index=index, handle=ROOT)
        return
    average, peak, burst = inbound
    rates = {"rate": average * KILO, "ceil": max(peak, average) * KILO} | ({"burst": burst * KIB} if burst else {})
    with _unless(errno.EEXIST):
        ip.tc("add", "htb", index=index, handle=ROOT, default=REST & 0xFFFF)
    ip.tc("replace-class", "htb", index=index, handle=ALL, parent=ROOT, **rates)
    ip.tc("replace-class", "htb", index=index, handle=REST, parent=ALL, rate=LEAST, ceil=rates["ceil"])


def add_floor(ip: Any, index: int, floor: Floor, mac: str) -> None:
    """Promise a port of a bridge its floor: a class, and the filter that leads packets for its MAC there."""
    ip.tc("replace-class", "htb", index=index, handle=ROOT | floor.class_id, parent=ALL, rate=floor.rate * KILO,
          ceil=floor.most * KILO)  # fmt: skip
    _mac_filter(index, floor.class_id, bytes.fromhex(mac.replace(":", "")))


def remove_floor(ip: Any, index: int, class_id: int) -> None:
    """Idempotent."""
    netlink = Netlink()
    try:
        netlink.request(DELETE_FILTER, _FILTER.pack(0, index, 0, ROOT, _info(class_id)))
    except OSError as error:
        if error.errno not in ABSENT:
            raise
    finally:
        netlink.close()
    with _unless(*ABSENT):  # a class is deleted with its kind's parameters, whatever they are
        ip.tc("del-class", "htb", index=index, handle=ROOT | class_id, parent=ALL, rate=KILO)


def _mac_filter(index: int, class_id: int, mac: bytes) -> None:
    """u32 by hand: the library masks the offsets before the network header, where the MAC is."""
    keys = _KEY.pack(b"\xff\xff\xff\xff", mac[:4], -14, 0) + _KEY.pack(b"\xff\xff\0\0", mac[4:] + b"\0\0", -10, 0)
    selector = _SELECTOR.pack(_TERMINAL, 0, 2, 0, 0, 0, 0, 0) + keys
    options = attribute(_U32_CLASS, struct.pack("=I", ROOT | class_id)) + attribute(_U32_SELECTOR, selector)
    body = _FILTER.pack(0, index, 0, ROOT, _info(class_id)) + attribute(_KIND, b"u32\0") + attribute(_OPTIONS, options)
    netlink = Netlink()
    try:
        netlink.request(NEW_FILTER, body, CREATE | EXCLUSIVE)
    finally:
        netlink.close()


def _info(class_id: int) -> int:
    """A filter's priority, which names it here, and its protocol."""
    return class_id << 16 | socket.htons(ETH_P_ALL)
