"""What the host shares out among guests as CIM_ResourcePool (DSP1041, DSP1059): processors, memory, storage, networks, devices.

A pool is known by `DiskPool/NAME` and the like. The one named 0 is primordial: what is in no other pool comes from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from frontinus.api.storage import PoolView
from frontinus_cim.host.guest import Guest, Part
from frontinus_cim.host.mirror import Mirror, by_name
from frontinus_cim.host.resources import Network, Storage
from frontinus_cim.host.world import World
from frontinus_cim.instances.kinds import Kind
from frontinus_cim.wire.model import Path, Value
from frontinus_cim.wire.writer import Columns

KIB, MIB = 2**10, 2**20
PRIMORDIAL = "0"


@dataclass(frozen=True)
class Pool:
    """A pool: the family of parts that it gives, its name, and what the engine has of it."""

    world: World
    family: str
    name: str
    storage: Storage | None = None
    network: Network | None = None

    @property
    def id(self) -> str:
        return f"{CLASSES[self.family].prefix}/{self.name}"

    @property
    def primordial(self) -> bool:
        return self.name == PRIMORDIAL

    def parts(self, of: Iterable[Guest] | None = None) -> Iterable[Part]:
        """The parts of guests that are taken from it; `of` are other configurations than the guests as they are."""
        return (
            part
            for guest in (self.world.guests.values() if of is None else of)
            for part in guest.of(self.family)
            if pool_id(self.world, part) == self.id
        )

    def running(self) -> Iterable[Guest]:
        return (guest for guest in self.world.guests.values() if guest.view.active)


@dataclass(frozen=True)
class PoolClass:
    """A row: the class of pools of a family, ResourceType and unit, and how much there is, is promised and is the most.

    `size` gives None for what has no bounds.
    """

    cls: str
    prefix: str
    type: int
    unit: str
    words: str
    size: Callable[[Pool], int | None]
    used: Callable[[Pool], int | None]
    other: str | None = None
    sub: str | None = None


def _count(pool: Pool) -> int:
    return sum(1 for part in pool.parts() if part.guest.view.active)


def _storage(pool: Pool) -> list[PoolView]:
    """The pool itself; all of them for the primordial one."""
    return [storage.view for storage in ([pool.storage] if pool.storage else pool.world.pools.values())]


CLASSES: Mapping[str, PoolClass] = {
    "proc": PoolClass("KVM_ProcessorPool", "ProcessorPool", 3, "count", "The host's CPUs",
                      lambda p: p.world.host.cpus, lambda p: sum(g.view.vcpus for g in p.running())),
    "mem": PoolClass("KVM_MemoryPool", "MemoryPool", 4, "byte*2^10", "The host's memory",
                     lambda p: p.world.host.memory // KIB, lambda p: sum(g.view.memory for g in p.running()) // KIB),
    "disk": PoolClass("KVM_DiskPool", "DiskPool", 17, "byte*2^20", "Storage",
                      lambda p: sum(view.capacity for view in _storage(p)) // MIB,
                      lambda p: sum(view.allocation for view in _storage(p)) // MIB),
    "net": PoolClass("KVM_NetworkPool", "NetworkPool", 10, "count", "A network", lambda p: None, _count),
    "graphics": PoolClass("KVM_GraphicsPool", "GraphicsPool", 24, "count", "Displays", lambda p: None, _count),
    "input": PoolClass("KVM_InputPool", "InputPool", 13, "count", "Input devices", lambda p: None, _count),
    "controller": PoolClass("KVM_ControllerPool", "ControllerPool", 1, "count", "Controllers", lambda p: None, _count,
                            "controller"),
}  # fmt: skip
"""The pools, by the family of parts that they give."""
BY_PREFIX = {row.prefix: family for family, row in CLASSES.items()}


def pools(world: World, family: str) -> Iterable[Pool]:
    """All pools of a family: the primordial one, then the others by name."""
    yield Pool(world, family, PRIMORDIAL)
    if family == "disk":
        yield from (Pool(world, family, storage.view.name, storage=storage) for storage in world.pools.values())
    elif family == "net":
        yield from (Pool(world, family, network.view.name, network=network) for network in world.networks.values())
        yield from (Pool(world, family, name) for name in bridges(world))


def bridges(world: World) -> list[str]:
    """Bridges of the host that guests are on and no network has."""
    taken = {network.view.bridge for network in world.networks.values()} | {
        network.view.name for network in world.networks.values()
    }
    found = {part.device["source/@bridge"] for guest in world.guests.values() for part in guest.of("net")}
    return sorted(found - taken - {""})


def find(world: World, given: Value) -> Pool | None:
    """The pool of an InstanceID."""
    prefix, _, name = str(given).partition("/")
    family = BY_PREFIX.get(prefix)
    if family is None or not name:
        return None
    if name == PRIMORDIAL:
        return Pool(world, family, name)
    if family == "disk" and (storage := by_name(world.pools, name)) is not None:
        return Pool(world, family, name, storage=storage)
    if family == "net" and (network := by_name(world.networks, name)) is not None:
        return Pool(world, family, name, network=network)
    return Pool(world, family, name) if family == "net" and name in bridges(world) else None


def pool_id(world: Mirror, part: Part) -> str:
    """The InstanceID of the pool that a part is taken from."""
    row = CLASSES.get(part.family) or CLASSES["graphics"]
    return f"{row.prefix}/{_pool_name(world, part) or PRIMORDIAL}"


def pool_of(world: World, part: Part) -> Pool:
    """The pool that a part is taken from, found without looking at other guests."""
    family = part.family if part.family in CLASSES else "graphics"
    name = _pool_name(world, part) or PRIMORDIAL
    storage = by_name(world.pools, name) if family == "disk" else None
    network = by_name(world.networks, name) if family == "net" else None
    return Pool(world, family, name, storage=storage, network=network)


def _pool_name(world: Mirror, part: Part) -> str:
    device = part.device
    if part.family == "net":
        bridge = device["source/@bridge"]
        own = next((n.view.name for n in world.networks.values() if bridge and n.view.bridge == bridge), "")
        name = device["source/@network"]
        return own or bridge if not name or by_name(world.networks, name) is None else name
    if part.family == "disk":
        named = device["source/@pool"]
        if named:
            return named if by_name(world.pools, named) else ""
        folder = (device["source/@file"] or device["source/@dev"]).rpartition("/")[0]
        return next((s.view.name for s in world.pools.values() if folder and s.view.path == folder), "")
    return ""


def _columns(family: str, row: PoolClass) -> Columns[Pool]:
    columns: dict[str, object] = {
        "InstanceID": lambda p: p.id,
        "PoolID": lambda p: p.id,
        "Name": lambda p: p.name,
        "ElementName": lambda p: p.id,
        "Caption": row.words,
        "Primordial": lambda p: p.primordial,
        "ResourceType": row.type,
        "OtherResourceType": row.other,
        "AllocationUnits": row.unit,
        "ConsumedResourceUnits": row.unit,
        "Capacity": row.size,
        "MaxConsumableResource": row.size,
        "Reserved": row.used,
        "CurrentlyConsumedResource": row.used,
        "OperationalStatus": lambda p: [2] if _active(p) else [10],
        "HealthState": 5,
    }
    if family == "disk":
        columns |= {
            "Path": lambda p: p.storage.view.path if p.storage else None,
            "Autostart": lambda p: int(p.storage.view.autostart) if p.storage else None,
            "Host": lambda p: p.storage.facts.get("source/host/@name") if p.storage else None,
            "SourceDirectory": lambda p: p.storage.facts.get("source/dir/@path") if p.storage else None,
            "ResourceSubType": lambda p: p.storage.view.kind if p.storage else None,
        }
    if family == "net":
        columns["ResourceSubType"] = lambda p: p.network.view.forward if p.network else None
    return columns  # type: ignore[return-value]


def _active(pool: Pool) -> bool:
    entry = pool.storage or pool.network
    return entry is None or entry.view.active


def _kind(family: str, row: PoolClass) -> Kind[Pool]:
    def every(world: World) -> Iterable[Pool]:
        return pools(world, family)

    def find_one(world: World, path: Path) -> Pool | None:
        found = find(world, path.key("InstanceID"))
        return found if found is not None and found.family == family else None

    return Kind(row.cls, _columns(family, row), every, find_one)


KINDS: Mapping[str, Kind[Pool]] = {family: _kind(family, row) for family, row in CLASSES.items()}
POOL_CLASSES = tuple(kind.cls for kind in KINDS.values())
