"""Learning the addresses of a guest: what passes its tap is looked at, and what it says of addresses is told.

`dhcp`: leases that a server gives in answer to the guest's own request, until they end. `any`: also the first address
that the guest uses, by ARP or IP; then it is settled.
Sources: RFC 2131, RFC 2132, RFC 826; packet(7), linux/filter.h.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from frontinus.filter.instance import Learning

IPV4, ARP, ALL = 0x0800, 0x0806, 0x0003
UDP = 17
SERVER_PORT, CLIENT_PORT = 67, 68
REQUEST, DECLINE, ACK, RELEASE = 3, 4, 5, 7
"""DHCP messages that matter."""
OPTION_ADDRESS, OPTION_SECONDS, OPTION_MESSAGE, OPTION_SERVER, OPTION_END = 50, 51, 53, 54, 255
FOREVER = 0xFFFFFFFF
MAGIC = b"\x63\x82\x53\x63"
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_BOOTP = struct.Struct("!BBBBIHH4s4s4s4s16s")
_BOOTP_SIZE = 236
SNAPSHOT = 1500
BUFFER = 64 * 1024
MOST_REQUESTS = 8
"""Requests of a guest that are remembered until they are answered."""
MOST_ADDRESSES = 16

_SO_ATTACH_FILTER = 26
_LOAD_AUX, _LOAD_HALF, _LOAD_BYTE, _LOAD_X, _LOAD_HALF_X = 0x20, 0x28, 0x30, 0xB1, 0x48
_EQUAL, _ANY_BIT, _RETURN = 0x15, 0x45, 0x06
_VLAN_TAG_PRESENT = 0xFFFFF000 + 48


@dataclass
class Lessons:
    """What was learned of one guest. `addresses`: the Unix time when each ends, or None."""

    mode: Learning
    mac: bytes
    servers: tuple[str, ...] = ()
    addresses: dict[str, float | None] = field(default_factory=dict)
    _requests: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_REQUESTS))

    @property
    def settled(self) -> bool:
        """Nothing more is to be learned."""
        return self.mode == "none" or (self.mode == "any" and bool(self.addresses))

    def look(self, frame: bytes, *, to_guest: bool, now: float) -> bool:
        """Learn from a frame; whether the addresses changed. Whatever is in it, nothing is raised."""
        if len(frame) < 14 or self.settled:
            return False
        ether_type = int.from_bytes(frame[12:14], "big")
        if not to_guest and frame[6:12] != self.mac:
            return False
        if ether_type == IPV4:
            return self._packet(frame[14:], to_guest=to_guest, now=now)
        if ether_type == ARP and self.mode == "any" and not to_guest and len(frame) >= 14 + _ARP.size:
            hardware, protocol, size, length, _, mac, address, *_ = _ARP.unpack_from(frame, 14)
            if (hardware, protocol, size, length, mac) == (1, IPV4, 6, 4, self.mac):
                return self._use(address)
        return False

    def _packet(self, packet: bytes, *, to_guest: bool, now: float) -> bool:
        header = (packet[0] & 15) * 4 if packet else 0
        if len(packet) < max(20, header) or packet[0] >> 4 != 4 or header < 20:
            return False
        ports = packet[header : header + 4]
        whole = not int.from_bytes(packet[6:8], "big") & 0x3FFF
        if packet[9] == UDP and whole and len(packet) >= header + 8:
            pair = struct.unpack("!HH", ports)
            if pair == ((SERVER_PORT, CLIENT_PORT) if to_guest else (CLIENT_PORT, SERVER_PORT)):
                message = packet[header + 8 :]
                source = socket.inet_ntoa(packet[12:16])
                return self._answer(message, source, now) if to_guest else self._ask(message)
        return self._use(packet[12:16]) if self.mode == "any" and not to_guest else False

    def _use(self, packed: bytes) -> bool:
        """The guest uses an address."""
        address = ipaddress.IPv4Address(packed)
        if address.is_multicast or address.is_loopback or int(address) in (0, 2**32 - 1) or int(address) >> 24 == 0:
            return False
        self.addresses[str(address)] = None
        return True

    def _ask(self, message: bytes) -> bool:
        """The guest speaks to a DHCP server."""
        read = _read(message, self.mac)
        if read is None:
            return False
        kind = read.kind
        if kind == REQUEST:
            self._requests.append(read.transaction)
        given_back = read.client if kind == RELEASE else read.wanted if kind == DECLINE else None
        return given_back is not None and self.addresses.pop(given_back, self) is not self

    def _answer(self, message: bytes, source: str, now: float) -> bool:
        """A DHCP server speaks to the guest: a lease, if the guest asked for it and the server is believed."""
        read = _read(message, self.mac)
        if read is None or read.kind != ACK or read.transaction not in self._requests or read.given == "0.0.0.0":
            return False
        if self.servers and not {source, read.server} <= {*self.servers, None}:
            return False
        self._requests.remove(read.transaction)
        self.forget_ended(now)
        if read.given not in self.addresses and len(self.addresses) >= MOST_ADDRESSES:
            return False
        self.addresses[read.given] = None if read.seconds in (None, FOREVER) else now + (read.seconds or 0)
        return True

    def forget_ended(self, now: float) -> None:
        """Leases that are over; the kernel has dropped them already."""
        self.addresses = {one: end for one, end in self.addresses.items() if end is None or end > now}


@dataclass(frozen=True)
class _Message:
    """What a DHCP message says, as far as it matters."""

    kind: int
    transaction: int
    client: str
    given: str
    wanted: str | None
    server: str | None
    seconds: int | None


def _read(message: bytes, mac: bytes) -> _Message | None:
    """A DHCP message about a card; None for what is none."""
    if len(message) < _BOOTP_SIZE + 4 or message[_BOOTP_SIZE : _BOOTP_SIZE + 4] != MAGIC:
        return None
    _, hardware, size, _, transaction, _, _, client, given, _, _, card = _BOOTP.unpack_from(message)
    if (hardware, size) != (1, 6) or card[:6] != mac:
        return None
    options = dict(_options(message[_BOOTP_SIZE + 4 :]))
    kind, seconds = options.get(OPTION_MESSAGE, b""), options.get(OPTION_SECONDS, b"")
    return _Message(
        kind[0] if len(kind) == 1 else 0, transaction, socket.inet_ntoa(client), socket.inet_ntoa(given),
        _address(options.get(OPTION_ADDRESS, b"")), _address(options.get(OPTION_SERVER, b"")),
        int.from_bytes(seconds, "big") if len(seconds) == 4 else None,
    )  # fmt: skip


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 1 < len(data) and data[at] != OPTION_END:
        if data[at] == 0:
            at += 1
            continue
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def _address(packed: bytes) -> str | None:
    return socket.inet_ntoa(packed) if len(packed) == 4 else None


class Ear:
    """A socket that hears what passes a link, as far as something can be learned from it."""

    def __init__(self, link: str, lessons: Lessons) -> None:
        """Raises OSError when there is no such link."""
        self.lessons = lessons
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
        try:
            _attach(self._socket, _program(lessons.mode))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self._socket.bind((link, ALL))
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def hear(self, most: int) -> tuple[int, bool]:
        """Read at most so many frames: how many there were, and whether the addresses changed."""
        changed = False
        for count in range(most):
            try:
                frame, (*_, kind, _, _) = self._socket.recvfrom(SNAPSHOT)
            except BlockingIOError:
                return count, changed
            except OSError:  # the link was switched off, or is gone
                continue
            changed |= self.lessons.look(frame, to_guest=kind == socket.PACKET_OUTGOING, now=time.time())
        return most, changed

    def close(self) -> None:
        self._socket.close()


def _program(mode: Learning) -> list[tuple[int, int, int, int]]:
    """A classic BPF program that passes frames without a tag: ARP and IPv4 for `any`, DHCP alone for `dhcp`."""
    if mode == "any":
        return [
            (_LOAD_AUX, 0, 0, _VLAN_TAG_PRESENT), (_EQUAL, 0, 4, 0), (_LOAD_HALF, 0, 0, 12),
            (_EQUAL, 1, 0, ARP), (_EQUAL, 0, 1, IPV4), (_RETURN, 0, 0, SNAPSHOT), (_RETURN, 0, 0, 0),
        ]  # fmt: skip
    return [
        (_LOAD_AUX, 0, 0, _VLAN_TAG_PRESENT), (_EQUAL, 0, 11, 0), (_LOAD_HALF, 0, 0, 12), (_EQUAL, 0, 9, IPV4),
        (_LOAD_BYTE, 0, 0, 23), (_EQUAL, 0, 7, UDP), (_LOAD_HALF, 0, 0, 20), (_ANY_BIT, 5, 0, 0x1FFF),
        (_LOAD_X, 0, 0, 14), (_LOAD_HALF_X, 0, 0, 14), (_EQUAL, 1, 0, SERVER_PORT), (_EQUAL, 0, 1, CLIENT_PORT),
        (_RETURN, 0, 0, SNAPSHOT), (_RETURN, 0, 0, 0),
    ]  # fmt: skip


def _attach(to: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))
