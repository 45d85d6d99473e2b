"""Protocol data units and the community message (RFC 3416, RFC 1901): reading requests, writing responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frontinus_snmp import ber
from frontinus_snmp.ber import Malformed, Oid

GET, GET_NEXT, RESPONSE, SET, GET_BULK, INFORM, TRAP, REPORT = 0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xA6, 0xA7, 0xA8
REQUESTS = (GET, GET_NEXT, SET, GET_BULK)

NO_ERROR, TOO_BIG, NO_SUCH_NAME, BAD_VALUE, GEN_ERR, NO_ACCESS, WRONG_TYPE, WRONG_LENGTH, WRONG_ENCODING, WRONG_VALUE = (
    0, 1, 2, 3, 5, 6, 7, 8, 9, 10)  # fmt: skip
NO_CREATION, INCONSISTENT_VALUE, RESOURCE_UNAVAILABLE, COMMIT_FAILED, UNDO_FAILED = 11, 12, 13, 14, 15
AUTHORIZATION_ERROR, NOT_WRITABLE, INCONSISTENT_NAME = 16, 17, 18
"""Error statuses (RFC 3416, section 3)."""

V1_STATUS: Mapping[int, int] = {
    **dict.fromkeys((NO_ACCESS, NO_CREATION, NOT_WRITABLE, INCONSISTENT_NAME, AUTHORIZATION_ERROR), NO_SUCH_NAME),
    **dict.fromkeys((WRONG_TYPE, WRONG_LENGTH, WRONG_ENCODING, WRONG_VALUE, INCONSISTENT_VALUE), BAD_VALUE),
    **dict.fromkeys((RESOURCE_UNAVAILABLE, COMMIT_FAILED, UNDO_FAILED), GEN_ERR),
}  # fmt: skip
"""What SNMPv1 calls them (RFC 3584, section 4.4)."""

V1, V2C = 0, 1
MAX_VARBINDS = 256
MAX_COMMUNITY = 255


@dataclass(frozen=True, slots=True)
class Pdu:
    """A request. `first` and `second` are error status and index, or GetBulk's non-repeaters and max-repetitions."""

    kind: int
    request_id: int
    first: int
    second: int
    names: tuple[Oid, ...]
    raw: bytes
    """The variable bindings as they came, for an answer that repeats them."""


@dataclass(frozen=True, slots=True)
class Community:
    """A message of SNMPv1 or v2c."""

    community: bytes
    pdu: Pdu


def read_pdu(data: bytes, pos: int, end: int) -> Pdu:
    """The PDU that fills `pos` to `end`. Raises Malformed."""
    kind, pos, stop = ber.head(data, pos, end)
    if stop != end:
        raise Malformed("something follows the PDU")
    if kind not in REQUESTS and kind not in (RESPONSE, INFORM, TRAP, REPORT):
        raise Malformed("unknown PDU")
    request_id, pos = ber.integer(data, pos, end)
    first, pos = ber.integer(data, pos, end)
    second, pos = ber.integer(data, pos, end)
    start, stop = ber.expect(data, pos, end, ber.SEQUENCE)
    if stop != end:
        raise Malformed("something follows the variable bindings")
    return Pdu(kind, request_id, first, second, _names(data, start, stop), data[start:stop])


def _names(data: bytes, pos: int, end: int) -> tuple[Oid, ...]:
    found: list[Oid] = []
    while pos < end:
        if len(found) == MAX_VARBINDS:
            raise Malformed("too many variable bindings")
        start, stop = ber.expect(data, pos, end, ber.SEQUENCE)
        name_start, name_stop = ber.expect(data, start, stop, ber.OID)
        found.append(ber.oid(data, name_start, name_stop))
        tag, value_start, value_stop = ber.head(data, name_stop, stop)
        if value_stop != stop or tag not in ber.VALUES:
            raise Malformed("variable binding")
        ber.VALUES[tag](data, value_start, value_stop)
        pos = stop
    return tuple(found)


def variables(request: Pdu) -> Sequence[tuple[Oid, int, bytes]]:
    """The variable bindings of a PDU that was read: name, tag and content."""
    raw, pos, found = request.raw, 0, []
    for name in request.names:
        start, pos = ber.expect(raw, pos, len(raw), ber.SEQUENCE)
        _, _, after = ber.head(raw, start, pos)
        tag, value, stop = ber.head(raw, after, pos)
        found.append((name, tag, raw[value:stop]))
    return found


def version(data: bytes) -> tuple[int, int]:
    """The version of a message and where what follows it begins. Raises Malformed."""
    pos, stop = ber.expect(data, 0, len(data), ber.SEQUENCE)
    if stop != len(data):
        raise Malformed("something follows the message")
    return ber.integer(data, pos, stop)


def read_community(data: bytes, pos: int) -> Community:
    """A message of SNMPv1 or v2c from after its version. Raises Malformed."""
    community, pos = ber.octets(data, pos, len(data), MAX_COMMUNITY)
    return Community(community, read_pdu(data, pos, len(data)))


def write_pdu(kind: int, request_id: int, status: int, index: int, varbinds: bytes) -> bytes:
    return ber.tlv(kind, ber.number(ber.INTEGER, request_id) + ber.number(ber.INTEGER, status)
                   + ber.number(ber.INTEGER, index) + ber.tlv(ber.SEQUENCE, varbinds))  # fmt: skip


def write_community(version: int, community: bytes, pdu: bytes) -> bytes:
    return ber.tlv(ber.SEQUENCE, ber.number(ber.INTEGER, version) + ber.tlv(ber.OCTETS, community) + pdu)
