"""The encoding of AgentX (RFC 2741, section 5): in network byte order, read with limits, and from and to BER's bindings."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from frontinus_snmp import ber
from frontinus_snmp.ber import Malformed, Oid

OPEN, CLOSE, REGISTER, GET, GET_NEXT, GET_BULK, TEST, COMMIT, UNDO, CLEANUP, NOTIFY, PING, ADD_CAPS, RESPONSE = (
    1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 18)  # fmt: skip
NETWORK_ORDER, CONTEXT = 0x10, 0x08
NO_ERROR, UNSUPPORTED_CONTEXT, PARSE_ERROR, PROCESSING_ERROR = 0, 262, 266, 268
HEADER = struct.Struct(">BBBxIIII")
MOST_PAYLOAD = 2**20
INTERNET: Oid = (1, 3, 6, 1)
Variable = tuple[Oid, int, bytes]
"""Name, tag and content of a value, as in BER: the tags are the same."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A PDU. `flags` without the byte order."""

    kind: int
    flags: int
    session: int
    transaction: int
    id: int
    payload: bytes


def read_header(data: bytes) -> tuple[Packet, int]:
    """A PDU without its payload, and the payload's size. Raises Malformed."""
    version, kind, flags, session, transaction, number, size = HEADER.unpack(data)
    if version != 1 or not flags & NETWORK_ORDER or size % 4 or size > MOST_PAYLOAD:
        raise Malformed("AgentX header")
    return Packet(kind, flags & ~NETWORK_ORDER, session, transaction, number, b""), size


def write(packet: Packet) -> bytes:
    head = HEADER.pack(
        1, packet.kind, packet.flags | NETWORK_ORDER, packet.session, packet.transaction, packet.id, len(packet.payload)
    )
    return head + packet.payload


def write_oid(oid: Oid, *, include: bool = False) -> bytes:
    prefix = 0
    if len(oid) > 4 and oid[:4] == INTERNET and 0 < oid[4] < 256:
        prefix, oid = oid[4], oid[5:]
    return struct.pack(f">BBBx{len(oid)}I", len(oid), prefix, include, *oid)


def write_octets(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets + bytes(-len(octets) % 4)


class Reader:
    """Takes values from a payload one by one. Raises Malformed where they do not fit."""

    def __init__(self, data: bytes) -> None:
        self._data, self._pos = data, 0

    @property
    def more(self) -> bool:
        return self._pos < len(self._data)

    def _take(self, form: str) -> tuple[int, ...]:
        size = struct.calcsize(form)
        if self._pos + size > len(self._data):
            raise Malformed("AgentX payload cut off")
        found = struct.unpack_from(form, self._data, self._pos)
        self._pos += size
        return found

    def halves(self) -> tuple[int, int]:
        first, second = self._take(">HH")
        return first, second

    def number(self) -> int:
        return self._take(">I")[0]

    def oid(self) -> tuple[Oid, bool]:
        """A name, and whether it is included in a range."""
        count, prefix, include = self._take(">BBBx")
        if count > ber.MAX_SUB_IDS:
            raise Malformed("too many sub-identifiers")
        return ((*INTERNET, prefix) if prefix else ()) + self._take(f">{count}I"), bool(include)

    def octets(self) -> bytes:
        size = self.number()
        padded = size + -size % 4
        if self._pos + padded > len(self._data):
            raise Malformed("octets cut off")
        found = self._data[self._pos : self._pos + size]
        self._pos += padded
        return found

    def variable(self) -> Variable:
        tag, _ = self.halves()
        name, _ = self.oid()
        if tag in NUMBERS:
            size = struct.calcsize(NUMBERS[tag])
            return name, tag, self._take(NUMBERS[tag])[0].to_bytes(size, "big", signed=tag == ber.INTEGER)
        if tag in (ber.OCTETS, ber.IP_ADDRESS, ber.OPAQUE):
            return name, tag, self.octets()
        if tag == ber.OID:
            value = self.oid()[0]
            return name, tag, ber.encode_oid(value if len(value) > 1 else (0, 0))[2:]
        if tag == ber.NULL:
            return name, tag, b""
        raise Malformed(f"AgentX value of type {tag}")


NUMBERS = {ber.INTEGER: ">i", ber.COUNTER32: ">I", ber.UNSIGNED32: ">I", ber.TIME_TICKS: ">I", ber.COUNTER64: ">Q"}


def write_variable(name: Oid, tag: int, content: bytes) -> bytes:
    head = struct.pack(">HH", tag, 0) + write_oid(name)
    if tag in NUMBERS:
        return head + struct.pack(NUMBERS[tag], int.from_bytes(content, "big", signed=tag == ber.INTEGER))
    if tag in (ber.OCTETS, ber.IP_ADDRESS, ber.OPAQUE):
        return head + write_octets(content)
    if tag == ber.OID:
        return head + write_oid(ber.oid(content, 0, len(content)))
    return head


def from_ber(cell: bytes) -> bytes:
    """An encoded binding of ours in AgentX's encoding."""
    _, start, stop = ber.head(cell, 0, len(cell))
    _, name, after = ber.head(cell, start, stop)
    tag, value, end = ber.head(cell, after, stop)
    return write_variable(ber.oid(cell, name, after), tag, cell[value:end])


def all_from_ber(bindings: bytes) -> bytes:
    """Encoded bindings of ours, one after another."""
    found, pos = [], 0
    while pos < len(bindings):
        _, _, stop = ber.head(bindings, pos, len(bindings))
        found.append(from_ber(bindings[pos:stop]))
        pos = stop
    return b"".join(found)


@dataclass(frozen=True, slots=True)
class Range:
    """Names to look for: after `start`, or from it, and before `end`, if there is one."""

    start: Oid
    include: bool
    end: Oid


def ranges(reader: Reader) -> Sequence[Range]:
    """What follows in a payload."""
    found: list[Range] = []
    while reader.more:
        start, include = reader.oid()
        end, _ = reader.oid()
        found.append(Range(start, include, end))
    return found
