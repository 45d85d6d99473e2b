"""Networks at the start of an engine: those that an earlier one had are taken over, half-made ones are taken away."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Iterator

from frontinus.api.errors import FrontinusError
from frontinus.engine.loading import loading
from frontinus.engine.network import netlife, netports
from frontinus.engine.network.netrecord import (
    AUTOSTART,
    DEFINITIONS,
    RUNNING,
    NetworkRecord,
    NetworkState,
    decode_state,
)
from frontinus.engine.network.networks import Networks
from frontinus.engine.world import World
from frontinus.network.definition import parse_network
from frontinus.network.plan import plan
from frontinus.ports import Stored

log = logging.getLogger(__name__)

MARKS, FIRST = "marks", "default-network"
"""A document that says that the default network was made once: who removes it does not get it again."""

DEFAULT = """
<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge stp='on' delay='0'/>
  <ip address='192.168.{number}.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.{number}.2' end='192.168.{number}.254'/></dhcp>
  </ip>
</network>
"""
NUMBERS = (122, *range(123, 254))
"""Which 192.168.N.0/24 the default network takes: the first that the host has no way to."""

RESTART_SECONDS = 5.0
"""A server that ends sooner after its start than this is not started again at once."""


async def recover_networks(world: World) -> None:
    """Load what there is, set up again what is active, sweep the rest, and watch from now on."""
    await _load(world)
    states = [state for stored in await world.store.load(RUNNING) if (state := await _decode(world, stored))]
    host = world.host_networks
    if host is None or host.refusal():
        return
    for state in states:
        try:
            await _revive(world, state)
        except FrontinusError as error:
            log.error("network %s could not be taken over: %s", state.name, error.message)
    try:
        await netlife.guard(world)
    except FrontinusError as error:
        log.error("rules of networks: %s", error.message)
    await host.sweep([plan(r.live, world.host.paths) for r in world.networks.active() if r.live is not None])
    world.spawn(_follow(world), "news of networks")


async def _load(world: World) -> None:
    marked = {stored.key for stored in await world.store.load(AUTOSTART)}
    for stored in await world.store.load(DEFINITIONS):
        async with loading(world.store, DEFINITIONS, stored.key, f"network {stored.key}"):
            network = parse_network(stored.text)
            if network.uuid != stored.key:
                raise ValueError(f"holds the network {network.uuid}")
            world.networks.claim(stored.key, network.name)
            world.networks.add(NetworkRecord(stored.key, network.name, network, autostart=stored.key in marked))


async def _decode(world: World, stored: Stored) -> NetworkState | None:
    async with loading(world.store, RUNNING, stored.key, f"run state of network {stored.key}"):
        state = decode_state(stored.text)
        state.network(), state.records()
        return state
    return None


async def _revive(world: World, state: NetworkState) -> None:
    """Take over an active network; one that was half made or half taken away is taken away."""
    host, live = netlife.host_networks(world), state.network()
    wanted = plan(live, world.host.paths)
    if state.phase == "active":
        record = world.networks.get(state.uuid) or NetworkRecord(state.uuid, state.name)
        try:
            await host.set_up(wanted)
            record.live, record.ports, record.bound = live, state.records(), set(state.bound)
            world.networks.add(record)
            netlife.tell_addresses(world)
            await netports.refresh_leases(world, record)
            return
        except FrontinusError:
            record.live = None
            await host.tear_down(wanted)
            await world.store.delete(RUNNING, state.uuid)
            raise
    log.warning("network %s was not wholly %s: it is taken away", state.name, state.phase.replace("ing", "ed"))
    await host.tear_down(wanted)
    await world.store.delete(RUNNING, state.uuid)


async def start_networks(world: World, *, autostart: bool) -> None:
    """After the guests were found: make the default network once, and start what is marked for it."""
    host = world.host_networks
    if host is None or host.refusal():
        return
    await netports.settle(world)
    for record in world.networks.active():
        if record.live is not None:
            await host.set_up(plan(record.live, world.host.paths), netlife.taps(world, record.name))
    await netports.put_back(world)
    use = Networks(world)
    try:
        if world.default_network:
            await _make_default(world, use)
    except FrontinusError as error:
        log.error("the default network: %s", error.message)
    for record in world.networks if autostart else ():
        if record.autostart and record.live is None:
            try:
                await use.start_network(record.uuid)
            except FrontinusError as error:
                log.error("autostart of network %s: %s", record.name, error.message)


async def _make_default(world: World, use: Networks) -> None:
    known = {stored.key for stored in await world.store.load(MARKS)}
    if FIRST in known:
        return
    if not list(world.networks):
        routes = await netlife.host_networks(world).routes()

        def free() -> Iterator[int]:
            for number in NUMBERS:
                net = ipaddress.ip_network(f"192.168.{number}.0/24")
                taken = next((route for route in routes if netlife.conflicts(net, route)), None)
                if taken is None:
                    yield number
                else:
                    log.warning("the default network cannot be %s: %s is behind %s", net, taken.net, taken.device)

        number = next(free(), None)
        if number is None:
            log.warning("there is no default network: every 192.168.N.0/24 is in use on this host")
            return
        view = await use.define_network(DEFAULT.format(number=number))
        await use.set_network_autostart(view.uuid, True)
    await world.store.save(MARKS, FIRST, "")


async def _follow(world: World) -> None:
    """What happens to networks while the engine lives."""
    restarted: dict[str, float] = {}
    async for news in netlife.host_networks(world).news():
        try:
            record = world.networks.named(news.network)
            if news.kind == "rules":
                log.warning("rules of networks were taken away: they are put back")
                await netlife.guard(world)
            elif record is None or record.live is None:
                continue
            elif news.kind == "leases":
                await netports.refresh_leases(world, record)
            elif time.monotonic() - restarted.get(record.uuid, 0.0) > RESTART_SECONDS:
                restarted[record.uuid] = time.monotonic()
                log.warning("the dnsmasq of network %s ended: it is started again", record.name)
                await netlife.host_networks(world).set_up(plan(record.live, world.host.paths))
            else:
                log.error("the dnsmasq of network %s ended again at once: it stays so", record.name)
        except FrontinusError as error:
            log.error("network %s: %s", news.network, error.message)
