"""What the server says of itself in root/interop: namespaces, the object manager, how it is reached (DSP1033, DSP1054)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus import __version__
from frontinus_cim.host.world import World
from frontinus_cim.instances import systems
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.wire.model import HOST, INTEROP, NAMESPACES, Path
from frontinus_cim.wire.writer import Columns

MANAGER, NAMESPACE, MECHANISM = "CIM_ObjectManager", "CIM_Namespace", "CIM_CIMXMLCommunicationMechanism"
NAME = "Frontinus:CIM"
LEAST_TIMEOUT, MOST_TIMEOUT = 1, 600
"""Seconds between two pulls, as clients may choose them."""


def _the_host(world: World) -> Iterable[World]:
    return [world] if world.hostname else []


def _system() -> Columns[World]:
    return {"SystemCreationClassName": HOST, "SystemName": lambda w: w.hostname}


MANAGERS: Kind[World] = Kind(MANAGER, {
    **_system(), "CreationClassName": MANAGER, "Name": NAME, "ElementName": "Frontinus",
    "Description": f"Frontinus {__version__}, a provider for guests under KVM", "EnabledState": 2, "RequestedState": 12,
    "EnabledDefault": 2, "Started": True, "StartMode": "Automatic", "OperationalStatus": [2], "HealthState": 5,
    "GatherStatisticalData": False,
}, _the_host, lambda world, path: world, (INTEROP,))  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A namespace."""

    world: World
    name: str


def _places(world: World) -> Iterable[Place]:
    return [Place(world, name) for name in NAMESPACES]


def _place(world: World, path: Path) -> Place | None:
    return next((place for place in _places(world) if place.name == path.key("Name")), None)


PLACES: Kind[Place] = Kind(NAMESPACE, {
    "SystemCreationClassName": HOST, "SystemName": lambda p: p.world.hostname, "ObjectManagerCreationClassName": MANAGER,
    "ObjectManagerName": NAME, "CreationClassName": NAMESPACE, "Name": lambda p: p.name, "ElementName": lambda p: p.name,
    "ClassInfo": 1,
}, _places, _place, (INTEROP,))  # fmt: skip

MECHANISMS: Kind[World] = Kind(MECHANISM, {
    **_system(), "CreationClassName": MECHANISM, "Name": "CIM-XML", "ElementName": "CIM-XML over HTTPS",
    "EnabledState": 2, "RequestedState": 12, "CommunicationMechanism": 2,
    "FunctionalProfilesSupported": [2, 3, 5, 6, 7, 8, 9, 10, 11, 12], "MultipleOperationsSupported": False,
    "AuthenticationMechanismsSupported": [3], "Version": "1.0", "OperationalStatus": [2],
    "PulledEnumerationMinimumOperationTimeout": LEAST_TIMEOUT, "PulledEnumerationMaximumOperationTimeout": MOST_TIMEOUT,
    "PulledEnumerationContinuationOnErrorSupported": False, "PulledEnumerationNoOperationTimeoutSupported": False,
    "PulledEnumerationClosureOnExceedingServerLimitsSupported": False,
}, _the_host, lambda world, path: world, (INTEROP,))  # fmt: skip

KINDS: Sequence[Kind[Any]] = (MANAGERS, PLACES, MECHANISMS)


def _host(world: World, node: Node) -> Iterable[Node]:
    return [Node(systems.HOSTS, world)]


def _manager(world: World, node: Node) -> Iterable[Node]:
    return [Node(MANAGERS, world)]


LINKS = (
    Link("CIM_NamespaceInManager", ("Antecedent", [MANAGER]), ("Dependent", [NAMESPACE]),
         lambda world, node: (Node(PLACES, place) for place in _places(world)), _manager, namespaces=(INTEROP,)),
    Link("CIM_CommMechanismForManager", ("Antecedent", [MANAGER]), ("Dependent", [MECHANISM]),
         lambda world, node: [Node(MECHANISMS, world)], _manager, namespaces=(INTEROP,)),
    Link("KVM_HostedService", ("Antecedent", [HOST]), ("Dependent", [MANAGER]), _manager, _host, namespaces=(INTEROP,)),
    Link("KVM_HostedAccessPoint", ("Antecedent", [HOST]), ("Dependent", [MECHANISM]),
         lambda world, node: [Node(MECHANISMS, world)], _host, namespaces=(INTEROP,)),
)  # fmt: skip
