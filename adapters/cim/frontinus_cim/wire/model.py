"""What goes over the wire, in Python's terms: paths, embedded instances, values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Union

VIRT, INTEROP, CIMV2 = "root/virt", "root/interop", "root/cimv2"
NAMESPACES = (VIRT, INTEROP, CIMV2)
HOST, GUEST = "KVM_HostSystem", "KVM_ComputerSystem"
"""The classes of the systems that all else hangs on."""


class Path(NamedTuple):
    """The path of an instance: keys in the order of the class, names and class as the schema writes them."""

    cls: str
    keys: tuple[tuple[str, Value], ...]
    namespace: str = VIRT

    def key(self, name: str) -> Value:
        return next((value for known, value in self.keys if known == name), None)


@dataclass(frozen=True)
class Embedded:
    """An instance inside a value, or as a client gives it: properties by name as they came, typed where that is known."""

    cls: str
    values: Mapping[str, Value] = field(default_factory=dict)


Value = Union[None, bool, int, float, str, datetime, timedelta, Path, Embedded, Sequence["Value"]]  # noqa: UP007

INTEGERS: Mapping[str, tuple[int, int]] = {
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"sint{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
"""Ranges of CIM's integer types."""
