"""Instances as MOF text, which clients of libvirt-cim pass to its methods: scalars, arrays, instances within. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from frontinus_cim.wire.errors import CimError, Status

if TYPE_CHECKING:
    from frontinus_cim.wire.request import Given, GivenInstance

HEAD = re.compile(r"\s*instance\s+of\s+(\w+)(?:\s+as\s+\$\w+)?\s*\{", re.IGNORECASE | re.ASCII)
NAME = re.compile(r"\s*(\w+)\s*=\s*", re.ASCII)
STRING = re.compile(r'\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
END = re.compile(r"\s*\}")
WORD = re.compile(r"\s*([\w.+-]+)", re.ASCII)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
MOST_VALUES, MOST_DEPTH = 1000, 8


def instance(given: str) -> GivenInstance:
    """Raises CimError."""
    head = HEAD.match(given)
    if head is None:
        raise CimError(Status.INVALID_PARAMETER, f"an embedded instance begins with '{given[:30]}'")
    return _body(given, head, 1)[0]


def _body(given: str, head: re.Match[str], depth: int) -> tuple[GivenInstance, int]:
    """The properties of an instance, and where the text goes on."""
    from frontinus_cim.wire.request import GivenInstance

    if depth > MOST_DEPTH:
        raise CimError(Status.INVALID_PARAMETER, f"instances within instances, {MOST_DEPTH} deep")
    at, properties = head.end(), dict[str, "Given"]()
    while (name := NAME.match(given, at)) is not None and len(properties) < MOST_VALUES:
        value, at = _value(given, name.end(), name[1], depth)
        properties[name[1]] = value
        at = _sign(given, at, ";", name[1])
    return GivenInstance(head[1], properties), _sign(given, at, "}", "the end")


def _value(given: str, at: int, name: str, depth: int) -> tuple[Given, int]:
    if not given.startswith("{", at):
        return _one(given, at, name, depth)
    values: list[Given] = []
    at += 1
    while len(values) < MOST_VALUES:
        if (end := END.match(given, at)) is not None:
            return values, end.end()
        if values:
            at = _sign(given, at, ",", name)
        value, at = _one(given, at, name, depth)
        values.append(value)
    raise CimError(Status.INVALID_PARAMETER, f"{name}: more than {MOST_VALUES} values")


def _one(given: str, at: int, name: str, depth: int) -> tuple[Given, int]:
    """A scalar, or an instance within the instance."""
    if (head := HEAD.match(given, at)) is not None:
        return _body(given, head, depth + 1)
    if (found := STRING.match(given, at)) is not None:
        parts = [found[1]]
        while (more := STRING.match(given, found.end())) is not None:  # pieces side by side are one string
            parts.append(more[1])
            found = more
        return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), "".join(parts), flags=re.DOTALL), found.end()
    if (found := WORD.match(given, at)) is not None:
        return (None if found[1].lower() == "null" else found[1]), found.end()
    raise CimError(Status.INVALID_PARAMETER, f"{name}: no value at '{given[at : at + 20]}'")


def _sign(given: str, at: int, sign: str, where: str) -> int:
    found = re.compile(r"\s*" + re.escape(sign)).match(given, at)
    if found is None:
        raise CimError(Status.INVALID_PARAMETER, f"{where}: '{sign}' is missing at '{given[at : at + 20]}'")
    return found.end()
