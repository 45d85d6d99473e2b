"""How much of each kind of resource a guest can have: the least, the most, the usual and the step between (DSP1043).

They are settings of resources that belong to no guest. Their InstanceIDs are libvirt-cim's, which clients compare with, and so
are the same in every pool of a kind: the figures are too, for what depends on the pool is in the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from frontinus_cim.model import Path, Value
from frontinus_cim.pools import CLASSES, PRIMORDIAL
from frontinus_cim.world import World
from frontinus_cim.writer import Columns

S = TypeVar("S")
DEFAULT, MINIMUM, MAXIMUM, INCREMENT = "Default", "Minimum", "Maximum", "Increment"
RANGES: Mapping[str, Mapping[str, Value]] = {
    DEFAULT: {"PropertyPolicy": 0, "ValueRole": 0, "ValueRange": 0},
    MINIMUM: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 1},
    MAXIMUM: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 2},
    INCREMENT: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 3},
}
"""What CIM_SettingsDefineCapabilities says of each. Independent: each property is a bound by itself."""
KIB, MIB = 2**10, 2**20
STEP_OF_MEMORY = MIB
"""Bytes: the engine gives QEMU whole MiB."""
USUAL_MEMORY = 128 * MIB
"""Bytes: what QEMU gives a guest when it is told nothing (its manual, -m)."""


@dataclass(frozen=True)
class Bound:
    """One of a kind of resource: the family of parts, and a key of RANGES."""

    world: World
    family: str
    name: str


def _processors(world: World) -> Mapping[str, int | None]:
    return {DEFAULT: 1, MINIMUM: 1, MAXIMUM: world.most_vcpus, INCREMENT: 1}


def _memory(world: World) -> Mapping[str, int | None]:
    return {DEFAULT: USUAL_MEMORY // KIB, MINIMUM: STEP_OF_MEMORY // KIB, MAXIMUM: world.host.memory // KIB,
            INCREMENT: STEP_OF_MEMORY // KIB}  # fmt: skip


AMOUNTS: Mapping[str, Callable[[World], Mapping[str, int | None]]] = {"proc": _processors, "mem": _memory}
"""Figures of VirtualQuantity, where settings can be of more than one; a device's are always of one."""
USUAL: Mapping[str, Mapping[str, Value]] = {
    "disk": {"EmulatedType": 0},
    "net": {"NetworkType": "user"},
    "graphics": {"ResourceSubType": "vnc", "Address": "127.0.0.1:-1"},
    "input": {"ResourceSubType": "mouse", "BusType": "ps2"},
}
"""What the default of a family says besides: what the engine or this provider does when settings say nothing."""


def _quantity(bound: Bound) -> Value:
    amounts = AMOUNTS.get(bound.family)
    return amounts(bound.world)[bound.name] if amounts else 1


SHARED = ("disk", "net")
"""Families with more pools than one."""
OWN: Mapping[str, Callable[[Bound], Value]] = {
    "InstanceID": lambda b: b.name,
    "ElementName": lambda b: b.name,
    "VirtualQuantity": _quantity,
    "Limit": lambda b: _quantity(b) if b.family == "mem" else None,
    "AllocationUnits": lambda b: "byte*2^10" if b.family == "mem" else "count",
    "VirtualQuantityUnits": lambda b: "byte*2^10" if b.family == "mem" else "count",
    "PoolID": lambda b: None if b.family in SHARED else f"{CLASSES[b.family].prefix}/{PRIMORDIAL}",
}


def value(bound: Bound, name: str) -> Value:
    """What a property of a bound is that differs among those of a family's settings."""
    own = OWN.get(name)
    if own is not None:
        return own(bound)
    return USUAL.get(bound.family, {}).get(name) if bound.name == DEFAULT else None


def beside(columns: Columns[S]) -> Columns[S | Bound]:
    """The columns of a family's settings, so that they show bounds as well."""

    def either(name: str, given: Callable[[S], Value]) -> Callable[[S | Bound], Value]:
        return lambda subject: value(subject, name) if isinstance(subject, Bound) else given(subject)

    return {name: either(name, given) if callable(given) else given for name, given in columns.items()}


def every(world: World, family: str) -> Iterable[Bound]:
    return (Bound(world, family, name) for name in RANGES) if family in CLASSES and world.hostname else ()


def find(world: World, family: str, path: Path) -> Bound | None:
    name = path.key("InstanceID")
    return Bound(world, family, name) if family in CLASSES and isinstance(name, str) and name in RANGES else None
