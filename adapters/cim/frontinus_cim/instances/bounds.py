"""How much of each kind of resource a guest can have: the least, the most, the usual and the step between (DSP1043).

They are settings of resources that belong to no guest. Those of primordial pools have libvirt-cim's InstanceIDs, which clients
compare with; those of any other pool begin with the pool's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from frontinus_cim.host.world import World
from frontinus_cim.instances import ethernet, pools
from frontinus_cim.instances.pools import CLASSES, MIB, Pool
from frontinus_cim.wire.model import Path, Value
from frontinus_cim.wire.writer import Columns

S = TypeVar("S")
DEFAULT, MINIMUM, MAXIMUM, INCREMENT = "Default", "Minimum", "Maximum", "Increment"
RANGES: Mapping[str, Mapping[str, Value]] = {
    DEFAULT: {"PropertyPolicy": 0, "ValueRole": 0, "ValueRange": 0},
    MINIMUM: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 1},
    MAXIMUM: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 2},
    INCREMENT: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 3},
}
"""What CIM_SettingsDefineCapabilities says of each. Independent: each property is a bound by itself."""
SUPPORTED: Mapping[str, Value] = {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 0}
"""What it says of one that can be had, but is no bound of the pool."""
KIB = 2**10
STEP_OF_MEMORY = MIB
"""Bytes: the engine gives QEMU whole MiB."""
USUAL_MEMORY = 128 * MIB
"""Bytes: what QEMU gives a guest when it is told nothing (its manual, -m)."""


@dataclass(frozen=True)
class Bound:
    """One of what can be had from a pool: a key of RANGES."""

    pool: Pool
    name: str

    @property
    def id(self) -> str:
        return self.name if self.pool.primordial else f"{self.pool.id}/{self.name}"


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


USUAL_OF_POOL: Mapping[str, Callable[[Pool], Mapping[str, Value]]] = {
    "net": lambda pool: {
        "NetworkType": "network" if pool.network else "bridge",
        "NetworkName": pool.name,
        "Connection": [pool.name],
    },
}
"""The same of one pool: what settings say to get something of it."""


def _quantity(bound: Bound) -> Value:
    amounts = AMOUNTS.get(bound.pool.family)
    return amounts(bound.pool.world)[bound.name] if amounts else 1


def _capacity(bound: Bound) -> Value:
    """No disk is larger than its pool."""
    storage = bound.pool.storage
    return storage.view.capacity // MIB or None if storage is not None and bound.name == MAXIMUM else None


def _floor(bound: Bound) -> Value:
    """What a network promises its ports is no more than it is given itself."""
    network = bound.pool.network
    average = network.facts.get("bandwidth/inbound/@average", "") if network is not None else ""
    return int(average) if average.isdecimal() and bound.name == MAXIMUM else None


SHARED = ("disk", "net")
"""Families with more pools than one: what can be had of the primordial one can be had beside any other."""
LIMITS: Mapping[str, Callable[[Bound], Value]] = {"mem": _quantity, "disk": _capacity}
UNITS: Mapping[str, str] = {"mem": "byte*2^10", "disk": "byte*2^20", "net": ethernet.UNIT}
"""AllocationUnits by family, of Limit and of rates; other families have neither."""
OWN: Mapping[str, Callable[[Bound], Value]] = {
    "InstanceID": lambda b: b.id,
    "ElementName": lambda b: b.id,
    "VirtualQuantity": _quantity,
    "Limit": lambda b: LIMITS[b.pool.family](b) if b.pool.family in LIMITS else None,
    "ReceiveBandwidthReservation": _floor,
    "AllocationUnits": lambda b: UNITS.get(b.pool.family, "count"),
    "VirtualQuantityUnits": lambda b: "byte*2^10" if b.pool.family == "mem" else "count",
    "PoolID": lambda b: None if b.pool.primordial and b.pool.family in SHARED else b.pool.id,
}


def value(bound: Bound, name: str) -> Value:
    """What a property of a bound is that differs among those of a family's settings."""
    own = OWN.get(name)
    if own is not None:
        return own(bound)
    return usual(bound.pool).get(name) if bound.name == DEFAULT else None


def usual(pool: Pool) -> Mapping[str, Value]:
    """What the default of a pool says besides its amount."""
    of_pool = USUAL_OF_POOL.get(pool.family)
    return of_pool(pool) if of_pool and not pool.primordial else USUAL.get(pool.family, {})


def beside(columns: Columns[S]) -> Columns[S | Bound]:
    """The columns of a family's settings, so that they show bounds as well."""

    def either(name: str, given: Callable[[S], Value] | Value) -> Callable[[S | Bound], Value]:
        def shown(subject: S | Bound) -> Value:
            if isinstance(subject, Bound):
                return value(subject, name)
            return given(subject) if callable(given) else given

        return shown

    return {name: either(name, given) if callable(given) or name in OWN else given for name, given in columns.items()}


def of_pool(pool: Pool) -> Iterable[Bound]:
    return (Bound(pool, name) for name in RANGES)


def common(pool: Pool) -> Bound:
    """The default of the primordial pool, which any other pool of the kind gives as well."""
    return Bound(Pool(pool.world, pool.family, pools.PRIMORDIAL), DEFAULT)


def role(pool: Pool, bound: Bound) -> Mapping[str, Value]:
    """What a bound is to a pool."""
    return RANGES[bound.name] if bound.pool == pool else SUPPORTED


def every(world: World, family: str) -> Iterable[Bound]:
    known = pools.pools(world, family) if family in CLASSES and world.hostname else ()
    return (bound for pool in known for bound in of_pool(pool))


def find(world: World, family: str, path: Path) -> Bound | None:
    pool_id, _, name = str(path.key("InstanceID")).rpartition("/")
    if family not in CLASSES or name not in RANGES:
        return None
    pool = pools.find(world, pool_id) if pool_id else Pool(world, family, pools.PRIMORDIAL)
    return (
        Bound(pool, name) if pool is not None and pool.family == family and bool(pool_id) != pool.primordial else None
    )
