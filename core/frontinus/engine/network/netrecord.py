"""The engine's record of one network, all of them by UUID and name, and the run state of the active ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from frontinus.api.errors import AlreadyExists, NoSuchNetwork, WrongState
from frontinus.api.networks import Forward, LeaseView, NetworkPortView, NetworkView
from frontinus.engine.jobs import JobLock
from frontinus.network.allocate import pci_name
from frontinus.network.definition import format_network, format_port, parse_network, parse_port
from frontinus.network.model import Network
from frontinus.network.port import NetworkPort
from frontinus.ports import StateStore

DEFINITIONS, AUTOSTART, RUNNING = "networks", "networks-autostart", "networks-running"
"""Kinds of stored documents."""

Phase = Literal["starting", "active", "stopping"]


@dataclass
class NetworkRecord:
    """One network. `definition` is None for a transient one, `live` None for an inactive one."""

    uuid: str
    name: str
    definition: Network | None = None
    live: Network | None = None
    ports: dict[str, NetworkPort] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    """Ports that go with a guest's NIC."""
    leases: tuple[LeaseView, ...] = ()
    autostart: bool = False
    lock: JobLock = field(default_factory=JobLock)

    @property
    def network(self) -> Network:
        """The live network while there is one, else the definition."""
        found = self.live or self.definition
        assert found is not None
        return found

    def need_live(self) -> Network:
        """Raises WrongState for an inactive network."""
        if self.live is None:
            raise WrongState(f"network '{self.name}' is not active", state="inactive")
        return self.live

    def need_definition(self) -> Network:
        """Raises WrongState for a transient network."""
        if self.definition is None:
            raise WrongState(f"network '{self.name}' is transient: it has no persistent definition", state="active")
        return self.definition

    def port(self, uuid: str) -> NetworkPort:
        """Raises NoSuchNetwork, whose other half a port is."""
        found = self.ports.get(uuid.lower())
        if found is None:
            raise NoSuchNetwork(f"network '{self.name}' has no port {uuid[:60]}", network=self.name)
        return found

    def xml(self, *, inactive: bool) -> str:
        """The document of one view; the active one says how many NICs are where."""
        if self.live is None or inactive:
            return format_network(self.definition or self.network)
        shown = self.live.clone(connections=len(self.ports) or None)
        if shown.forward is not None:
            devices = [port.device for port in self.ports.values()]
            places = [pci_name(port.address) for port in self.ports.values() if port.address]
            for interface in shown.forward.interfaces:
                interface.connections = devices.count(interface.device) or None
            for address in shown.forward.addresses:
                address.connections = places.count(pci_name(address)) or None
        return format_network(shown, active=True)

    def view(self) -> NetworkView:
        network = self.network
        mode: Forward = network.mode  # type: ignore[assignment]  # the model knows no others
        return NetworkView(
            uuid=self.uuid, name=self.name, active=self.live is not None, persistent=self.definition is not None,
            autostart=self.autostart, bridge=network.bridge, forward=mode, domain=network.domain, ports=len(self.ports),
            leases=len(self.leases),
        )  # fmt: skip

    def port_view(self, port: NetworkPort, link: str | None) -> NetworkPortView:
        return NetworkPortView(
            uuid=port.uuid or "", network=self.uuid, owner_uuid=port.owner_uuid, owner_name=port.owner_name, mac=port.mac,
            plug=port.plug, link=link or (pci_name(port.address) if port.address else None), portgroup=port.group,
        )  # fmt: skip


class NetworkRegistry:
    """The networks by UUID and name."""

    def __init__(self) -> None:
        self._by_uuid: dict[str, NetworkRecord] = {}

    def __iter__(self) -> Iterator[NetworkRecord]:
        return iter(sorted(self._by_uuid.values(), key=lambda record: record.name))

    def active(self) -> list[NetworkRecord]:
        return [record for record in self if record.live is not None]

    def get(self, uuid: str) -> NetworkRecord | None:
        return self._by_uuid.get(uuid)

    def named(self, name: str) -> NetworkRecord | None:
        return next((record for record in self._by_uuid.values() if record.name == name), None)

    def find(self, key: str) -> NetworkRecord:
        """The network of a UUID or a name, in that order. Raises NoSuchNetwork."""
        record = self._by_uuid.get(key.lower()) or self.named(key)
        if record is None:
            raise NoSuchNetwork(f"no network '{key[:100]}'", network=key[:100])
        return record

    def claim(self, uuid: str, name: str) -> NetworkRecord | None:
        """The record that a definition with this UUID and name replaces, or None. Raises AlreadyExists on a clash."""
        known, namesake = self._by_uuid.get(uuid), self.named(name)
        if namesake is not None and namesake.uuid != uuid:
            raise AlreadyExists(f"a network named '{name}' exists with UUID {namesake.uuid}", network=name)
        if known is not None and known.name != name:
            raise AlreadyExists(
                f"the network with UUID {uuid} is named '{known.name}', not '{name}'", network=known.name
            )
        return known

    def add(self, record: NetworkRecord) -> None:
        self._by_uuid[record.uuid] = record

    def remove(self, record: NetworkRecord) -> None:
        self._by_uuid.pop(record.uuid, None)

    def views(self) -> tuple[NetworkView, ...]:
        return tuple(record.view() for record in self)


class NetworkState(msgspec.Struct, kw_only=True):
    """The document of kind "networks-running". Only "active" says that the set-up was finished."""

    uuid: str
    name: str
    xml: str
    phase: Phase
    ports: list[str] = []
    bound: list[str] = []

    def network(self) -> Network:
        return parse_network(self.xml)

    def records(self) -> dict[str, NetworkPort]:
        ports = (parse_port(text) for text in self.ports)
        return {port.uuid or "": port for port in ports}


async def save_state(store: StateStore, record: NetworkRecord, network: Network, phase: Phase) -> None:
    """Write the run state of a network durably."""
    state = NetworkState(
        uuid=record.uuid, name=record.name, xml=format_network(network, active=True), phase=phase,
        ports=[format_port(port) for port in record.ports.values()], bound=sorted(record.bound),
    )  # fmt: skip
    await store.save(RUNNING, record.uuid, msgspec.json.format(msgspec.json.encode(state)).decode())


def decode_state(text: str) -> NetworkState:
    """Raises ValueError for a document that is no run state."""
    return msgspec.json.decode(text, type=NetworkState)
