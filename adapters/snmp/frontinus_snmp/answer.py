"""Answering a request from what a view shows (RFC 3416, section 4.2), never larger than what may be sent. Pure."""

from __future__ import annotations

from itertools import accumulate

from frontinus_snmp import ber, pdu
from frontinus_snmp.ber import Oid
from frontinus_snmp.pdu import GET, GET_NEXT, RESPONSE, SET, Pdu
from frontinus_snmp.tree import Shown, Tree

OVERHEAD = 32
"""Octets at most around the variable bindings inside the response PDU."""


def answer(request: Pdu, tree: Tree, shown: Shown, room: int) -> bytes | None:
    """The response PDU, of at most `room` octets; None when not even an error fits."""
    if request.kind == SET:
        return _refused(request, room)
    if request.kind == GET:
        found = [_get(name, tree, shown) for name in request.names]
    elif request.kind == GET_NEXT:
        found = [_next(name, shown) for name in request.names]
    else:
        found = _bulk(request, shown, room - OVERHEAD)
        if not found and request.names and (request.first > 0 or request.second > 0):
            return _error(request, pdu.TOO_BIG, room)
    body = b"".join(found)
    if len(body) + OVERHEAD > room:
        return _error(request, pdu.TOO_BIG, room)
    return pdu.write_pdu(RESPONSE, request.request_id, pdu.NO_ERROR, 0, body)


def _error(request: Pdu, status: int, room: int) -> bytes | None:
    """tooBig comes without bindings (RFC 3416, section 4.2.1)."""
    return pdu.write_pdu(RESPONSE, request.request_id, status, 0, b"") if room >= OVERHEAD else None


def _refused(request: Pdu, room: int) -> bytes | None:
    """Nothing is writable: the first variable is named, and nothing was changed."""
    if len(request.raw) + OVERHEAD > room:
        return _error(request, pdu.TOO_BIG, room)
    status, index = (pdu.NOT_WRITABLE, 1) if request.names else (pdu.NO_ERROR, 0)
    return pdu.write_pdu(RESPONSE, request.request_id, status, index, request.raw)


def _get(name: Oid, tree: Tree, shown: Shown) -> bytes:
    cell = shown.find(name)
    if cell is not None:
        return cell
    instance = shown.view.allows(name) and tree.has_object(name)
    tag = ber.NO_SUCH_INSTANCE if instance else ber.NO_SUCH_OBJECT
    return ber.varbind(ber.encode_oid(name), bytes((tag, 0)))


def _next(name: Oid, shown: Shown) -> bytes:
    place = shown.after(name)
    if place < len(shown.cells):
        return shown.cells[place]
    return _end(name)


def _end(name: Oid) -> bytes:
    return ber.varbind(ber.encode_oid(name), bytes((ber.END_OF_MIB_VIEW, 0)))


def _bulk(request: Pdu, shown: Shown, room: int) -> list[bytes]:
    """As many bindings as fit, in order."""
    single = max(0, min(request.first, len(request.names)))
    repeat = max(0, request.second)
    found: list[bytes] = []
    for name in request.names[:single]:
        cell = _next(name, shown)
        room -= len(cell)
        if room < 0:
            return found
        found.append(cell)
    names = request.names[single:]
    if len(names) == 1:
        return found + _run(names[0], repeat, shown, room)
    return found + _rounds(names, repeat, shown, room)


def _run(name: Oid, repeat: int, shown: Shown, room: int) -> list[bytes]:
    """One variable's successors: a slice, cut where it no longer fits."""
    place = shown.after(name)
    found = shown.cells[place : place + min(repeat, room // 8)]
    if len(found) < repeat and place + len(found) == len(shown.cells):
        found.append(_end(shown.keys[-1] if found else name))
    sizes = accumulate(map(len, found))
    fits = next((n for n, size in enumerate(sizes) if size > room), len(found))
    return found[:fits]


def _rounds(names: tuple[Oid, ...], repeat: int, shown: Shown, room: int) -> list[bytes]:
    """Successors of many variables in turns, until all are at the end or nothing more fits."""
    places = [shown.after(name) for name in names]
    last = list(names)
    found: list[bytes] = []
    for _ in range(repeat if names else 0):
        ended = True
        for n, place in enumerate(places):
            if place < len(shown.cells):
                cell, last[n], ended = shown.cells[place], shown.keys[place], False
                places[n] = place + 1
            else:
                cell = _end(last[n])
            room -= len(cell)
            if room < 0:
                return found
            found.append(cell)
        if ended:
            break
    return found
