"""Answering a request from what a view shows (RFC 3416, section 4.2), never larger than what may be sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from frontinus_snmp import ber, pdu
from frontinus_snmp.ber import Oid
from frontinus_snmp.pdu import GET, GET_NEXT, RESPONSE, Pdu
from frontinus_snmp.tree import Shown, Tree

OVERHEAD = 32
"""Octets at most around the variable bindings inside the response PDU."""


def answer(request: Pdu, tree: Tree, shown: Shown, room: int, version: int = pdu.V2C) -> bytes | None:
    """The response PDU to what is not a SET, of at most `room` octets; None when not even an error fits."""
    if version == pdu.V1:
        return _first_version(request, tree, shown, room)
    if request.kind == GET:
        found: Sequence[bytes] = [_get(name, tree, shown) for name in request.names]
    elif request.kind == GET_NEXT:
        found = [_next(name, shown) for name in request.names]
    else:
        found = _bulk(request, shown, room - OVERHEAD)
        if not found and request.names and (request.first > 0 or request.second > 0):
            return failed(request, pdu.TOO_BIG, 0, room)
    body = b"".join(found)
    if len(body) + OVERHEAD > room:
        return failed(request, pdu.TOO_BIG, 0, room)
    return pdu.write_pdu(RESPONSE, request.request_id, pdu.NO_ERROR, 0, body)


def failed(request: Pdu, status: int, index: int, room: int, version: int = pdu.V2C) -> bytes | None:
    """A status, with the variables as they came; tooBig comes without them (RFC 3416, section 4.2.1)."""
    if len(request.raw) + OVERHEAD > room:
        status, index = pdu.TOO_BIG, 0
    if version == pdu.V1:
        status = pdu.V1_STATUS.get(status, status)
    raw = b"" if status == pdu.TOO_BIG and version != pdu.V1 else request.raw
    return pdu.write_pdu(RESPONSE, request.request_id, status, index, raw) if room >= OVERHEAD else None


def _first_version(request: Pdu, tree: Tree, shown: Shown, room: int) -> bytes | None:
    """SNMPv1 knows no exceptions and no Counter64 (RFC 3584, section 4.2.2): one such makes the whole an error."""
    found: list[bytes] = []
    for place, name in enumerate(request.names, 1):
        cell = _get(name, tree, shown) if request.kind == GET else _next(name, shown)
        while request.kind != GET and ber.value_tag(cell) == ber.COUNTER64:
            cell = _next(ber.decoded_name(cell), shown)
        if ber.value_tag(cell) in (*ber.EXCEPTIONS, ber.COUNTER64):
            return failed(request, pdu.NO_SUCH_NAME, place, room, pdu.V1)
        found.append(cell)
    body = b"".join(found)
    if len(body) + OVERHEAD > room:
        return failed(request, pdu.TOO_BIG, 0, room, pdu.V1)
    return pdu.write_pdu(RESPONSE, request.request_id, pdu.NO_ERROR, 0, body)


def _get(name: Oid, tree: Tree, shown: Shown) -> bytes:
    cell = shown.find(name)
    if cell is not None:
        return cell
    instance = shown.view.allows(name) and tree.spot(name) is not None
    tag = ber.NO_SUCH_INSTANCE if instance else ber.NO_SUCH_OBJECT
    return ber.varbind(ber.encode_oid(name), bytes((tag, 0)))


def _next(name: Oid, shown: Shown) -> bytes:
    found = shown.following(name, 1)
    return found[0] if found else _end(ber.encode_oid(name))


def _end(name: bytes) -> bytes:
    return ber.varbind(name, bytes((ber.END_OF_MIB_VIEW, 0)))


def _bulk(request: Pdu, shown: Shown, room: int) -> Sequence[bytes]:
    """As many bindings as fit, in order."""
    single = max(0, min(request.first, len(request.names)))
    repeat = max(0, request.second)
    found: list[bytes] = [_next(name, shown) for name in request.names[:single]]
    names = request.names[single:]
    if names:
        most = min(repeat, max(0, room) // (SMALLEST * len(names)) + 1)
        runs = [_run(name, most, shown) for name in names]
        found += runs[0] if len(runs) == 1 else _turns(runs)
    fits = next((n for n, size in enumerate(accumulate(map(len, found))) if size > room), len(found))
    return found[:fits]


SMALLEST = 8
"""Octets of the smallest binding."""


def _run(name: Oid, count: int, shown: Shown) -> list[bytes]:
    """One variable's successors, and after the last of all one that says so."""
    found = list(shown.following(name, count))
    if len(found) < count:
        found.append(_end(ber.name_of(found[-1]) if found else ber.encode_oid(name)))
    return found


def _turns(runs: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Successors of many variables in turns; one at its end says so again until all are."""
    return [run[min(turn, len(run) - 1)] for turn in range(max(map(len, runs), default=0)) for run in runs if run]
