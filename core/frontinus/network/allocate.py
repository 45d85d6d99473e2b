"""Giving a NIC its port: which bridge or device of the host it gets, and the settings that it takes from its network."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence

from frontinus.api.errors import HostFailed, Unsupported, WrongState
from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.interface import Interface, InterfaceSource
from frontinus.domain.devices.netparts import VirtualPort
from frontinus.network.model import Network, PoolAddress, Portgroup
from frontinus.network.plan import FIRST_CLASS
from frontinus.network.port import SETTINGS, NetworkPort

Pool = Sequence[tuple[str | None, str]]
"""Virtual functions of a <pf>: network device, if there is one, and PCI address."""


def requested(card: Interface, owner_uuid: str, owner_name: str) -> NetworkPort:
    """The port that an interface asks for."""
    source = card.source or InterfaceSource()
    return NetworkPort(
        owner_uuid=owner_uuid, owner_name=owner_name, group=source.portgroup, mac=card.mac or "", plug="none",
        **{name: getattr(card, name) for name in SETTINGS},
    )  # fmt: skip


def allocated(network: Network, ports: Mapping[str, NetworkPort], wanted: NetworkPort, pool: Pool = ()) -> NetworkPort:
    """A port with everything decided. Raises WrongState, HostFailed when nothing is free, Unsupported."""
    port = wanted.clone()
    port.uuid = port.uuid or str(uuid.uuid4())
    if port.uuid in ports:
        raise WrongState(f"network '{network.name}' has a port {port.uuid} already")
    _inherit(network, port)
    if network.has_own_bridge:
        port.plug, port.bridge, port.mac_table = "network", network.bridge, network.mac_table
    elif network.mode == "hostdev":
        port.plug, port.managed, port.driver = "hostdev-pci", network.beyond.managed, network.beyond.driver
        port.address = _free_address(network, ports.values(), pool)
    elif network.is_macvtap:
        port.plug, port.mode = "direct", network.mode
        port.device = _free_device(network, ports.values(), pool)
    else:
        port.plug, port.bridge = "bridge", network.bridge
    _check(network, ports, port)
    return port


def inherited(network: Network, wanted: NetworkPort) -> NetworkPort:
    """A port with the settings that it takes from its group and its network. Raises WrongState."""
    port = wanted.clone()
    _inherit(network, port)
    return port


def _inherit(network: Network, port: NetworkPort) -> None:
    """What the interface leaves open is the group's, then the network's."""
    group = network.portgroup(port.group)
    if port.group and group is None:
        raise WrongState(f"network '{network.name}' has no portgroup '{port.group}'")
    group = group or Portgroup(name="")
    port.group = group.name or None
    if port.inbound is None and port.outbound is None:
        port.inbound, port.outbound = group.inbound, group.outbound
    port.vlan = port.vlan or group.vlan or network.vlan
    port.isolated = port.isolated if port.isolated is not None else network.isolated_ports
    for given in (group.trust_filters, network.trust_filters):
        port.trust_filters = port.trust_filters if port.trust_filters is not None else given
    port.virtual_port = _merged(port.virtual_port, group.virtual_port, network.virtual_port)


def _merged(*given: VirtualPort | None) -> VirtualPort | None:
    """One virtual port, each field from the first that says it."""
    known = [one for one in given if one is not None]
    if not known:
        return None
    merged = VirtualPort()
    for name in VirtualPort._specs:
        setattr(merged, name, next((v for v in (getattr(one, name) for one in known) if v is not None), None))
    return merged


def _free_device(network: Network, ports: Iterable[NetworkPort], pool: Pool) -> str:
    """The device with the fewest guests; for passthrough one that has none."""
    devices = [interface.device for interface in network.beyond.interfaces] or [name for name, _ in pool if name]
    taken = [port.device for port in ports]
    used = sorted(devices, key=taken.count)
    if not used or (network.mode == "passthrough" and used[0] in taken):
        raise HostFailed(f"network '{network.name}' has no free device", what=network.name)
    return used[0]


def _free_address(network: Network, ports: Iterable[NetworkPort], pool: Pool) -> PciAddress:
    listed = [pci_name(address) for address in network.beyond.addresses] or [address for _, address in pool]
    taken = {pci_name(port.address) for port in ports if port.address}
    free = next((address for address in listed if address not in taken), None)
    if free is None:
        raise HostFailed(f"network '{network.name}' has no free PCI device", what=network.name)
    match = re.fullmatch(r"([0-9a-f]+):([0-9a-f]+):([0-9a-f]+)\.([0-7])", free)
    assert match is not None
    domain, bus, slot, function = (int(part, 16) for part in match.groups())
    return PciAddress(domain=domain, bus=bus, slot=slot, function=function)


def pci_name(address: PciAddress | PoolAddress) -> str:
    """As sysfs names it."""
    return f"{address.domain or 0:04x}:{address.bus or 0:02x}:{address.slot or 0:02x}.{address.function or 0:x}"


def _check(network: Network, ports: Mapping[str, NetworkPort], port: NetworkPort) -> None:
    """Raises Unsupported for what this kind of port cannot have."""
    kind = port.virtual_port.type if port.virtual_port else None
    if port.vlan and not (
        port.plug == "hostdev-pci" or port.mode == "passthrough" or kind in ("openvswitch", "802.1Qbh")
    ):
        raise Unsupported(f"<vlan>: network '{network.name}' carries no VLAN tags")
    if port.plug in ("hostdev-pci", "direct") and port.isolated:
        port.isolated = None
    floor = port.inbound.floor if port.inbound else None
    if not floor:
        port.class_id = None
        return
    limit = network.inbound.average if network.inbound and port.plug == "network" else None
    if limit is None:
        raise Unsupported(f"<bandwidth>: a floor needs a network with an inbound average, '{network.name}' has none")
    total = floor + sum(p.inbound.floor or 0 for p in ports.values() if p.inbound)
    if total > limit:
        raise WrongState(f"network '{network.name}' can promise {limit} KiB/s, and {total} would be promised")
    taken = {p.class_id for p in ports.values()}
    port.class_id = next(n for n in range(FIRST_CLASS, 0x10000) if n not in taken)


def plugged(card: Interface, port: NetworkPort) -> None:
    """Let an interface of the running guest show and use its port."""
    source = card.source or InterfaceSource()
    source.portgroup, source.port_id = port.group, port.uuid
    card.type = {"network": "network", "bridge": "bridge", "direct": "direct", "hostdev-pci": "hostdev"}[port.plug]
    source.bridge, source.device, source.mode = port.bridge, port.device, port.mode
    source.host_device = port.address
    if port.plug == "hostdev-pci":
        card.managed = port.managed
    for name in SETTINGS:
        setattr(card, name, getattr(port, name))
    card.source = source
