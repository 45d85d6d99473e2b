"""The host's network devices, all in one question to the kernel (rtnetlink(7)): no privilege is needed to ask."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)
NETLINK_ROUTE, RTM_NEWLINK, RTM_GETLINK, NLMSG_DONE, NLMSG_ERROR = 0, 16, 18, 3, 2
DUMP = 0x300 | 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_OPERSTATE, IFLA_STATS64 = 1, 3, 4, 10, 16, 23
HEADER, INFO, ATTRIBUTE, STATS = (
    struct.Struct("=IHHII"),
    struct.Struct("=BxHiII"),
    struct.Struct("=HH"),
    struct.Struct("=10Q"),
)
BUFFER = 2**18
WAIT = 1.0


@dataclass(frozen=True, slots=True)
class LinkStats:
    """One device: the kernel's numbers of it and of its bridge (0 without), and counters from the host's side."""

    name: str
    index: int
    master: int = 0
    type: int = 1
    flags: int = 0
    operstate: int = 0
    mtu: int = 0
    mac: bytes = b""
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    multicast: int = 0

    @property
    def up(self) -> bool:
        """Whether the administrator has it up (IFF_UP)."""
        return bool(self.flags & 1)


def links() -> Mapping[str, LinkStats]:
    """All devices by name; none where the kernel does not answer."""
    try:
        return {link.name: link for data in _answers() for link in parse(data)}
    except (OSError, struct.error) as error:
        log.warning("the host's network devices are not known: %s", error)
        return {}


def _answers() -> Iterator[bytes]:
    """The kernel's messages to one dump."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE) as sock:
        sock.settimeout(WAIT)
        sock.send(HEADER.pack(HEADER.size + INFO.size, RTM_GETLINK, DUMP, 1, 0) + INFO.pack(0, 0, 0, 0, 0))
        while True:
            data = sock.recv(BUFFER)
            yield data
            if not data or ended(data):
                return


def ended(data: bytes) -> bool:
    """Whether the dump ends with this datagram. Raises OSError for the kernel's error."""
    return any(kind == NLMSG_DONE for kind, _, _ in _messages(data))


def _messages(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, start and end of the content of each message."""
    pos = 0
    while pos + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, pos)
        if length < HEADER.size or pos + length > len(data):
            raise OSError("netlink: a message is cut off")
        if kind == NLMSG_ERROR:
            raise OSError(-struct.unpack_from("=i", data, pos + HEADER.size)[0], "netlink refuses")
        yield kind, pos + HEADER.size, pos + length
        pos += (length + 3) & ~3


def parse(data: bytes) -> Iterator[LinkStats]:
    """The devices of a datagram."""
    for kind, start, stop in _messages(data):
        if kind == RTM_NEWLINK:
            yield _link(data, start, stop)


def _link(data: bytes, start: int, stop: int) -> LinkStats:
    _, hardware, index, flags, _ = INFO.unpack_from(data, start)
    found: dict[int, bytes] = {}
    pos = start + INFO.size
    while pos + ATTRIBUTE.size <= stop:
        length, kind = ATTRIBUTE.unpack_from(data, pos)
        if length < ATTRIBUTE.size or pos + length > stop:
            break
        found[kind] = data[pos + ATTRIBUTE.size : pos + length]
        pos += (length + 3) & ~3
    stats = found.get(IFLA_STATS64, b"")
    rx, tx, rxb, txb, rxe, txe, rxd, txd, multicast, _ = (
        STATS.unpack_from(stats) if len(stats) >= STATS.size else (0,) * 10
    )
    name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    operstate = found.get(IFLA_OPERSTATE, b"\0")
    return LinkStats(name, index, _number(found.get(IFLA_MASTER)), hardware, flags, operstate[0], _number(found.get(IFLA_MTU)),
                     found.get(IFLA_ADDRESS, b""), rx, tx, rxb, txb, rxe, txe, rxd, txd, multicast)  # fmt: skip


def _number(content: bytes | None) -> int:
    return struct.unpack("=I", content)[0] if content and len(content) == 4 else 0
