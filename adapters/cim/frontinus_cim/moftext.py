"""Instances as MOF text, which clients of libvirt-cim pass to its methods: names, scalars and arrays. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from frontinus_cim.errors import CimError, Status

if TYPE_CHECKING:
    from frontinus_cim.request import Given, GivenInstance

HEAD = re.compile(r"\s*instance\s+of\s+(\w+)(?:\s+as\s+\$\w+)?\s*\{", re.IGNORECASE | re.ASCII)
NAME = re.compile(r"\s*(\w+)\s*=\s*", re.ASCII)
STRING = re.compile(r'\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
WORD = re.compile(r"\s*([\w.+-]+)", re.ASCII)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
MOST_VALUES = 1000


def instance(given: str) -> GivenInstance:
    """Raises CimError."""
    from frontinus_cim.request import GivenInstance

    head = HEAD.match(given)
    if head is None:
        raise CimError(Status.INVALID_PARAMETER, f"an embedded instance begins with '{given[:30]}'")
    at, properties = head.end(), dict[str, "Given"]()
    while (name := NAME.match(given, at)) is not None and len(properties) < MOST_VALUES:
        value, at = _value(given, name.end(), name[1])
        properties[name[1]] = value
        at = _sign(given, at, ";", name[1])
    _sign(given, at, "}", "the end")
    return GivenInstance(head[1], properties)


def _value(given: str, at: int, name: str) -> tuple[Given, int]:
    if not given.startswith("{", at):
        return _scalar(given, at, name)
    values: list[Given] = []
    at += 1
    while len(values) < MOST_VALUES:
        if (end := re.compile(r"\s*\}").match(given, at)) is not None:
            return values, end.end()
        if values:
            at = _sign(given, at, ",", name)
        value, at = _scalar(given, at, name)
        values.append(value)
    raise CimError(Status.INVALID_PARAMETER, f"{name}: more than {MOST_VALUES} values")


def _scalar(given: str, at: int, name: str) -> tuple[Given, int]:
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
