"""Counters of the network devices behind guests, through netlink. Source: rtnetlink(7)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

RTM_NEWSTATS, RTM_GETSTATS = 92, 94
NLM_F_REQUEST = 1
IFLA_STATS_LINK_64 = 1
HEADER = struct.Struct("=IHHII")
STATS_MESSAGE = struct.Struct("=BxHII")
"""struct if_stats_msg: family, ifindex, filter mask (with its padding)."""
COUNTERS = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_drops", "tx_drops")
"""The first members of struct rtnl_link_stats64."""
ATTRIBUTE = 4
SWAPPED: Mapping[str, str] = {name: ("t" if name[0] == "r" else "r") + name[1:] for name in COUNTERS}
"""What a tap received the guest sent."""


class LinkCounters:
    """Counters of network devices, from the kernel by netlink: one question, one answer, no file opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(1.0)  # the kernel answers within the send; never waited for
        self._sequence = 0

    def read(self, name: str, *, guest_side: bool = True) -> dict[str, int]:
        """The counters of a device; of a tap as its guest sees them, sent and received changed about. {} if gone."""
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return {}
        self._sequence += 1
        body = STATS_MESSAGE.pack(0, 0, index, 1 << (IFLA_STATS_LINK_64 - 1))
        header = HEADER.pack(HEADER.size + len(body), RTM_GETSTATS, NLM_F_REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        sequence = -1
        while sequence != self._sequence:
            answer = self._socket.recv(4096)
            _, kind, _, sequence, _ = HEADER.unpack_from(answer)
        if kind != RTM_NEWSTATS:
            return {}
        values = struct.unpack_from(f"={len(COUNTERS)}Q", answer, HEADER.size + STATS_MESSAGE.size + ATTRIBUTE)
        return {SWAPPED[n] if guest_side else n: v for n, v in zip(COUNTERS, values, strict=True)}

    def close(self) -> None:
        self._socket.close()
