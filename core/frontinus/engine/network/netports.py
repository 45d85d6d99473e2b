"""Ports: NICs of guests on networks, from their start to their end; and the leases that they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from frontinus.api.errors import FrontinusError, WrongState
from frontinus.api.events import LeaseEvent
from frontinus.api.networks import LeaseView
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest
from frontinus.domain.plan import Resource, Tap
from frontinus.engine.network import netlife
from frontinus.engine.network.netrecord import NetworkRecord, save_state
from frontinus.engine.record import Record
from frontinus.engine.world import World, log
from frontinus.network.allocate import allocated, inherited, plugged, requested
from frontinus.network.model import Network
from frontinus.network.plan import floor, plan
from frontinus.network.port import SETTINGS, NetworkPort
from frontinus.ports.networks import Lease

PLUGGED = frozenset({"network", "bridge", "direct", "hostdev"})
"""Types of a NIC on a network: the first as it is defined, the others as they are while it runs, and in what was saved."""


async def plug(world: World, record: Record, live: Guest) -> None:
    """Give every NIC that is on a network its port, in the runtime copy of a guest. On failure none is left."""
    try:
        for card in live.devices.interfaces:
            await plug_card(world, record, card)
    except BaseException:
        await release(world, record.uuid)
        raise


async def plug_card(world: World, record: Record, card: Interface) -> None:
    """Give one NIC its port, if it is on a network. Raises NoSuchNetwork, WrongState, HostFailed, Unsupported."""
    if card.type not in PLUGGED or card.source is None or not card.source.network:
        return
    netlife.host_networks(world)
    card.forget(world.host)
    network = world.networks.find(card.source.network)
    if network.live is None:
        raise WrongState(f"network '{network.name}' is not active", state="inactive")
    plugged(card, await create(world, network, requested(card, record.uuid, record.name), bound=True))


async def create(world: World, record: NetworkRecord, wanted: NetworkPort, *, bound: bool = False) -> NetworkPort:
    """A port, decided and written down. `bound`: it lives as long as its guest's NIC."""
    async with record.lock.hold("create a port"):
        live = record.need_live()
        pool = [(d.device, d.address) for d in await netlife.host_networks(world).pool(live.beyond.pf)] if (
            live.beyond.pf) else []  # fmt: skip
        port = allocated(live, record.ports, wanted, pool)
        assert port.uuid is not None
        await netlife.host_networks(world).hook(record.name, "port-created", "begin", record.xml(inactive=False))
        record.ports[port.uuid] = port
        record.bound |= {port.uuid} if bound else set()
        await _kept(world, record, live)
    netlife.publish(world, record, "changed")
    return port


async def delete(world: World, record: NetworkRecord, port: NetworkPort) -> None:
    """Idempotent."""
    async with record.lock.hold("delete a port"):
        if record.ports.pop(port.uuid or "", None) is None or record.live is None:
            return
        record.bound.discard(port.uuid or "")
        await _kept(world, record, record.live)
        await netlife.told(world, record, "port-deleted", "begin")
    netlife.publish(world, record, "changed")


async def _kept(world: World, record: NetworkRecord, live: Network) -> None:
    await save_state(world.store, record, live, "active")


async def release(world: World, guest: str, keep: Sequence[str] = ()) -> None:
    """Give back the ports of a guest that is no more, but for some by UUID. What fails is logged."""
    for record in world.networks.active():
        for port in list(record.ports.values()):
            if port.owner_uuid == guest and port.uuid not in keep:
                try:
                    await delete(world, record, port)
                except FrontinusError as error:
                    log.error("port %s of network %s is kept: %s", port.uuid, record.name, error.message)


async def release_card(world: World, card: Interface) -> None:
    """Give back the port of a NIC that has left its guest."""
    if (held := _port_of(world, card)) is not None:
        await delete(world, *held)


async def rejoin(world: World, record: NetworkRecord) -> None:
    """Give guests that run on a network which was started anew their ports again."""
    live = record.need_live()
    for guest in world.guests:
        cards = guest.running.guest.devices.interfaces if guest.running is not None else []
        for card in cards:
            source = card.source
            if card.type == "network" and source and source.network == record.name and source.port_id:
                wanted = requested(card, guest.uuid, guest.name).clone(uuid=source.port_id)
                try:
                    record.ports[source.port_id] = allocated(live, record.ports, wanted)
                    record.bound.add(source.port_id)
                except FrontinusError as error:
                    log.warning("guest %s gets no port of network %s again: %s", guest.name, record.name, error.message)
    if record.ports:
        await _kept(world, record, live)


def stays(world: World, guest: Record, old: Interface, new: Interface) -> bool:
    """Whether a changed NIC keeps the port that it has, with what its network and its group say of it: it stays on its
    network and is promised what it was."""
    before, after = old.source, new.source
    if before is None or after is None or not before.port_id or before.network != after.network:
        return False
    held = _port_of(world, old)
    if held is None or after.portgroup not in (None, before.portgroup):
        return False
    record, port = held
    kept = new.clone(source=after.clone(portgroup=before.portgroup))
    settings = inherited(record.need_live(), requested(kept, guest.uuid, guest.name))
    if _floor(settings) != _floor(port):
        return False
    new.type, new.source, new.managed = old.type, before.clone(), old.managed
    for name in SETTINGS:
        setattr(new, name, getattr(settings, name))
    return True


async def renew(world: World, card: Interface) -> None:
    """Write down what a NIC's port is now."""
    held = _port_of(world, card)
    if held is None:
        return
    record, port = held
    changed = port.clone(**{name: getattr(card, name) for name in SETTINGS})
    if changed != port:
        record.ports[_port_id(card)] = changed
        await _kept(world, record, record.need_live())
        netlife.publish(world, record, "changed")


def _port_id(card: Interface) -> str:
    """The UUID of the port that a NIC has, empty where it has none."""
    return (card.source.port_id if card.source else None) or ""


def _port_of(world: World, card: Interface) -> tuple[NetworkRecord, NetworkPort] | None:
    """The port that a NIC has, and the network that it is of."""
    uuid = _port_id(card)
    return next(((record, record.ports[uuid]) for record in world.networks.active() if uuid in record.ports), None)


def _floor(port: NetworkPort) -> int | None:
    return port.inbound.floor if port.inbound else None


def bridge_of(card: Interface) -> str | None:
    """The host's bridge that a running guest's NIC is on."""
    return card.source.bridge if card.type in ("network", "bridge") and card.source else None


async def put_back(world: World) -> None:
    """After a restart: NICs are on the bridges that they are said to be on; one may have been on its way to another."""
    cards = [card for record in world.guests if record.running for card in record.running.guest.devices.interfaces]
    for card in cards:
        if card.type == "bridge" and card.target and (bridge := bridge_of(card)):
            try:
                await netlife.host_networks(world).join(card.target, bridge)
            except FrontinusError as error:
                log.error("%s is not put back on its bridge: %s", card.target, error.message)


async def leave(world: World, record: Record) -> None:
    """Give back the ports that NICs of a running guest had before they went to other networks."""
    cards = record.running.guest.devices.interfaces if record.running is not None else []
    await release(world, record.uuid, [_port_id(card) for card in cards])


async def settle(world: World) -> None:
    """After a restart: ports of guests that did not survive it are given back."""
    held = links(world)
    lost = {guest.uuid for guest in world.guests if guest.unreachable is not None}
    for record in world.networks.active():
        for port in [port for uuid, port in record.ports.items() if uuid in record.bound and uuid not in held]:
            if port.owner_uuid not in lost:
                await delete(world, record, port)


def links(world: World) -> dict[str, str]:
    """The host's devices of running guests' NICs, by the UUID of their ports."""
    cards = [c for r in world.guests if r.running is not None for c in r.running.guest.devices.interfaces]
    return {_port_id(card): card.target or "" for card in cards if _port_id(card)}


def with_floors(world: World, live: Guest, resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """Taps of a plan, told which class of their bridge's traffic is theirs."""
    ports = {uuid: port for record in world.networks.active() for uuid, port in record.ports.items()}
    cards = {c.alias: c for c in live.devices.interfaces}

    def told(resource: Resource) -> Resource:
        card = cards.get(resource.alias) if isinstance(resource, Tap) else None
        port = ports.get(_port_id(card)) if card is not None else None
        return replace(resource, floor=floor(port)) if isinstance(resource, Tap) and port is not None else resource

    return tuple(told(resource) for resource in resources)


async def refresh_leases(world: World, record: NetworkRecord) -> None:
    """Read a network's leases anew and tell what changed."""
    live = record.live
    if live is None:
        return
    found = await netlife.host_networks(world).leases(plan(live, world.host.paths))
    if record.live is not live:
        return
    before = {(lease.address, lease.mac): lease for lease in record.leases}
    record.leases = tuple(_view(record, live, lease) for lease in found)
    after = {(lease.address, lease.mac): lease for lease in record.leases}
    for key, lease in after.items():
        if key not in before:
            world.bus.publish(LeaseEvent(network=record.uuid, kind="added", lease=lease))
        elif before[key] != lease:
            world.bus.publish(LeaseEvent(network=record.uuid, kind="renewed", lease=lease))
    for key in before.keys() - after.keys():
        world.bus.publish(LeaseEvent(network=record.uuid, kind="removed", lease=before[key]))
    if len(before) != len(after):
        netlife.publish(world, record, "changed")


def _view(record: NetworkRecord, network: Network, lease: Lease) -> LeaseView:
    ip = network.dhcp(lease.family)
    return LeaseView(
        network=record.uuid, interface=network.bridge or "", family=lease.family, address=lease.address,
        prefix=ip.prefix_length if ip else 0, expires=lease.expires, mac=lease.mac, hostname=lease.hostname,
        client_id=lease.client_id, iaid=lease.iaid,
    )  # fmt: skip
