"""CIM_VirtualSystemManagementService (DSP1042): resources of guests added, changed and removed by settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial

from frontinus.api.engine import Engine, XmlFlag
from frontinus.client.details import Device, facts, of_root, parse
from frontinus_cim.host.guest import FAMILIES, Guest, Part, named, where
from frontinus_cim.host.mirror import by_name
from frontinus_cim.instances import ethernet, links_guests, settings
from frontinus_cim.instances.fields import Element, text
from frontinus_cim.instances.links_guests import resource_node
from frontinus_cim.instances.services import MANAGEMENT
from frontinus_cim.instances.settings import guest_of_id
from frontinus_cim.methods.calls import MethodCall, Result, method
from frontinus_cim.methods.define import checked, given, guest_at
from frontinus_cim.translation import amounts, changes, compose, new
from frontinus_cim.translation.amounts import AMOUNTS
from frontinus_cim.translation.compose import Wanted
from frontinus_cim.wire.errors import CimError, Status, invalid
from frontinus_cim.wire.model import Embedded, Value

TOLD_APART = ("disk", "interface", "graphics")
"""Devices that have a name of their own, by which the engine knows which one is to be another."""


# --- adding


@method(MANAGEMENT, "AddResourceSettings")
async def add_resource_settings(call: MethodCall) -> Result:
    guest, wanted = guest_at(call, call.path("AffectedConfiguration"), "AffectedConfiguration"), given(call)
    if not wanted:
        raise invalid("ResourceSettings is missing")
    for one in wanted:
        if compose.family_of(one)[0] not in AMOUNTS:
            checked(partial(new.resource, call.world, guest, one))
    return await call.long(_add(call, call.engine, guest, wanted), guest.name)


async def _add(call: MethodCall, engine: Engine, guest: Guest, wanted: list[Embedded]) -> Result:
    before = set(guest.parts)
    touched: list[str] = []
    try:
        for one in wanted:
            name, _ = compose.family_of(one)
            if name in AMOUNTS:
                await modify_part(engine, guest, name, changes.wanted(resource_node(guest.parts[name]), name, one))
                touched.append(name)
            else:
                xml = checked(partial(device_xml, name, one))
                await engine.attach_device(guest.view.uuid, xml, **where(guest))
    finally:
        await call.world.caught_up(engine, guest.view.uuid)
    return _resulting(call, guest, [name for name in guest.parts if name not in before] + touched)


def device_xml(name: str, settings: Embedded) -> str:
    """A new device by its settings. Raises CimError."""
    return text(compose.device(name, settings))


def _resulting(call: MethodCall, guest: Guest, names: Sequence[str]) -> Result:
    return Result(0, {"ResultingResourceSettings": _paths(call, guest, names)})


def _paths(call: MethodCall, guest: Guest, names: Sequence[str]) -> list[Value]:
    found = [guest.parts[name] for name in names if name in guest.parts]
    return [call.registry.path(resource_node(part)) for part in found if part.family in links_guests.RESOURCE_FAMILIES]


# --- changing


@method(MANAGEMENT, "ModifyResourceSettings")
async def modify_resource_settings(call: MethodCall) -> Result:
    wanted: list[tuple[Part, Wanted]] = []
    for one in given(call):
        guest, name = guest_of_id(call.world, one.values.get("InstanceID"))
        part = guest.parts.get(name) if guest else None
        if part is None or part.family not in settings.RESOURCES:
            raise CimError(Status.NOT_FOUND, f"InstanceID '{one.values.get('InstanceID')}' names no settings")
        wanted.append((part, changes.wanted(resource_node(part), part.family, one)))
    if not wanted:
        raise invalid("ResourceSettings is missing")
    return await call.long(_modify(call, call.engine, wanted))


async def modified(call: MethodCall, engine: Engine, part: Part, change: Wanted) -> str:
    """Change a resource; the name that it has then, when the world shows it. Raises CimError."""
    try:
        return await modify_part(engine, part.guest, part.name, change)
    finally:
        await call.world.caught_up(engine, part.guest.view.uuid)


async def _modify(call: MethodCall, engine: Engine, wanted: Sequence[tuple[Part, Wanted]]) -> Result:
    changed: list[Value] = []
    for part, change in wanted:
        changed += _paths(call, part.guest, [await modified(call, engine, part, change)])
    return Result(0, {"ResultingResourceSettings": changed})


async def modify_part(engine: Engine, guest: Guest, name: str, change: Wanted) -> str:
    """Change one resource of a guest; the name that it has then. Raises CimError, which names the properties."""
    if not change.values:
        return name
    with changes.named(change):
        if name in AMOUNTS:
            await amounts.change(engine, guest, name, change)
            return name
        return await _modify_device(engine, guest, name, change)


async def _modify_device(engine: Engine, guest: Guest, name: str, change: Wanted) -> str:
    uuid = guest.view.uuid
    root = parse(await engine.guest_xml(uuid, ["secure", *_version(guest)]))
    element = dict(elements(root)).get(name)
    if element is None:
        raise CimError(Status.NOT_FOUND, f"guest '{guest.name}' has no '{name}' any more")
    old = deepcopy(element)
    checked(lambda: compose.change(element, _placed(guest, name, change)))
    after = Part(guest, name, change.family, Device(str(element.tag), facts(element)))
    changes.check(settings.RESOURCES[change.family], after, change)
    new = name_of(element)
    whole = new != name_of(old) or element.tag not in TOLD_APART or bool(compose.REPLACES & change.values.keys())
    if not whole:
        await _update(engine, guest, old, element)
        return name
    if guest.view.active:
        raise amounts.stays(guest, name, str(change))
    await engine.define(text(root))
    return new


def _placed(guest: Guest, name: str, change: Wanted) -> Wanted:
    """What kind of place an interface is moved to, where only its name is given."""
    place = compose.place(change.values) if change.family == "net" else None
    kind = guest.parts[name].device["@type"]
    if place is None or change.get("NetworkType") is not None or kind not in ("network", "bridge"):
        return change
    network = by_name(guest.mirror.networks, place) is not None
    return Wanted(change.family, {**change.values, "NetworkType": "network" if network else kind})


async def _update(engine: Engine, guest: Guest, old: Element, new: Element) -> None:
    """Change a device. A running guest's rates have a call of their own, which comes last: the other may be refused."""
    limits = ethernet.limits(facts(old), facts(new)) if guest.view.active and new.tag == "interface" else None
    plain = new if limits is None else ethernet.with_rates_of(new, old)
    if text(plain) != text(old):
        await engine.update_device(guest.view.uuid, text(plain), **where(guest))
    if limits is not None:
        await engine.set_interface_parameters(guest.view.uuid, name_of(new), limits, **where(guest))


def name_of(element: Element) -> str:
    """What a part of a guest is called by, the engine's way too: a disk's target, an interface's address."""
    tag = str(element.tag)
    return FAMILIES[tag][1](Device(tag, facts(element)))


def _version(guest: Guest) -> list[XmlFlag]:
    """Which document a guest's settings are from."""
    return ["inactive"] if guest.defined else []


def elements(domain: Element) -> Iterator[tuple[str, Element]]:
    """The elements of a definition's parts, by the names of the parts."""
    devices = domain.find("devices")
    listed = list(devices) if devices is not None else []
    return ((name, listed[place]) for place, name, _ in named(of_root(domain).devices))


# --- removing


@method(MANAGEMENT, "RemoveResourceSettings")
async def remove_resource_settings(call: MethodCall) -> Result:
    paths = call.paths("ResourceSettings")
    if not paths:
        raise invalid("ResourceSettings is missing")
    wanted: dict[Guest, list[str]] = {}
    for path in paths:
        guest, part = guest_of_id(call.world, path.key("InstanceID"))
        if guest is None or part not in guest.parts:
            raise CimError(Status.NOT_FOUND, f"'{path.key('InstanceID')}' names no settings")
        if part in AMOUNTS:
            raise CimError(Status.NOT_SUPPORTED, "a guest keeps its memory and its processors")
        wanted.setdefault(guest, []).append(part)
    return await call.long(_remove(call, call.engine, wanted))


async def _remove(call: MethodCall, engine: Engine, wanted: Mapping[Guest, list[str]]) -> Result:
    for guest, names in wanted.items():
        await remove_parts(call, engine, guest, names)
    return Result(0)


async def remove_parts(call: MethodCall, engine: Engine, guest: Guest, names: Sequence[str]) -> None:
    """Take devices from a guest."""
    uuid = guest.view.uuid
    there = dict(elements(parse(await engine.guest_xml(uuid, _version(guest)))))
    try:
        for name in names:
            await engine.detach_device(uuid, text(there[name]), **where(guest))
    finally:
        await call.world.caught_up(engine, uuid)
