"""The use cases on virtual networks."""

from __future__ import annotations

from frontinus.api.errors import InvalidValue, WrongState
from frontinus.api.networks import LeaseView, NetworkPortView, NetworkView, UpdateCommand, UpdateSection
from frontinus.engine import apart, autostart
from frontinus.engine.network import netlife, netports
from frontinus.engine.network.netrecord import AUTOSTART, DEFINITIONS, NetworkRecord
from frontinus.engine.world import World
from frontinus.network.definition import complete, format_network, format_port, parse_network, parse_port
from frontinus.network.model import Network
from frontinus.network.plan import plan
from frontinus.network.update import updated


class Networks:
    """Definitions, life, sections, ports and leases of networks."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def networks(self, active: bool | None = None) -> list[NetworkView]:
        return [record.view() for record in self.world.networks if active in (None, record.live is not None)]

    async def network(self, network: str) -> NetworkView:
        return self.world.networks.find(network).view()

    async def network_xml(self, network: str, inactive: bool = False) -> str:
        return self.world.networks.find(network).xml(inactive=inactive)

    async def _parsed(self, xml: str, *, validate: bool) -> tuple[NetworkRecord, Network]:
        """The record that a document is for, new or known, and the network. Raises AlreadyExists, InvalidXML, Unsupported."""
        netlife.host_networks(self.world)
        host = self.world.host
        network = await apart.reading(xml, lambda: complete(parse_network(xml, validate=validate), host))
        assert network.uuid is not None
        known = self.world.networks.claim(network.uuid, network.name)
        record = known or NetworkRecord(network.uuid, network.name)
        return record, network

    async def define_network(self, xml: str, validate: bool = False) -> NetworkView:
        record, network = await self._parsed(xml, validate=validate)
        async with record.lock.hold("define"):
            self.world.networks.claim(record.uuid, record.name)
            network = await netlife.named(self.world, network, record.uuid)
            await self.world.store.save(DEFINITIONS, record.uuid, format_network(network))
            record.definition = network
            self.world.networks.add(record)
            netlife.publish(self.world, record, "defined")
            return record.view()

    async def undefine_network(self, network: str) -> None:
        record = self.world.networks.find(network)
        async with record.lock.hold("undefine"):
            was = record.need_definition()
            await self.world.store.delete(AUTOSTART, record.uuid)
            await self.world.store.delete(DEFINITIONS, record.uuid)
            record.definition, record.autostart = None, False
            gone = record.live is None
            if gone:
                self.world.networks.remove(record)
                await netlife.host_networks(self.world).forget(plan(was, self.world.host.paths))
            netlife.publish(self.world, record, "undefined", gone=gone)

    async def create_network(self, xml: str, validate: bool = False) -> NetworkView:
        record, network = await self._parsed(xml, validate=validate)
        async with record.lock.hold("create"):
            self.world.networks.claim(record.uuid, record.name)
            self._need_inactive(record)
            await netlife.bring_up(self.world, record, network)
            await netports.rejoin(self.world, record)
            return record.view()

    async def start_network(self, network: str) -> NetworkView:
        record = self.world.networks.find(network)
        async with record.lock.hold("start"):
            self._need_inactive(record)
            await netlife.bring_up(self.world, record, record.need_definition())
            await netports.rejoin(self.world, record)
            return record.view()

    def _need_inactive(self, record: NetworkRecord) -> None:
        if record.live is not None:
            raise WrongState(f"network '{record.name}' is active already", state="active")

    async def destroy_network(self, network: str) -> None:
        record = self.world.networks.find(network)
        async with record.lock.hold("destroy"):
            await netlife.bring_down(self.world, record)

    async def set_network_autostart(self, network: str, on: bool) -> None:
        record = self.world.networks.find(network)
        await autostart.mark(self.world.store, AUTOSTART, record, on)
        netlife.publish(self.world, record, "changed")

    async def update_network(self, network: str, command: UpdateCommand, section: UpdateSection, xml: str,
                             parent_index: int = -1, live: bool = False, config: bool = False) -> None:  # fmt: skip
        record = self.world.networks.find(network)
        async with record.lock.hold("update"):
            if not live and not config:
                live, config = record.live is not None, record.live is None
            halves = [record.need_live() if live else None, record.need_definition() if config else None]
            changed = [
                complete(updated(half, command, section, xml, parent_index), self.world.host) if half else None
                for half in halves
            ]
            if changed[0] is not None:
                self._check_live(record, changed[0])
            await self._commit(record, *changed)
            netlife.publish(self.world, record, "changed")

    async def _commit(self, record: NetworkRecord, live: Network | None, config: Network | None) -> None:
        if live is not None:
            await netlife.reshape(self.world, record, live)
        if config is not None:
            named = await netlife.named(self.world, config, record.uuid)
            await self.world.store.save(DEFINITIONS, record.uuid, format_network(named))
            record.definition = named

    def _check_live(self, record: NetworkRecord, after: Network) -> None:
        """Raises WrongState for what cannot change while the network is active."""
        before = record.need_live()
        if (before.mode, before.bridge) != (after.mode, after.bridge):
            raise WrongState(
                f"network '{record.name}' is active: its mode and bridge stay until it is stopped", state="active"
            )
        held = {port.device for port in record.ports.values() if port.device}
        gone = held - {interface.device for interface in after.beyond.interfaces}
        if gone and before.beyond.interfaces:
            raise WrongState(f"network '{record.name}': {', '.join(sorted(gone))} is in use by a guest", state="active")

    async def network_leases(self, network: str, mac: str | None = None) -> list[LeaseView]:
        record = self.world.networks.find(network)
        record.need_live()
        await netports.refresh_leases(self.world, record)
        return [lease for lease in record.leases if mac is None or (lease.mac or "").lower() == mac.lower()]

    async def network_ports(self, network: str) -> list[NetworkPortView]:
        record = self.world.networks.find(network)
        links = netports.links(self.world)
        return [record.port_view(port, links.get(port.uuid or "")) for port in record.ports.values()]

    async def network_port_xml(self, network: str, port: str) -> str:
        return format_port(self.world.networks.find(network).port(port))

    async def create_network_port(self, network: str, xml: str) -> NetworkPortView:
        record = self.world.networks.find(network)
        port = await netports.create(self.world, record, parse_port(xml))
        return record.port_view(port, None)

    async def delete_network_port(self, network: str, port: str) -> None:
        record = self.world.networks.find(network)
        found = record.port(port)
        if (found.uuid or "") in netports.links(self.world):
            raise InvalidValue(f"port {port} is that of a running guest", field="port")
        await netports.delete(self.world, record, found)
