"""A netlink socket that is kept: one request, its answer, in a fraction of a millisecond.

The few requests that a start makes are written here by hand: four times as fast as through a general library, whose
import alone takes as long as hundreds of starts. Sources: netlink(7), rtnetlink(7), include/uapi/linux/netlink.h.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import threading
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""

REQUEST, ACK, EXCLUSIVE, CREATE, DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
ERROR, DONE = 2, 3
ACK_HAS_TEXT = 0x200
NESTED = 0x8000
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_TEXT = 1
SECONDS = 5.0
BUFFER = 1 << 17


class Netlink:
    """One socket of one netlink family. Threads may share it. Errors are OSError with the kernel's words."""

    def __init__(self, family: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.settimeout(SECONDS)
        self._socket.bind((0, 0))
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def request(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Ask for a change and wait until the kernel made it."""
        with self._lock:
            number = self._send(kind, body, REQUEST | ACK | flags)
            for answer, _ in self._messages(number):
                if answer == ERROR:
                    return

    def dump(self, kind: int, body: bytes) -> Iterator[memoryview]:
        """Ask for a list; yields the bodies of its entries."""
        with self._lock:
            number = self._send(kind, body, REQUEST | DUMP)
            for answer, entry in self._messages(number):
                if answer == DONE:
                    return
                yield entry

    def get(self, kind: int, body: bytes) -> memoryview:
        """Ask for one entry."""
        with self._lock:
            return next(self._messages(self._send(kind, body, REQUEST)))[1]

    def close(self) -> None:
        self._socket.close()

    def _send(self, kind: int, body: bytes, flags: int) -> int:
        number = next(self._numbers)
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags, number, 0) + body)
        return number

    def _messages(self, number: int) -> Iterator[tuple[int, memoryview]]:
        """Type and body of each message that answers a request; an error is raised."""
        while True:
            data = memoryview(self._socket.recv(BUFFER))
            while len(data) >= HEADER.size:
                length, kind, flags, sequence, _ = HEADER.unpack_from(data)
                body, data = data[HEADER.size : length], data[(length + 3) & ~3 :]
                if sequence == number:
                    if kind == ERROR:
                        _raise(body, flags)
                    yield kind, body


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def attributes(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and data of each attribute in a body."""
    while len(body) >= 4:
        length, kind = struct.unpack_from("=HH", body)
        if length < 4:
            return
        yield kind & 0x3FFF, body[4:length]
        body = body[(length + 3) & ~3 :]


def _raise(body: memoryview, flags: int) -> None:
    code = -struct.unpack_from("=i", body)[0]
    if code == 0:
        return
    text = os.strerror(code)
    if flags & ACK_HAS_TEXT:
        told = dict(attributes(body[4 + HEADER.size :]))
        if _TEXT in told:
            text += f" ({bytes(told[_TEXT]).rstrip(bytes(1)).decode(errors='replace')})"
    raise OSError(code, text)
