"""The basic encoding rules as SNMP uses them (RFC 3417, section 8): strict reading with limits, and writing.

Reading never allocates by a length that was not first held against the bytes that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

Oid = tuple[int, ...]

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
IP_ADDRESS, COUNTER32, UNSIGNED32, TIME_TICKS, OPAQUE, COUNTER64 = 0x40, 0x41, 0x42, 0x43, 0x44, 0x46
NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_MIB_VIEW = EXCEPTIONS = (0x80, 0x81, 0x82)

MAX_SUB_IDS = 128  # RFC 3416, section 4.1
MAX_SUB_ID = 2**32 - 1


class Malformed(ValueError):
    """These bytes are not what the protocol allows."""


def head(data: bytes, pos: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the content of the value at `pos`; the content lies within `end`."""
    if pos + 2 > end:
        raise Malformed("cut off")
    tag, length = data[pos], data[pos + 1]
    if tag & 0x1F == 0x1F:
        raise Malformed("long tag")
    pos += 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count < 5 or pos + count > end:
            raise Malformed("length")
        length = int.from_bytes(data[pos : pos + count], "big")
        pos += count
    if pos + length > end:
        raise Malformed("longer than what holds it")
    return tag, pos, pos + length


def expect(data: bytes, pos: int, end: int, tag: int) -> tuple[int, int]:
    """Start and end of the content of a value that must have this tag."""
    if pos + 2 <= end and data[pos] == tag and data[pos + 1] < 0x80:  # nearly all are short: without a call for each
        stop = pos + 2 + data[pos + 1]
        if stop <= end:
            return pos + 2, stop
    found, start, stop = head(data, pos, end)
    if found != tag:
        raise Malformed(f"tag {found:#x} where {tag:#x} belongs")
    return start, stop


def integer(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """A signed number of at most 32 bits, and where the next value begins."""
    if pos + 3 <= end and data[pos] == INTEGER and data[pos + 1] == 1:  # nearly all are: without a call
        value = data[pos + 2]
        return value - (value >> 7 << 8), pos + 3
    start, stop = expect(data, pos, end, INTEGER)
    if not 0 < stop - start <= 4:
        raise Malformed("integer of more than 32 bits")
    return int.from_bytes(data[start:stop], "big", signed=True), stop


def octets(data: bytes, pos: int, end: int, limit: int) -> tuple[bytes, int]:
    """Octets, no more than `limit`, and where the next value begins."""
    start, stop = expect(data, pos, end, OCTETS)
    if stop - start > limit:
        raise Malformed("too many octets")
    return data[start:stop], stop


def oid(data: bytes, start: int, stop: int) -> Oid:
    """An object identifier's content."""
    if start >= stop or data[stop - 1] & 0x80:
        raise Malformed("object identifier cut off")
    if stop - start > MAX_SUB_IDS * 5:
        raise Malformed("object identifier too long")
    last = stop - 1
    while last > start and data[last - 1] & 0x80:
        last -= 1
    if last == start:
        return _oid_of(data[start:stop])
    first = _oid_of(data[start:last])
    if len(first) == MAX_SUB_IDS:
        raise Malformed("too many sub-identifiers")
    return (*first, _sub_id_of(data[last:stop]))


def _sub_id_of(content: bytes) -> int:
    """One sub-identifier's number."""
    if content[0] == 0x80:
        raise Malformed("padded sub-identifier")
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
    if value > MAX_SUB_ID:
        raise Malformed("sub-identifier of more than 32 bits")
    return value


@lru_cache(maxsize=1024)
def _oid_of(content: bytes) -> Oid:
    """All of an identifier's content, kept: most requests differ in their last sub-identifier alone."""
    found: list[int] = []
    value = 0
    fresh = True
    for byte in content:
        if fresh and byte == 0x80:
            raise Malformed("padded sub-identifier")
        value = value << 7 | byte & 0x7F
        fresh = not byte & 0x80
        if value > MAX_SUB_ID:
            raise Malformed("sub-identifier of more than 32 bits")
        if fresh:
            found.append(value)
            value = 0
    first = min(found[0] // 40, 2)
    found[:1] = [first, found[0] - 40 * first]
    if len(found) > MAX_SUB_IDS:
        raise Malformed("too many sub-identifiers")
    return tuple(found)


def _sized(least: int, most: int) -> Callable[[bytes, int, int], None]:
    def check(data: bytes, start: int, stop: int) -> None:
        if not least <= stop - start <= most:
            raise Malformed("size of a value")

    return check


def _unsigned(most: int) -> Callable[[bytes, int, int], None]:
    def check(data: bytes, start: int, stop: int) -> None:
        if not 0 < stop - start <= most + 1 or (stop - start > most and data[start]):
            raise Malformed("size of a number")

    return check


def _oid(data: bytes, start: int, stop: int) -> None:
    oid(data, start, stop)


VALUES: Mapping[int, Callable[[bytes, int, int], None]] = {
    INTEGER: _sized(1, 4), OCTETS: _sized(0, 65535), NULL: _sized(0, 0), OID: _oid, IP_ADDRESS: _sized(4, 4),
    COUNTER32: _unsigned(4), UNSIGNED32: _unsigned(4), TIME_TICKS: _unsigned(4), OPAQUE: _sized(0, 65535),
    COUNTER64: _unsigned(8), NO_SUCH_OBJECT: _sized(0, 0), NO_SUCH_INSTANCE: _sized(0, 0), END_OF_MIB_VIEW: _sized(0, 0),
}  # fmt: skip
"""The values that a variable binding can have, and what their content must be."""


# --- writing


def tlv(tag: int, content: bytes) -> bytes:
    """A value of any kind."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    if size < 0x10000:
        return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content
    return bytes((tag, 0x83, size >> 16, size >> 8 & 0xFF, size & 0xFF)) + content


def number(tag: int, value: int) -> bytes:
    """A number in the fewest octets; an unsigned one has a zero octet before a high bit."""
    if 0 <= value < 0x80:
        return bytes((tag, 1, value))
    size = ((value if value >= 0 else ~value).bit_length() >> 3) + 1
    return bytes((tag, size)) + value.to_bytes(size, "big", signed=True)


def sub_id(value: int) -> bytes:
    """One sub-identifier."""
    if value < 0x80:
        return bytes((value,))
    found = [value & 0x7F]
    while value := value >> 7:
        found.append(value & 0x7F | 0x80)
    return bytes(reversed(found))


def encode_oid(oid: Oid) -> bytes:
    """An object identifier of two sub-identifiers or more."""
    return tlv(OID, sub_id(oid[0] * 40 + oid[1]) + b"".join(map(sub_id, oid[2:])))


def binding(start: bytes, suffix: bytes, value: bytes) -> bytes:
    """A variable binding of the two parts of an encoded name's content and an encoded value."""
    size = len(start) + len(suffix)
    whole = size + 2 + len(value)
    if whole < 0x80:
        return bytes((SEQUENCE, whole, OID, size)) + start + suffix + value
    return varbind(tlv(OID, start + suffix), value)


def name_of(cell: bytes) -> bytes:
    """The encoded name in a variable binding of ours."""
    _, start, stop = head(cell, 0, len(cell))
    return cell[start : head(cell, start, stop)[2]]


def decoded_name(cell: bytes) -> Oid:
    """The name in a variable binding of ours."""
    _, start, stop = head(cell, 0, len(cell))
    return oid(cell, *head(cell, start, stop)[1:])


def value_tag(cell: bytes) -> int:
    """The tag of the value in a variable binding of ours."""
    _, start, stop = head(cell, 0, len(cell))
    return cell[head(cell, start, stop)[2]]


def varbind(name: bytes, value: bytes) -> bytes:
    """A variable binding of an encoded name and an encoded value."""
    size = len(name) + len(value)
    if size < 0x80:
        return bytes((SEQUENCE, size)) + name + value
    return tlv(SEQUENCE, name + value)
