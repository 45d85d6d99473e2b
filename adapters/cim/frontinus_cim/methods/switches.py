"""Virtual Ethernet switches made, changed, started and removed by settings, and guests plugged into them (DSP1097).

A switch is a virtual network. A port is a guest's interface: adding one plugs it in, removing one takes it from the guest.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from msgspec import structs

from frontinus.api.engine import Engine
from frontinus.api.errors import AlreadyExists, WrongState
from frontinus.client.details import facts, parse
from frontinus_cim.host.guest import Guest, where
from frontinus_cim.host.resources import Network
from frontinus_cim.instances import switch_settings, switches
from frontinus_cim.instances.fields import text
from frontinus_cim.instances.kinds import Node
from frontinus_cim.instances.links_guests import resource_node
from frontinus_cim.instances.pools import Pool
from frontinus_cim.instances.services import SWITCHES
from frontinus_cim.instances.settings import PORT, PREFIX
from frontinus_cim.instances.settings import RESOURCES as GUESTS
from frontinus_cim.instances.switch_settings import SWITCH_PORT, Configuration, port_of_id
from frontinus_cim.instances.switches import DISABLED, ENABLED, SWITCH, Port, interface, switch_node
from frontinus_cim.methods.calls import MethodCall, Refused, Result, method
from frontinus_cim.methods.define import MOST_RESOURCES, checked, starts
from frontinus_cim.methods.resources import device_xml, modified, modify_part, remove_parts
from frontinus_cim.methods.state import INVALID_TRANSITION, wanted_state
from frontinus_cim.translation import changes, compose_switch, new
from frontinus_cim.translation.compose import Wanted
from frontinus_cim.wire.errors import CimError, Status, invalid
from frontinus_cim.wire.model import Embedded, Path, Value

QUOTED = re.compile(r'\.InstanceID="([^"]+)"$', re.IGNORECASE)
"""The end of a path, in DSP0207's form; clients may write names of keys in lower case."""
STEPS = {ENABLED: "start_network", DISABLED: "destroy_network"}
"""What each state that can be asked for means to the engine."""


# --- finding


def _switch(call: MethodCall, path: Path | None, what: str) -> Pool:
    """The switch that a reference to it or to its settings means. Raises CimError."""
    if path is None:
        raise invalid(f"{what} is missing")
    node = call.registry.find(call.world, path)
    subject = node.subject if node is not None else None
    if isinstance(subject, Configuration):
        return subject.switch
    if isinstance(subject, Pool) and not subject.primordial:
        return subject
    raise CimError(Status.NOT_FOUND, f"{what}: there is no such switch")


def network_of(switch: Pool) -> Network:
    """Raises CimError for a bridge of the host."""
    if switch.network is None:
        raise CimError(Status.NOT_SUPPORTED, f"'{switch.name}' is a bridge of the host: only its ports can be changed")
    return switch.network


def _whole(call: MethodCall) -> Embedded:
    found = call.instance("SystemSettings")
    if found is None:
        raise invalid("SystemSettings is missing")
    if not call.registry.schema.is_a(found.cls, "CIM_VirtualEthernetSwitchSettingData"):
        raise invalid(f"{found.cls} is about no switch")
    return found


def _given(call: MethodCall) -> list[Embedded]:
    found = call.instances("ResourceSettings")
    if len(found) > MOST_RESOURCES:
        raise invalid(f"more than {MOST_RESOURCES} ports")
    for one in found:
        if not call.registry.schema.is_a(one.cls, "CIM_EthernetPortAllocationSettingData"):
            raise invalid(f"{one.cls} is about no port of a switch")
    return found


def _plug(call: MethodCall, settings: Embedded) -> tuple[Guest, str | None]:
    """Whom Connection means: a guest, and which of its interfaces, None for a new one. Raises CimError."""
    given = settings.values.get("Connection")
    plug = str(given[0]) if isinstance(given, list) and len(given) == 1 else ""
    if not plug:
        raise invalid("Connection must name one guest, or one interface of it by the InstanceID of its settings")
    quoted = QUOTED.search(plug)
    wanted = (quoted[1] if quoted else plug).removeprefix(PREFIX)
    if (guest := call.world.named.get(wanted)) is not None:
        return guest, None
    if (part := interface(call.world, wanted)) is not None:
        return part.guest, part.name
    raise CimError(Status.NOT_FOUND, f"Connection: there is no guest and no interface '{plug[:100]}'")


# --- whole switches


@method(SWITCHES, "DefineSystem")
async def define_switch(call: MethodCall) -> Result:
    whole, engine, given = _whole(call), call.engine, _given(call)
    wanted = [(*_plug(call, settings), settings) for settings in given]
    reference = None
    if (like := call.path("ReferenceConfiguration")) is not None:
        model = network_of(_switch(call, like, "ReferenceConfiguration"))
        reference = parse(await engine.network_xml(model.view.uuid, inactive=model.view.persistent))
    name, xml = checked(lambda: compose_switch.definition(whole, reference))
    checked(lambda: new.network(call.world, parse(xml), whole, autostart=bool(starts(whole))))
    if switches.find_switch(call.world, name) is not None:
        raise AlreadyExists(f"there is a switch '{name}' already")
    return await call.long(_define(call, engine, xml, whole, wanted))


async def _define(call: MethodCall, engine: Engine, xml: str, whole: Embedded,
                  wanted: list[tuple[Guest, str | None, Embedded]]) -> Result:  # fmt: skip
    view = await engine.define_network(xml)
    try:
        if starts(whole):
            await engine.set_network_autostart(view.uuid, True)
        known = call.world.networks
        await call.world.shows(lambda: view.uuid in known and known[view.uuid].view.autostart == bool(starts(whole)))
        switch = Pool(call.world, "net", view.name, network=known.get(view.uuid))
        for guest, name, settings in wanted:
            await _plug_in(call, engine, switch, guest, name, settings)
    except BaseException:
        await engine.undefine_network(view.uuid)
        raise
    return Result(0, {"ResultingSystem": call.registry.path(switch_node(switch))})


@method(SWITCHES, "DestroySystem")
async def destroy_switch(call: MethodCall) -> Result:
    network = network_of(_switch(call, call.path("AffectedSystem"), "AffectedSystem"))
    return await call.long(_destroy(call, call.engine, network))


async def _destroy(call: MethodCall, engine: Engine, network: Network) -> Result:
    await remove_network(call, engine, network)
    return Result(0)


async def remove_network(call: MethodCall, engine: Engine, network: Network) -> None:
    """Stop and forget."""
    view = network.view
    if view.active:
        await engine.destroy_network(view.uuid)
    if view.persistent:
        await engine.undefine_network(view.uuid)
    await call.world.shows(lambda: view.uuid not in call.world.networks)


@method(SWITCHES, "ModifySystemSettings")
async def modify_switch(call: MethodCall) -> Result:
    whole = _whole(call)
    found = switch_settings.find_configuration(call.world, whole.values.get("InstanceID"))
    if found is None:
        raise CimError(Status.NOT_FOUND, "InstanceID of SystemSettings names no switch")
    return await call.long(change(call, call.engine, network_of(found.switch), whole))


async def change(call: MethodCall, engine: Engine, network: Network, whole: Embedded) -> Result:
    """Change a switch's definition, which counts from its next start, and whether it starts with the host."""
    if not network.view.persistent:
        raise WrongState(f"network '{network.view.name}' is not defined: it goes when it stops")
    following = switch_settings.following(Pool(call.world, "net", network.view.name, network=network))
    wanted = changes.wanted(Node(switch_settings.SETTINGS, following), changes.WHOLE, whole)
    with changes.named(wanted):
        await _change(engine, following, Embedded(whole.cls, wanted.values), wanted)
    on = starts(whole)
    await call.world.shows(lambda: on is None or network.view.autostart == on, network)
    return Result(0)


async def _change(engine: Engine, following: Configuration, values: Embedded, wanted: Wanted) -> None:
    network = network_of(following.switch)
    uuid, on = network.view.uuid, starts(values)
    root = parse(await engine.network_xml(uuid, inactive=True))
    before = text(root)
    checked(lambda: compose_switch.update(root, values))
    view = network.view if on is None else structs.replace(network.view, autostart=on)
    after = dataclasses.replace(network, view=view, facts=facts(root), next=None)
    changes.check(switch_settings.SETTINGS, Configuration(dataclasses.replace(following.switch, network=after)), wanted)
    if text(root) != before:
        await engine.define_network(text(root))
    if on is not None and on != network.view.autostart:
        await engine.set_network_autostart(uuid, on)


@method(SWITCH, "RequestStateChange")
async def request_state(call: MethodCall) -> Result:
    """Start or stop a network."""
    switch: Pool = call.node.subject
    wanted = wanted_state(call, switches.requests(switch))
    network = network_of(switch)
    if network.view.active == (wanted == ENABLED):
        return Result(0)
    return await call.long(_bring(call, call.engine, network, wanted))


async def _bring(call: MethodCall, engine: Engine, network: Network, wanted: int) -> Result:
    uuid, known = network.view.uuid, call.world.networks
    try:
        await getattr(engine, STEPS[wanted])(uuid)
    except WrongState as error:
        raise Refused(INVALID_TRANSITION, error.message) from None
    network.requested = wanted
    await call.world.shows(lambda: uuid not in known or known[uuid].view.active == (wanted == ENABLED), network)
    return Result(0)


# --- ports


@method(SWITCHES, "AddResourceSettings")
async def add_ports(call: MethodCall) -> Result:
    switch, given = _switch(call, call.path("AffectedConfiguration"), "AffectedConfiguration"), _given(call)
    if not given:
        raise invalid("ResourceSettings is missing")
    return await call.long(_add(call, call.engine, switch, [(*_plug(call, settings), settings) for settings in given]))


async def _add(
    call: MethodCall, engine: Engine, switch: Pool, wanted: list[tuple[Guest, str | None, Embedded]]
) -> Result:
    made: list[Value] = []
    for guest, name, settings in wanted:
        made += [_path(call, port) for port in await _plug_in(call, engine, switch, guest, name, settings)]
    return Result(0, {"ResultingResourceSettings": made})


async def _plug_in(call: MethodCall, engine: Engine, switch: Pool, guest: Guest, name: str | None,
                   settings: Embedded) -> list[Port]:  # fmt: skip
    """Give a guest an interface on the switch, or move one that it has there; the ports that this made."""
    values = {**settings.values, "NetworkType": "network" if switch.network else "bridge", "NetworkName": switch.name}
    plug, before = Embedded(GUESTS["net"].cls, _without(values)), set(guest.parts)
    if name is None:
        checked(lambda: new.resource(call.world, guest, plug))
    try:
        if name is None:
            nic = checked(lambda: device_xml("net", plug))
            await engine.attach_device(guest.view.uuid, nic, **where(guest))
        else:
            change = changes.wanted(resource_node(guest.parts[name]), "net", plug)
            name = await modify_part(engine, guest, name, change)
    finally:
        await call.world.caught_up(engine, guest.view.uuid)
    names = [name] if name else [one for one in guest.parts if one not in before]
    return [Port(switch, guest.parts[one]) for one in names if one in guest.parts and guest.parts[one].family == "net"]


def _without(values: Mapping[str, Value]) -> Mapping[str, Value]:
    """Of a new port's settings, what is the interface's."""
    known = {"PoolID", "InstanceID", "Connection"} | (
        {"ResourceType"} if values.get("ResourceType") == SWITCH_PORT else set()
    )
    return {name: value for name, value in values.items() if name not in known}


def _path(call: MethodCall, port: Port) -> Value:
    return call.registry.path(Node(switch_settings.PORTS, port))


@method(SWITCHES, "ModifyResourceSettings")
async def modify_ports(call: MethodCall) -> Result:
    given = _given(call)
    if not given:
        raise invalid("ResourceSettings is missing")
    ports = [_port(call, settings.values.get("InstanceID")) for settings in given]
    wanted = [
        (port, changes.wanted(Node(switch_settings.PORTS, port), "net", settings))
        for port, settings in zip(ports, given, strict=True)
    ]
    return await call.long(_modify(call, call.engine, wanted))


def _port(call: MethodCall, given: Value) -> Port:
    found = port_of_id(call.world, given)
    if found is None:
        raise CimError(Status.NOT_FOUND, f"InstanceID '{str(given)[:100]}' names no port of a switch")
    return found


async def _modify(call: MethodCall, engine: Engine, wanted: list[tuple[Port, Wanted]]) -> Result:
    made = [_path(call, port) for old, change in wanted if (port := await change_port(call, engine, old, change))]
    return Result(0, {"ResultingResourceSettings": made})


async def change_port(call: MethodCall, engine: Engine, port: Port, change: Wanted) -> Port | None:
    """Change the interface that is plugged into a port. Raises CimError."""
    if others := sorted(change.values.keys() - OF_INTERFACE):
        raise CimError(Status.NOT_SUPPORTED, f"{', '.join(others)}: this cannot be changed of a port")
    name = await modified(call, engine, port.nic, change)
    part = port.nic.guest.parts.get(name)
    switch = switches.switch_of(call.world, part) if part is not None else None
    return Port(switch, part) if switch is not None else None


OF_INTERFACE = frozenset({*PORT, "Address", "PoolID"})
"""What of a port's settings is the interface's to say."""


@method(SWITCHES, "RemoveResourceSettings")
async def remove_ports(call: MethodCall) -> Result:
    paths = call.paths("ResourceSettings")
    if not paths:
        raise invalid("ResourceSettings is missing")
    return await call.long(_remove(call, call.engine, [_port(call, path.key("InstanceID")) for path in paths]))


async def _remove(call: MethodCall, engine: Engine, ports: list[Port]) -> Result:
    for port in ports:
        await remove_parts(call, engine, port.nic.guest, [port.nic.name])
    return Result(0)
