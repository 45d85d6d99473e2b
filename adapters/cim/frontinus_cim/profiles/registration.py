"""Profiles that the provider follows (DSP1033): a row each, what they apply to, and which build on which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from frontinus_cim.host.world import World
from frontinus_cim.instances import pools, services, switches, systems
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.methods.calls import MethodCall, Result, method
from frontinus_cim.profiles import interop
from frontinus_cim.wire.model import GUEST, HOST, INTEROP, VIRT, Path

DMTF = 2
CLASS = "KVM_RegisteredProfile"
Central = Callable[[World], Iterable[Node]]


def guests(world: World) -> Iterable[Node]:
    return (Node(systems.GUESTS, guest) for guest in world.guests.values())


def host(world: World) -> Iterable[Node]:
    return [Node(systems.HOSTS, world)]


def all_switches(world: World) -> Iterable[Node]:
    return map(switches.switch_node, switches.switches(world))


def pools_of(*families: str) -> Central:
    return lambda world: (Node(pools.KINDS[f], pool) for f in families for pool in pools.pools(world, f))


def service(cls: str) -> Central:
    return lambda world: [Node(services.KINDS[cls], world)]


def registered(world: World) -> Iterable[Node]:
    return (Node(KIND, profile) for profile in _every(world))


@dataclass(frozen=True)
class Profile:
    """A row: InstanceID, name and version as published, the central instances with their classes."""

    id: str
    name: str
    version: str
    classes: Sequence[str]
    central: Central

    @property
    def number(self) -> str:
        """The specification, such as DSP1042."""
        return self.id.partition("-")[0].removeprefix("CIM:")


def _allocation(suffix: str, family: str) -> Profile:
    """An instance of Resource Allocation or Generic Device Allocation for a kind of pool."""
    return Profile(f"CIM:DSP1059-GenericDeviceResourceVirtualization-1.0.0_{suffix}", "Generic Device Resource Virtualization",
                   "1.0.0", [pools.KINDS[family].cls], pools_of(family))  # fmt: skip


ROWS: Sequence[Profile] = (
    Profile("CIM:DSP1042-SystemVirtualization-1.0.0", "System Virtualization", "1.0.0", [HOST], host),
    Profile("CIM:DSP1057-VirtualSystem-1.0.0a", "Virtual System Profile", "1.0.0a", [GUEST], guests),
    Profile("CIM:DSP1041-ResourceAllocation-1.1.0c", "Resource Allocation", "1.1.0c", pools.POOL_CLASSES,
            pools_of(*pools.CLASSES)),
    Profile("CIM:DSP1043-AllocationCapabilities-1.0.0a", "Allocation Capabilities", "1.0.0a", [services.ALLOCATION.cls],
            lambda world: (Node(services.ALLOCATION, pool) for pool in services.ALLOCATION.every(world))),
    _allocation("d", "disk"), _allocation("n", "net"), _allocation("p", "proc"),
    Profile("CIM:DSP1045-MemoryResourceVirtualization-1.0.0", "Memory Resource Virtualization", "1.0.0",
            [pools.KINDS["mem"].cls], pools_of("mem")),
    Profile("CIM:DSP1044-ProcessorResourceVirtualization-1.0.0", "Processor Resource Virtualization", "1.0.0",
            [pools.KINDS["proc"].cls], pools_of("proc")),
    Profile("CIM:DSP1047-StorageResourceVirtualization-1.0.0", "Storage Resource Virtualization", "1.0.0",
            [pools.KINDS["disk"].cls], pools_of("disk")),
    Profile("CIM:DSP1050-EthernetPortResourceVirtualization-1.0.0", "Ethernet Port Resource Virtualization", "1.0.0",
            [pools.KINDS["net"].cls], pools_of("net")),
    Profile("CIM:DSP1097-VirtualEthernetSwitch-1.1.0", "Virtual Ethernet Switch", "1.1.0", [switches.SWITCH], all_switches),
    Profile("CIM:DSP1053-BaseMetrics-1.0.1", "Base Metrics", "1.0.1", [services.METRICS], service(services.METRICS)),
    Profile("CIM:DSP1076-KVMRedirection-1.0.0", "KVM Redirection", "1.0.0", [services.CONSOLES], service(services.CONSOLES)),
    Profile("CIM:DSP1081-VirtualSystemMigration-0.8.1", "Virtual System Migration", "0.8.1", [services.MIGRATION],
            service(services.MIGRATION)),
    Profile("CIM:DSP1033-ProfileRegistration-1.0.0", "Profile Registration", "1.0.0", [CLASS], registered),
    Profile("CIM:DSP1054-Indications-1.0.0", "Indications", "1.0.0", [services.INDICATIONS], service(services.INDICATIONS)),
)  # fmt: skip
BY_ID: Mapping[str, Profile] = {row.id: row for row in ROWS}
"""Those that clients of libvirt-cim find under the same InstanceIDs, and registration and indications themselves."""
REGISTRATION = "DSP1033"
RESOURCES = ("DSP1059", "DSP1044", "DSP1045", "DSP1047", "DSP1050")
REFERENCES: Mapping[str, Sequence[str]] = {
    "DSP1042": ("DSP1057", "DSP1041", "DSP1043", *RESOURCES, "DSP1097", "DSP1053", "DSP1054", "DSP1081"),
    "DSP1057": ("DSP1053", "DSP1076"),
    "DSP1097": ("DSP1057", "DSP1050", "DSP1041", "DSP1043"),
    "DSP1041": ("DSP1043",),
    **dict.fromkeys(RESOURCES, ("DSP1041", "DSP1043")),
    "DSP1081": ("DSP1057",),
}
"""Which specification builds on which others; on registration all of them do."""


def references(row: Profile) -> Sequence[Profile]:
    """The profiles that one refers to."""
    wanted = {*REFERENCES.get(row.number, ()), *([REGISTRATION] if row.number != REGISTRATION else [])}
    return [other for other in ROWS if other.number in wanted]


@dataclass(frozen=True)
class Registered:
    """A profile in a world."""

    world: World
    row: Profile


def _every(world: World) -> Iterable[Registered]:
    return (Registered(world, row) for row in ROWS)


def _find(world: World, path: Path) -> Registered | None:
    row = BY_ID.get(str(path.key("InstanceID")))
    return Registered(world, row) if row else None


KIND: Kind[Registered] = Kind(CLASS, {
    "InstanceID": lambda p: p.row.id, "RegisteredOrganization": DMTF, "RegisteredName": lambda p: p.row.name,
    "RegisteredVersion": lambda p: p.row.version, "AdvertiseTypes": [2], "ElementName": lambda p: p.row.name,
    "Caption": "Profile",
}, _every, _find, (INTEROP,))  # fmt: skip
KINDS = (KIND,)


def _conforming(world: World, node: Node) -> Iterable[Node]:
    profile: Registered = node.subject
    return profile.row.central(world)


def _profiles_of(world: World, node: Node) -> Iterable[Node]:
    """The profiles whose central class an instance is of."""
    return (Node(KIND, Registered(world, row)) for row in ROWS if node.kind.cls in row.classes)


def _referenced(world: World, node: Node) -> Iterable[Node]:
    return (Node(KIND, Registered(world, row)) for row in references(node.subject.row))


def _referencing(world: World, node: Node) -> Iterable[Node]:
    return (Node(KIND, Registered(world, row)) for row in ROWS if node.subject.row in references(row))


LINKS = (
    Link("KVM_ElementConformsToProfile", ("ConformantStandard", [CLASS]),
         ("ManagedElement", sorted({cls for row in ROWS for cls in row.classes})), _conforming, _profiles_of,
         namespaces=(INTEROP, VIRT)),
    Link("KVM_ReferencedProfile", ("Antecedent", [CLASS]), ("Dependent", [CLASS]), _referencing, _referenced,
         namespaces=(INTEROP,)),
    Link("KVM_ElementConformsToProfile", ("ConformantStandard", [CLASS]), ("ManagedElement", [interop.MANAGER]),
         lambda world, node: [Node(interop.MANAGERS, world)] if node.subject.row.number == REGISTRATION else [],
         lambda world, node: [Node(KIND, Registered(world, row)) for row in ROWS if row.number == REGISTRATION],
         namespaces=(INTEROP,)),
)  # fmt: skip


@method("CIM_RegisteredProfile", "GetCentralInstances", reads=True)
async def central_instances(call: MethodCall) -> Result:
    most = call.arguments.get("MaxNumber")
    limit = most if isinstance(most, int) and most else 10_000
    found = [
        call.registry.path(node)
        for _, node in zip(range(limit), call.node.subject.row.central(call.world), strict=False)
    ]
    return Result(0, {"CentralInstances": found})
