"""How switches, their ports and settings, and the guests that are plugged in belong together (DSP1097)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from frontinus_cim.host.guest import Part
from frontinus_cim.host.world import World
from frontinus_cim.instances import devices, pools, services, switch_settings, switches, systems
from frontinus_cim.instances.kinds import Link, Node
from frontinus_cim.instances.links_guests import NO, YES, Follow, guest_node
from frontinus_cim.instances.pools import Pool
from frontinus_cim.instances.switch_settings import PORT_SETTINGS, VSSD, Configuration
from frontinus_cim.instances.switches import FORWARDING, GUEST_END, PORT, SWITCH, SWITCH_END, Port, switch_node
from frontinus_cim.wire.model import GUEST, HOST, Value

NIC, POOL = "KVM_NetworkPort", pools.KINDS["net"].cls
MANAGES = {"ElementEffects": [5]}


def host(world: World, node: Node) -> Iterable[Node]:
    return [Node(systems.HOSTS, world)]


def manager(world: World, node: Node) -> Iterable[Node]:
    return [Node(services.KINDS[services.SWITCHES], world)]


def all_switches(world: World, node: Node) -> Iterable[Node]:
    return map(switch_node, switches.switches(world))


def to_switch(world: World, node: Node) -> Iterable[Node]:
    """The switch of a port or of settings."""
    return [switch_node(node.subject.switch)]


def ports(world: World, node: Node) -> Iterable[Node]:
    return (Node(switches.PORTS, port) for port in switches.ports(node.subject))


def ends(world: World, node: Node) -> Iterable[Node]:
    return (Node(switches.SWITCH_ENDS, port) for port in switches.ports(node.subject))


def guest_ends(world: World, node: Node) -> Iterable[Node]:
    return (Node(switches.GUEST_ENDS, part) for part in node.subject.of("net"))


def connected(world: World, node: Node) -> Iterable[Node]:
    """The guest's end that a switch's end is connected to."""
    port: Port = node.subject
    return [Node(switches.GUEST_ENDS, port.part)] if port.part else []


def connection(world: World, node: Node) -> Iterable[Node]:
    found = switches.port_of(world, node.subject)
    return [Node(switches.SWITCH_ENDS, found)] if found else []


def settings_of(world: World, node: Node) -> Iterable[Node]:
    return [Node(switch_settings.SETTINGS, Configuration(node.subject))]


def state_of(world: World, node: Node) -> Iterable[Node]:
    one: Configuration = node.subject
    return [] if one.defined else [switch_node(one.switch)]


def all_settings(world: World, node: Node) -> Iterable[Node]:
    return (Node(switch_settings.SETTINGS, one) for one in switch_settings.configurations(node.subject))


def following(world: World, node: Node) -> Iterable[Node]:
    """The settings of the next start, of those of the state."""
    one: Configuration = node.subject
    return [] if one.defined else [Node(switch_settings.SETTINGS, switch_settings.following(one.switch))]


def present(world: World, node: Node) -> Iterable[Node]:
    one: Configuration = node.subject
    return (
        [Node(switch_settings.SETTINGS, Configuration(one.switch))]
        if one == switch_settings.following(one.switch)
        else []
    )


def when(world: World, first: Node, second: Node) -> Mapping[str, Value]:
    """When settings count: now, at the next start, or both."""
    one: Configuration = second.subject
    network = one.switch.network
    lasting = network is None or network.view.persistent
    next_ = YES if one == switch_settings.following(one.switch) and lasting else NO
    return {"IsCurrent": NO if one.defined else YES, "IsNext": next_, "IsDefault": next_}


def port_settings(world: World, node: Node) -> Iterable[Node]:
    """The settings of a port; the switch's own device has none."""
    port: Port = node.subject
    return [Node(switch_settings.PORTS, port)] if port.part else []


def port_of_settings(world: World, node: Node) -> Iterable[Node]:
    """The port that settings define, which is there while the guest and the switch are up."""
    found = switches.port_of(world, node.subject.nic)
    return [Node(switches.PORTS, found)] if found else []


def components(world: World, node: Node) -> Iterable[Node]:
    one: Configuration = node.subject
    return () if one.defined else (Node(switch_settings.PORTS, port) for port in switch_settings.ports(one.switch))


def whole_of_port(world: World, node: Node) -> Iterable[Node]:
    return [Node(switch_settings.SETTINGS, Configuration(node.subject.switch))]


def from_pool(kind_of: Callable[[Pool], Iterable[Node]]) -> Follow:
    return lambda world, node: () if node.subject.primordial else kind_of(node.subject)


def pool(world: World, node: Node) -> Iterable[Node]:
    port: Port = node.subject
    return [Node(pools.KINDS["net"], port.switch)] if port.part else []


def nic(world: World, node: Node) -> Iterable[Node]:
    return [Node(devices.KINDS[NIC], node.subject)]


def end_of_nic(world: World, node: Node) -> Iterable[Node]:
    part: Part = node.subject
    return [Node(switches.GUEST_ENDS, part)]


LINKS = (
    Link("KVM_HostedDependency", ("Antecedent", [HOST]), ("Dependent", [SWITCH]), all_switches, host),
    Link("KVM_SystemDevice", ("GroupComponent", [SWITCH]), ("PartComponent", [PORT]), ports, to_switch),
    Link("KVM_HostedAccessPoint", ("Antecedent", [SWITCH]), ("Dependent", [SWITCH_END]), ends, to_switch),
    Link("KVM_HostedAccessPoint", ("Antecedent", [GUEST]), ("Dependent", [GUEST_END]), guest_ends,
         lambda world, node: [guest_node(node.subject.guest)]),
    Link("KVM_DeviceSAPImplementation", ("Antecedent", [PORT]), ("Dependent", [SWITCH_END]),
         lambda world, node: [Node(switches.SWITCH_ENDS, node.subject)], lambda world, node: [Node(switches.PORTS, node.subject)]),
    Link("KVM_DeviceSAPImplementation", ("Antecedent", [NIC]), ("Dependent", [GUEST_END]), end_of_nic, nic),
    Link("KVM_ActiveConnection", ("Antecedent", [SWITCH_END]), ("Dependent", [GUEST_END]), connected, connection,
         lambda world, first, second: {"IsUnidirectional": False}),
    Link("KVM_ForwardsAmong", ("Antecedent", [SWITCH_END]), ("Dependent", [FORWARDING]),
         lambda world, node: [Node(switches.FORWARDINGS, node.subject.switch)], ends),
    Link("KVM_SettingsDefineState", ("ManagedElement", [SWITCH]), ("SettingData", [VSSD]), settings_of, state_of),
    Link("KVM_SettingsDefineState", ("ManagedElement", [PORT]), ("SettingData", [PORT_SETTINGS]), port_settings, port_of_settings),
    Link("KVM_ElementSettingData", ("ManagedElement", [SWITCH]), ("SettingData", [VSSD]), all_settings, to_switch, when),
    Link("KVM_ElementSettingData", ("ManagedElement", [VSSD]), ("SettingData", [VSSD]), following, present, when),
    Link("KVM_VirtualSystemSettingDataComponent", ("GroupComponent", [VSSD]), ("PartComponent", [PORT_SETTINGS]),
         components, whole_of_port),
    Link("KVM_ElementAllocatedFromPool", ("Antecedent", [POOL]), ("Dependent", [PORT]),
         from_pool(lambda p: (Node(switches.PORTS, port) for port in switches.ports(p) if port.part)), pool),
    Link("KVM_ResourceAllocationFromPool", ("Antecedent", [POOL]), ("Dependent", [PORT_SETTINGS]),
         from_pool(lambda p: (Node(switch_settings.PORTS, port) for port in switch_settings.ports(p))), pool),
    Link("KVM_ElementCapabilities", ("ManagedElement", [SWITCH]), ("Capabilities", [switches.CAPABILITIES]),
         lambda world, node: [Node(switches.ABLE, node.subject)], lambda world, node: [switch_node(node.subject)]),
    Link("KVM_ServiceAffectsElement", ("AffectedElement", [SWITCH]), ("AffectingElement", [services.SWITCHES]), manager,
         all_switches, lambda world, first, second: MANAGES),
    Link("KVM_ServiceAffectsElement", ("AffectedElement", [SWITCH]), ("AffectingElement", [FORWARDING]),
         lambda world, node: [Node(switches.FORWARDINGS, node.subject)], lambda world, node: [switch_node(node.subject)],
         lambda world, first, second: MANAGES),
    Link("KVM_HostedService", ("Antecedent", [HOST]), ("Dependent", [FORWARDING]),
         lambda world, node: (Node(switches.FORWARDINGS, switch) for switch in switches.switches(world)), host),
)  # fmt: skip
