"""Guests' displays as access points (DSP1076)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from frontinus_cim.host.guest import Part
from frontinus_cim.host.world import World
from frontinus_cim.instances import services, systems
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.instances.settings import guest_of_id
from frontinus_cim.methods.calls import MethodCall, Result, method
from frontinus_cim.wire.model import GUEST, HOST, Path

SAP = "KVM_KVMRedirectionSAP"
VNC, OTHER = 4, 1


def _address(part: Part) -> str:
    return part.device["listen/@address"] or part.device["@listen"] or "127.0.0.1"


def _port(part: Part) -> int | None:
    port = part.device["@port"]
    return int(port) if port.isdecimal() else None


SAPS: Kind[Part] = Kind(SAP, {
    "SystemCreationClassName": HOST, "SystemName": lambda p: p.guest.mirror.hostname, "CreationClassName": SAP,
    "Name": lambda p: p.id, "ElementName": lambda p: f"{p.device['@type']} of {p.guest.name}", "Caption": "Display of a guest",
    "KVMProtocol": lambda p: VNC if p.device["@type"] == "vnc" else OTHER,
    "OtherKVMProtocol": lambda p: None if p.device["@type"] == "vnc" else p.device["@type"],
    "EnabledState": lambda p: 2 if p.guest.view.active else 6, "RequestedState": 12, "EnabledDefault": 2,
    "OperationalStatus": lambda p: [2] if p.guest.view.active else [10], "HealthState": 5, "Address": _address, "Port": _port,
}, lambda world: (part for guest in world.guests.values() for part in guest.of("graphics")),
    lambda world, path: _find(world, path))  # fmt: skip


def _find(world: World, path: Path) -> Part | None:
    guest, name = guest_of_id(world, path.key("Name"))
    part = guest.parts.get(name) if guest else None
    return part if part is not None and part.family == "graphics" else None


KINDS: Sequence[Kind[Any]] = (SAPS,)


def _saps(world: World, node: Node) -> Iterable[Node]:
    return (Node(SAPS, part) for part in SAPS.every(world))


def _consoles(world: World, node: Node) -> Iterable[Node]:
    return [Node(services.KINDS[services.CONSOLES], world)]


def _host(world: World, node: Node) -> Iterable[Node]:
    return [Node(systems.HOSTS, world)]


LINKS = (
    Link("KVM_HostedAccessPoint", ("Antecedent", [HOST]), ("Dependent", [SAP]), _saps, _host),
    Link("KVM_ServiceAccessBySAP", ("Antecedent", [services.CONSOLES]), ("Dependent", [SAP]), _saps, _consoles),
    Link("KVM_SAPAvailableForElement", ("AvailableSAP", [SAP]), ("ManagedElement", [GUEST]),
         lambda world, node: [Node(systems.GUESTS, node.subject.guest)],
         lambda world, node: (Node(SAPS, part) for part in node.subject.of("graphics"))),
    Link("KVM_ServiceAffectsElement", ("AffectedElement", [GUEST]), ("AffectingElement", [services.CONSOLES]), _consoles,
         lambda world, node: (Node(systems.GUESTS, guest) for guest in world.guests.values()),
         lambda world, first, second: {"ElementEffects": [5]}),
)  # fmt: skip


@method(SAP, "RequestStateChange")
@method(services.CONSOLES, "RequestStateChange")
async def fixed(call: MethodCall) -> Result:
    """A display is there as long as its guest runs."""
    return Result(1)
