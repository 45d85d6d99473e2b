"""Ports of switches that tell VLANs apart, as CIM_VLANEndpoint with its settings (DSP1097)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from frontinus_cim.host.world import World
from frontinus_cim.instances import ethernet, switches
from frontinus_cim.instances.ethernet import TRUNK
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.instances.links_switches import to_switch
from frontinus_cim.instances.switch_settings import PREFIX
from frontinus_cim.instances.switches import PORT, SWITCH, Port
from frontinus_cim.wire.model import Path, Value

ENDPOINT, SETTINGS = "KVM_VLANEndpoint", "KVM_VLANEndpointSettingData"
LAYER_2_VLAN = 135
"""ProtocolIFType: a VLAN of IEEE 802.1Q."""
NOT_APPLICABLE, IEEE_802_1Q = 2, 3
"""DesiredVLANTrunkEncapsulation."""


def mode(port: Port) -> int | None:
    return ethernet.mode(port.part.device.facts) if port.part else None


def _encapsulation(port: Port) -> int:
    return IEEE_802_1Q if mode(port) == TRUNK else NOT_APPLICABLE


def every(world: World) -> Iterable[Port]:
    return (port for port in switches.every_port(world) if mode(port) is not None)


def find(world: World, given: Value) -> Port | None:
    port = switches.find_port(world, given)
    return port if port is not None and mode(port) is not None else None


def _of_nic(read: Callable[[Any], Value], *modes: int) -> Callable[[Port], Value]:
    """What an interface's facts say, in some modes."""
    return lambda port: read(port.nic.device.facts) if mode(port) in modes else None


ENDPOINTS: Kind[Port] = Kind(ENDPOINT, {
    "SystemCreationClassName": SWITCH, "SystemName": lambda p: p.switch.name, "CreationClassName": ENDPOINT, "Name": lambda p: p.id,
    "ElementName": lambda p: p.id, "Caption": "VLANs of a port", "NameFormat": "Other", "ProtocolIFType": LAYER_2_VLAN,
    "EnabledState": lambda p: switches.linked(p.nic), "RequestedState": 12, "EnabledDefault": 2, "OperationalStatus": [2],
    "HealthState": 5, "DesiredEndpointMode": mode, "OperationalEndpointMode": mode,
    "DesiredVLANTrunkEncapsulation": _encapsulation, "OperationalVLANTrunkEncapsulation": _encapsulation,
}, every, lambda world, path: find(world, path.key("Name")))  # fmt: skip


def _find_settings(world: World, path: Path) -> Port | None:
    return find(world, str(path.key("InstanceID")).removeprefix(PREFIX).removesuffix("/vlan"))


ENDPOINT_SETTINGS: Kind[Port] = Kind(SETTINGS, {
    "InstanceID": lambda p: f"{PREFIX}{p.id}/vlan", "ElementName": lambda p: p.id, "Caption": "VLANs of a port",
    "AccessVLAN": _of_nic(ethernet.port_vid, ethernet.ACCESS), "NativeVLAN": _of_nic(ethernet.port_vid, TRUNK),
    "TrunkedVLANList": _of_nic(ethernet.allowed, TRUNK),
}, every, _find_settings)  # fmt: skip
KINDS: Sequence[Kind[Any]] = (ENDPOINTS, ENDPOINT_SETTINGS)


def _endpoint(world: World, node: Node) -> Iterable[Node]:
    port: Port = node.subject
    return [Node(ENDPOINTS, port)] if mode(port) is not None else []


def _endpoints(world: World, node: Node) -> Iterable[Node]:
    return (Node(ENDPOINTS, port) for port in switches.ports(node.subject) if mode(port) is not None)


LINKS = (
    Link("KVM_HostedAccessPoint", ("Antecedent", [SWITCH]), ("Dependent", [ENDPOINT]), _endpoints, to_switch),
    Link("KVM_DeviceSAPImplementation", ("Antecedent", [PORT]), ("Dependent", [ENDPOINT]), _endpoint,
         lambda world, node: [Node(switches.PORTS, node.subject)]),
    Link("KVM_ElementSettingData", ("ManagedElement", [ENDPOINT]), ("SettingData", [SETTINGS]),
         lambda world, node: [Node(ENDPOINT_SETTINGS, node.subject)], lambda world, node: [Node(ENDPOINTS, node.subject)],
         lambda world, first, second: {"IsCurrent": 1}),
)  # fmt: skip
