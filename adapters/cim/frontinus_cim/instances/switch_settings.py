"""Switches and their ports as settings (DSP1097): CIM_VirtualEthernetSwitchSettingData, CIM_EthernetPortAllocationSettingData."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus.client.details import Facts
from frontinus_cim.host.guest import DEFINED
from frontinus_cim.host.world import World
from frontinus_cim.instances import ethernet, switches
from frontinus_cim.instances.fields import Field
from frontinus_cim.instances.kinds import Kind
from frontinus_cim.instances.pools import KINDS as POOLS
from frontinus_cim.instances.pools import Pool
from frontinus_cim.instances.settings import PORT as PORT_COLUMNS
from frontinus_cim.instances.switches import Port, find_switch, interface, switch_of
from frontinus_cim.wire.model import Path, Value

VSSD, PORT_SETTINGS = "KVM_VirtualEthernetSwitchSettingData", "KVM_EthernetSwitchPortSettingData"
PREFIX = "Switch:"
SWITCH_PORT = 30
"""ResourceType."""
VIRTUAL_SYSTEM_TYPE = "Ethernet Switch"
FIELDS: Mapping[str, Field] = {
    "BridgeName": Field("bridge/@name"), "SpanningTree": Field("bridge/@stp", yes="on"), "MTU": Field("mtu/@size", number=True),
    "ForwardDevice": Field("forward/@dev"), "Address": Field("ip/@address"), "Netmask": Field("ip/@netmask"),
    "IPRangeStart": Field("ip/dhcp/range/@start"), "IPRangeEnd": Field("ip/dhcp/range/@end"), "DomainName": Field("domain/@name"),
}  # fmt: skip
"""What stands where in a network's definition."""
VEB, VEPA, DIRECT, OTHER = 2, 3, 4, 1
MODES: Mapping[str, int] = {"vepa": VEPA, "passthrough": DIRECT, "hostdev": DIRECT, "private": OTHER}
"""EVBMode by the forward mode; all others are bridges that pass frames between their ports."""


@dataclass(frozen=True)
class Configuration:
    """A switch as it is, or as its next start will have it."""

    switch: Pool
    defined: bool = False

    @property
    def facts(self) -> Facts:
        network = self.switch.network
        if network is None:
            return {}
        return network.next if self.defined and network.next is not None else network.facts

    @property
    def id(self) -> str:
        return f"{PREFIX}{self.switch.name}{DEFINED if self.defined else ''}"


def configurations(switch: Pool) -> list[Configuration]:
    """Two while a switch is up and stays: what it is, and what its next start will have."""
    both = switch.network is not None and switch.network.next is not None
    return [Configuration(switch), Configuration(switch, defined=True)] if both else [Configuration(switch)]


def following(switch: Pool) -> Configuration:
    """What the next start will have."""
    return configurations(switch)[-1]


def forward(facts: Facts) -> str:
    """The forward mode of a definition."""
    there = any(path.startswith("forward") for path in facts)
    return facts.get("forward/@mode") or ("nat" if there else "isolated")


def netmask(facts: Facts) -> str | None:
    """The mask of a network's first address, also where the definition has a prefix."""
    prefix = facts.get("ip/@prefix", "")
    if "ip/@netmask" in facts or not prefix.isdecimal() or int(prefix) > 32 or ":" in facts.get("ip/@address", ""):
        return facts.get("ip/@netmask")
    return str(ipaddress.ip_network(f"0.0.0.0/{prefix}").netmask)


def evb_mode(facts: Facts) -> int:
    return MODES.get(forward(facts), VEB)


def find_configuration(world: World, given: Value) -> Configuration | None:
    """What the InstanceID of a switch's settings names."""
    text = str(given)
    if not text.startswith(PREFIX):
        return None
    name, marked, rest = text.removeprefix(PREFIX).partition(DEFINED)
    switch = find_switch(world, name)
    wanted = Configuration(switch, bool(marked)) if switch is not None and not rest else None
    return wanted if wanted is not None and wanted in configurations(wanted.switch) else None


def _pool_path(switch: Pool) -> str:
    return f'/root/virt:{POOLS["net"].cls}.InstanceID="{switch.id}"'


def _autostart(one: Configuration) -> bool:
    return one.switch.network is None or one.switch.network.view.autostart


SETTINGS: Kind[Configuration] = Kind(VSSD, {
    "InstanceID": lambda c: c.id, "ElementName": lambda c: c.switch.name, "Caption": "Virtual switch settings",
    "VirtualSystemIdentifier": lambda c: c.switch.name, "VirtualSystemType": VIRTUAL_SYSTEM_TYPE,
    "ConfigurationName": lambda c: c.switch.name, "ChangeableType": lambda c: 2 if c.switch.network else 0,
    "ConfigurationID": lambda c: c.switch.network.view.uuid if c.switch.network else None,
    "UUID": lambda c: c.switch.network.view.uuid if c.switch.network else None,
    "AutomaticStartupAction": lambda c: 4 if _autostart(c) else 2, "AutomaticShutdownAction": 2, "AutomaticRecoveryAction": 2,
    "AssociatedResourcePool": lambda c: [_pool_path(c.switch)],
    "VLANConnection": lambda c: [str(one) for one in ethernet.tags(c.facts)] or None,
    "EVBMode": lambda c: evb_mode(c.facts), "OtherEVBMode": lambda c: forward(c.facts) if evb_mode(c.facts) == OTHER else None,
    **{name: lambda c, at=at: at.read(c.facts) for name, at in FIELDS.items()},  # type: ignore[misc]
    "Netmask": lambda c: netmask(c.facts),
    "BridgeName": lambda c: FIELDS["BridgeName"].read(c.facts) or (switches.own_device(c.switch) or None),
    "ForwardMode": lambda c: forward(c.facts) if c.switch.network else "bridge",
}, lambda world: (one for switch in switches.switches(world) for one in configurations(switch)),
    lambda world, path: find_configuration(world, path.key("InstanceID")))  # fmt: skip


# --- ports


def ports(switch: Pool) -> Iterable[Port]:
    """The ports that guests' definitions ask for, whether they run or not."""
    return (Port(switch, part) for part in switch.parts())


def port_of_id(world: World, given: Value) -> Port | None:
    """What the InstanceID of a port's settings names."""
    name, _, rest = str(given).removeprefix(PREFIX).partition("/")
    part = interface(world, rest) if str(given).startswith(PREFIX) else None
    switch = switch_of(world, part) if part is not None else None
    return Port(switch, part) if switch is not None and switch.name == name else None


def _find_port(world: World, path: Path) -> Port | None:
    return port_of_id(world, path.key("InstanceID"))


PORTS: Kind[Port] = Kind(PORT_SETTINGS, {
    "InstanceID": lambda p: f"{PREFIX}{p.id}", "ElementName": lambda p: p.id, "Caption": "Port of a virtual switch",
    "ResourceType": SWITCH_PORT, "PoolID": lambda p: p.switch.id, "ChangeableType": 2,
    "ConfigurationName": lambda p: p.switch.name, "ConsumerVisibility": 3, "AutomaticAllocation": True,
    "AutomaticDeallocation": True, "MappingBehavior": 2, "VirtualQuantity": 1, "VirtualQuantityUnits": "count",
    "AllocationUnits": ethernet.UNIT, "Connection": lambda p: [p.nic.id], "Address": lambda p: p.nic.device["mac/@address"],
    **{name: lambda p, read=read: read(p.nic) for name, read in PORT_COLUMNS.items()},  # type: ignore[misc]
}, lambda world: (port for switch in switches.switches(world) for port in ports(switch)), _find_port)  # fmt: skip
KINDS: Sequence[Kind[Any]] = (SETTINGS, PORTS)
