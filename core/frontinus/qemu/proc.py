"""Figures of a process from /proc through descriptors that stay open, and of network devices through netlink.

/proc/PID/stat and statm cost microseconds; smaps, which would tell memory exactly, stops the guest's memory for as long
as it takes to walk it and is never read here. Sources: proc(5), Documentation/scheduler/sched-stats.rst, rtnetlink(7).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcessFigures:
    """The figures of one process and its threads."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._files: dict[str, int] = {}

    def cpu(self) -> dict[str, int]:
        """CPU time in ns: time, user, system. Empty once the process is gone."""
        fields = self._read("stat").rpartition(b")")[2].split()
        if not fields:
            return {}
        user, system = int(fields[11]) * TICK, int(fields[12]) * TICK
        return {"time": user + system, "user": user, "system": system}

    def rss(self) -> int | None:
        """Resident bytes."""
        fields = self._read("statm").split()
        return int(fields[1]) * PAGE if fields else None

    def thread(self, thread: int) -> dict[str, int]:
        """A thread's time on a CPU, and its time ready but waiting for one (`delay`), in ns."""
        fields = self._read(f"task/{thread}/schedstat").split()
        return {"time": int(fields[0]), "delay": int(fields[1])} if fields else {}

    def forget_threads(self) -> None:
        """Close what belongs to threads: CPUs were plugged or unplugged."""
        for name in [n for n in self._files if n.startswith("task/")]:
            os.close(self._files.pop(name))

    def close(self) -> None:
        """Close everything."""
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def _read(self, name: str) -> bytes:
        fd = self._files.get(name)
        try:
            if fd is None:
                fd = self._files[name] = os.open(f"/proc/{self._pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(fd, 4096, 0)
        except OSError:
            return b""


def tap_name(pid: int | str, fd: int) -> str | None:
    """The network device that a tap's descriptor stands for; None for another descriptor."""
    with contextlib.suppress(OSError):
        found = re.search(r"^iff:\s*(\S+)", Path(f"/proc/{pid}/fdinfo/{fd}").read_text(), re.MULTILINE)
        return found.group(1) if found else None
    return None


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
