"""The life of a network on the host: up, down, changed, guarded. Written down before it is done."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from frontinus.api.errors import FrontinusError, HostFailed, InvalidXML, Unsupported
from frontinus.api.events import NetworkEvent, NetworkKind
from frontinus.engine.network.netrecord import RUNNING, NetworkRecord, save_state
from frontinus.engine.world import World, log
from frontinus.network.definition import format_network
from frontinus.network.firewall import firewall
from frontinus.network.model import Net, Network
from frontinus.network.plan import NetworkPlan, plan
from frontinus.ports.networks import HostNetworks, HostRoute

BRIDGES = "virbr{}"


def host_networks(world: World) -> HostNetworks:
    """The port. Raises Unsupported with the reason where this engine can have no networks."""
    host = world.host_networks
    reason = "this engine has no virtual networks" if host is None else host.refusal()
    if host is None or reason:
        raise Unsupported(reason or "")
    return host


def publish(world: World, record: NetworkRecord, kind: NetworkKind, *, gone: bool = False) -> None:
    view = None if gone else record.view()
    world.bus.publish(NetworkEvent(uuid=record.uuid, name=record.name, kind=kind, network=view))


async def named(world: World, network: Network, record_uuid: str) -> Network:
    """A copy with a bridge and a MAC of its own, where it is to have a bridge. Raises InvalidXML for a bridge that is taken."""
    done = network.clone()
    if not done.has_own_bridge:
        return done
    taken = {known for other in world.networks if other.uuid != record_uuid for known in _bridges(other)}
    if done.bridge in taken:
        raise InvalidXML(f"<bridge>: '{done.bridge}' is another network's", element="bridge")
    if done.bridge is None or "%d" in done.bridge:
        pattern = (done.bridge or BRIDGES).replace("%d", "{}")
        taken |= await host_networks(world).links()
        names = (pattern.format(number) for number in itertools.count())
        done.bridge = next(name for name in names if name not in taken)
    if done.mac is None:
        done.mac = ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *world.host.entropy(3)))
    return done


def _bridges(record: NetworkRecord) -> Iterator[str]:
    return (one.bridge for one in (record.definition, record.live) if one is not None and one.bridge)


async def bring_up(world: World, record: NetworkRecord, network: Network) -> None:
    """Make a network active. On failure nothing is left and the error says why."""
    host = host_networks(world)
    live = await named(world, network, record.uuid)
    wanted = plan(live, world.host.paths)
    _check_routes(wanted, await host.routes())
    await host.hook(record.name, "start", "begin", format_network(live, active=True))
    await save_state(world.store, record, live, "starting")
    world.networks.add(record)
    try:
        await host.set_up(wanted, taps(world, record.name))
        record.live = live
        await guard(world)
        await save_state(world.store, record, live, "active")
    except BaseException:
        record.live = None
        if record.definition is None:
            world.networks.remove(record)
        await _take_down(world, record, wanted)
        raise
    tell_addresses(world)
    await told(world, record, "started", "begin")
    publish(world, record, "started")


async def bring_down(world: World, record: NetworkRecord) -> None:
    """Take an active network away; its guests lose their link."""
    live = record.need_live()
    await save_state(world.store, record, live, "stopping")
    xml = record.xml(inactive=False)
    record.live, record.ports, record.bound, record.leases = None, {}, set(), ()
    await _take_down(world, record, plan(live, world.host.paths))
    tell_addresses(world)
    await told(world, record, "stopped", "end", xml)
    gone = record.definition is None
    if gone:
        await host_networks(world).forget(plan(live, world.host.paths))
        world.networks.remove(record)
    publish(world, record, "stopped", gone=gone)


async def _take_down(world: World, record: NetworkRecord, was: NetworkPlan) -> None:
    await guard(world)
    await host_networks(world).tear_down(was)
    await world.store.delete(RUNNING, record.uuid)


async def reshape(world: World, record: NetworkRecord, network: Network) -> None:
    """Let a changed network be what is active. Raises HostFailed; what was active is put back then."""
    host, before = host_networks(world), record.need_live()
    try:
        record.live = network
        await host.set_up(plan(network, world.host.paths), taps(world, record.name))
        await guard(world)
        await save_state(world.store, record, network, "active")
    except BaseException:
        record.live = before
        await host.set_up(plan(before, world.host.paths), taps(world, record.name))
        await guard(world)
        raise
    tell_addresses(world)
    await told(world, record, "updated", "begin")


async def guard(world: World) -> None:
    """The rules of all active networks, and no others, in one transaction."""
    async with world.guarding:
        active = [r.live for r in world.networks.active() if r.live is not None]
        bridges = [(network, network.bridge) for network in active if network.bridge]
        await host_networks(world).guard(firewall(bridges, world.host.paths))


def taps(world: World, name: str) -> tuple[str, ...]:
    """Taps of running guests that belong on a network's bridge."""
    cards = (c for r in world.guests if r.running is not None for c in r.running.guest.devices.interfaces)
    return tuple(c.target for c in cards if c.type == "network" and c.source and c.source.network == name and c.target)


def _check_routes(wanted: NetworkPlan, routes: Sequence[HostRoute]) -> None:
    """Raises HostFailed when the host knows another way to one of the addresses."""
    own = wanted.bridge.name if wanted.bridge else None
    for net in wanted.nets:
        for route in routes:
            if route.device != own and conflicts(net, route):
                raise HostFailed(f"{net} is in use on this host: {route.net} is behind {route.device}", what=str(net))


def conflicts(net: Net, route: HostRoute) -> bool:
    """Whether a network's addresses are the host's already. A wide route by a gateway (10.0.0.0/8, say) is none."""
    first, last = int(net.network_address), int(net.broadcast_address)
    low, high = int(route.net.network_address), int(route.net.broadcast_address)
    if net.version != route.net.version or low > last or high < first:
        return False
    return route.direct or route.net.prefixlen >= net.prefixlen


def tell_addresses(world: World) -> None:
    """Guests' displays may listen on a network: plans learn its address from the host's facts."""
    found = {r.name: r.live.ips[0].address for r in world.networks.active() if r.live is not None and r.live.ips}
    world.host = replace(world.host, network_addresses=found)


async def told(world: World, record: NetworkRecord, operation: str, stage: str, xml: str | None = None) -> None:
    """Run hooks that can refuse nothing any more."""
    try:
        await host_networks(world).hook(record.name, operation, stage, xml or record.xml(inactive=False))
    except FrontinusError as error:
        log.warning("hook of network %s: %s", record.name, error.message)
