"""Virtual networks, and bridges of the host that guests are on, as Ethernet switches (DSP1097): systems, ports, endpoints.

A switch is a pool of network interfaces that is not primordial. A port is there while the guest that is plugged in runs; one more
is the switch's own device of the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus_cim.host.guest import Part
from frontinus_cim.host.world import World
from frontinus_cim.instances import pools
from frontinus_cim.instances.devices import mac_of
from frontinus_cim.instances.kinds import Kind, Node
from frontinus_cim.instances.pools import Pool
from frontinus_cim.instances.settings import guest_of_id
from frontinus_cim.wire.model import GUEST, HOST, Value
from frontinus_cim.wire.writer import Columns

SWITCH, PORT = "KVM_VirtualEthernetSwitch", "KVM_EthernetSwitchPort"
GUEST_END, SWITCH_END = "KVM_LANEndpoint", "KVM_SwitchLANEndpoint"
FORWARDING, CAPABILITIES = "KVM_SwitchService", "KVM_VirtualEthernetSwitchCapabilities"
ETHERNET_SWITCH = 38
"""Dedicated of CIM_ComputerSystem."""
ETHERNET_CSMA_CD, ETHERNET = 6, 2
"""ProtocolIFType of CIM_ProtocolEndpoint, LinkTechnology of CIM_NetworkPort."""
ENABLED, DISABLED = 2, 3


@dataclass(frozen=True)
class Port:
    """A port of a switch: of a guest's interface, or the switch's own."""

    switch: Pool
    part: Part | None = None

    @property
    def id(self) -> str:
        return f"{self.switch.name}/{self.part.id if self.part else own_device(self.switch)}"

    @property
    def nic(self) -> Part:
        """The interface, of a port that is not the switch's own."""
        assert self.part is not None
        return self.part


# --- what there is


def switches(world: World) -> Iterable[Pool]:
    """Networks and bridges: everything that guests' interfaces are ports of."""
    return (pool for pool in pools.pools(world, "net") if not pool.primordial)


def find_switch(world: World, name: Value) -> Pool | None:
    found = pools.find(world, f"NetworkPool/{name}")
    return None if found is None or found.primordial else found


def switch_of(world: World, part: Part) -> Pool | None:
    """The switch that a guest's interface is on."""
    found = pools.pool_of(world, part)
    return None if found.primordial else found


def active(switch: Pool) -> bool:
    return switch.network is None or switch.network.view.active


def own_device(switch: Pool) -> str:
    """The host's device that the switch is, or is reached by; '' where it has none."""
    if switch.network is None:
        return switch.name
    facts = switch.network.facts
    paths = ("forward/@dev", "forward/interface/@dev", "forward/pf/@dev")
    return switch.network.view.bridge or next((facts[path] for path in paths if path in facts), "")


def plugged(switch: Pool) -> Iterable[Port]:
    """The ports of guests' interfaces."""
    return (Port(switch, part) for part in switch.parts() if part.guest.view.active)


def ports(switch: Pool) -> Iterable[Port]:
    if active(switch):
        yield from plugged(switch)
    if own_device(switch):
        yield Port(switch)


def port_of(world: World, part: Part) -> Port | None:
    """The port that a guest's interface is plugged into."""
    switch = switch_of(world, part) if part.guest.view.active else None
    return Port(switch, part) if switch is not None and active(switch) else None


def every_port(world: World) -> Iterable[Port]:
    return (port for switch in switches(world) for port in ports(switch))


def find_port(world: World, given: Value) -> Port | None:
    """The port of an id, found without looking at other guests."""
    name, _, rest = str(given).partition("/")
    if "/" in rest:
        part = interface(world, rest)
        return port_of(world, part) if part else None
    switch = find_switch(world, name)
    return Port(switch) if switch is not None and own_device(switch) else None


def interface(world: World, given: Value) -> Part | None:
    """The interface of a guest that an id names."""
    guest, name = guest_of_id(world, given)
    part = guest.parts.get(name) if guest else None
    return part if part is not None and part.family == "net" else None


# --- how it is shown


def _device(port: Port) -> str:
    """The host's device of a port."""
    return port.part.device["target/@dev"] if port.part else own_device(port.switch)


def _mac(port: Port) -> str | None:
    if port.part is not None:
        return mac_of(port.part)
    found = port.switch.network.facts.get("mac/@address") if port.switch.network else None
    return found.replace(":", "").upper() if found else None


def linked(part: Part) -> int:
    """EnabledState of a guest's end."""
    return ENABLED if part.guest.view.active and part.device["link/@state"] != "down" else DISABLED


def _enabled(port: Port) -> int:
    return linked(port.part) if port.part else ENABLED if active(port.switch) else DISABLED


def _plugged_in(port: Port) -> str:
    return f"Port of {port.part.guest.name} on {port.switch.name}" if port.part else f"The device of {port.switch.name}"


def _mtu(port: Port) -> int | None:
    network = port.switch.network
    sizes = (port.part.device["mtu/@size"] if port.part else "", network.facts.get("mtu/@size", "") if network else "")
    return next((int(size) for size in sizes if size.isdecimal()), None)


def _lan(part: Part) -> str | None:
    """The switch that a guest's end is on, while it is connected."""
    name = pools.pool_id(part.guest.mirror, part).partition("/")[2]
    return name if name != pools.PRIMORDIAL and linked(part) == ENABLED else None


STATE = {True: (ENABLED, 2, 16, "The switch is up"), False: (DISABLED, 10, 13, "The switch is down")}
"""Whether a switch is active: EnabledState, OperationalStatus, OperatingStatus, StatusDescriptions."""


def requests(switch: Pool) -> list[int]:
    """The states that a switch can be asked for: networks are ours to start and stop."""
    return [ENABLED, DISABLED] if switch.network is not None else []


SWITCHES: Kind[Pool] = Kind(SWITCH, {
    "CreationClassName": SWITCH, "Name": lambda p: p.name, "ElementName": lambda p: p.name, "Caption": "Virtual Ethernet switch",
    "Description": lambda p: "A virtual network" if p.network else "A bridge of the host", "NameFormat": "Other",
    "UUID": lambda p: p.network.view.uuid if p.network else None,
    "OtherIdentifyingInfo": lambda p: [p.network.view.uuid] if p.network else None,
    "IdentifyingDescriptions": lambda p: ["UUID"] if p.network else None,
    "Dedicated": [ETHERNET_SWITCH], "ResetCapability": 5, "EnabledState": lambda p: STATE[active(p)][0],
    "RequestedState": lambda p: p.network.requested if p.network else 12,
    "EnabledDefault": lambda p: ENABLED if p.network is None or p.network.view.autostart else DISABLED,
    "AvailableRequestedStates": lambda p: [one for one in requests(p) if one != STATE[active(p)][0]],
    "OperationalStatus": lambda p: [STATE[active(p)][1]], "OperatingStatus": lambda p: STATE[active(p)][2],
    "StatusDescriptions": lambda p: [STATE[active(p)][3]], "HealthState": 5, "PrimaryStatus": 1,
    "Roles": ["Virtual Ethernet switch"],
}, switches, lambda world, path: find_switch(world, path.key("Name")))  # fmt: skip

ABLE: Kind[Pool] = Kind(CAPABILITIES, {
    "InstanceID": lambda p: f"Switch:{p.name}", "ElementName": lambda p: p.name, "Caption": "Capabilities of a switch",
    "RequestedStatesSupported": requests, "ElementNameEditSupported": False,
}, switches, lambda world, path: find_switch(world, str(path.key("InstanceID")).removeprefix("Switch:")))  # fmt: skip

PORTS: Kind[Port] = Kind(PORT, {
    "SystemCreationClassName": SWITCH, "SystemName": lambda p: p.switch.name, "CreationClassName": PORT,
    "DeviceID": lambda p: p.id, "Name": _device, "ElementName": _plugged_in, "Caption": "Port of a virtual switch",
    "EnabledState": _enabled, "RequestedState": 12, "EnabledDefault": 2, "HealthState": 5,
    "OperationalStatus": lambda p: [2] if _enabled(p) == ENABLED else [10], "LinkTechnology": ETHERNET,
    "PermanentAddress": _mac, "NetworkAddresses": lambda p: [mac] if (mac := _mac(p)) else None,
    "ActiveMaximumTransmissionUnit": _mtu, "FullDuplex": True,
}, every_port, lambda world, path: find_port(world, path.key("DeviceID")))  # fmt: skip


def _end(system: str, cls: str) -> Columns[Any]:
    return {"SystemCreationClassName": system, "CreationClassName": cls, "NameFormat": "Other", "RequestedState": 12,
            "EnabledDefault": 2, "HealthState": 5, "ProtocolIFType": ETHERNET_CSMA_CD}  # fmt: skip


GUEST_ENDS: Kind[Part] = Kind(GUEST_END, {
    **_end(GUEST, GUEST_END), "SystemName": lambda p: p.guest.name, "Name": lambda p: p.id, "ElementName": lambda p: p.id,
    "Caption": "A guest's end of a connection", "MACAddress": mac_of, "EnabledState": linked,
    "OperationalStatus": lambda p: [2] if linked(p) == ENABLED else [10],
    "LANID": _lan,
}, lambda world: (part for guest in world.guests.values() for part in guest.of("net")),
    lambda world, path: interface(world, path.key("Name")))  # fmt: skip

SWITCH_ENDS: Kind[Port] = Kind(SWITCH_END, {
    **_end(SWITCH, SWITCH_END), "SystemName": lambda p: p.switch.name, "Name": lambda p: p.id, "ElementName": _plugged_in,
    "Caption": "A switch's end of a connection", "MACAddress": _mac, "EnabledState": _enabled,
    "OperationalStatus": lambda p: [2] if _enabled(p) == ENABLED else [10], "LANID": lambda p: p.switch.name,
}, every_port, lambda world, path: find_port(world, path.key("Name")))  # fmt: skip


# --- as libvirt-cim has them: services of the host, named by their bridges


def _bridge(switch: Pool) -> str:
    return (switch.network.view.bridge if switch.network else None) or switch.name


def _ports_in_use(switch: Pool) -> int:
    return switch.network.view.ports if switch.network else sum(1 for _ in plugged(switch))


FORWARDINGS: Kind[Pool] = Kind(FORWARDING, {
    "SystemCreationClassName": HOST, "SystemName": lambda p: p.world.hostname, "CreationClassName": FORWARDING, "Name": _bridge,
    "ElementName": lambda p: p.name, "Caption": "Virtual switch", "Started": True, "StartMode": "Automatic",
    "EnabledState": lambda p: STATE[active(p)][0], "RequestedState": 12, "NumPorts": _ports_in_use,
    "IsVSISupported": False, "OperationalStatus": [2], "HealthState": 5,
}, switches, lambda world, path: next((p for p in switches(world) if _bridge(p) == path.key("Name")), None))  # fmt: skip
KINDS: Sequence[Kind[Any]] = (SWITCHES, ABLE, PORTS, GUEST_ENDS, SWITCH_ENDS, FORWARDINGS)


def switch_node(switch: Pool) -> Node:
    return Node(SWITCHES, switch)
