"""CIM_VirtualSystemManagementService (DSP1042): making, changing and removing guests by settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import TypeVar

from frontinus.api.engine import Engine, XmlFlag
from frontinus.api.errors import AlreadyExists
from frontinus.client.details import Device, facts, of_root, parse
from frontinus_cim import compose, ethernet, links_guests
from frontinus_cim.compose import family_of
from frontinus_cim.errors import CimError, Status, invalid
from frontinus_cim.fields import Element, text
from frontinus_cim.guest import FAMILIES, Guest, named
from frontinus_cim.methods import MethodCall, Result, method
from frontinus_cim.model import Embedded, Path, Value
from frontinus_cim.services import MANAGEMENT, SWITCHES
from frontinus_cim.settings import guest_of_id, guest_of_system_id

MOST_RESOURCES = 256
T = TypeVar("T")


def guest_at(call: MethodCall, path: Path | None, what: str) -> Guest:
    """The guest that a reference to it or to its settings means. Raises CimError."""
    if path is None:
        raise invalid(f"{what} is missing")
    node = call.registry.find(call.world, path)
    if node is None or not isinstance(node.subject, Guest):
        raise CimError(Status.NOT_FOUND, f"{what}: there is no such guest")
    return node.subject


def _given(call: MethodCall) -> list[Embedded]:
    found = call.instances("ResourceSettings")
    if len(found) > MOST_RESOURCES:
        raise invalid(f"more than {MOST_RESOURCES} resources")
    return found


def _system(call: MethodCall, guest: Guest) -> Path:
    return call.registry.path(links_guests.guest_node(guest))


@method(MANAGEMENT, "DefineSystem")
async def define_system(call: MethodCall) -> Result:
    whole = call.instance("SystemSettings")
    if whole is None:
        raise invalid("SystemSettings is missing")
    if call.registry.schema.is_a(whole.cls, "CIM_VirtualEthernetSwitchSettingData"):
        raise invalid(f"switches are made by {SWITCHES}")
    engine, reference = call.engine, None
    if (like := call.path("ReferenceConfiguration")) is not None:
        guest = guest_at(call, like, "ReferenceConfiguration")
        reference = parse(await engine.guest_xml(guest.view.uuid, ["inactive", "migratable"]))
    xml = checked(lambda: compose.definition(whole, _given(call), reference, kvm=call.world.host.kvm))
    name = parse(xml).findtext("name") or ""
    if name in call.world.named:
        raise AlreadyExists(f"there is a guest '{name}' already")
    return await call.long(_define(call, engine, xml, whole), name)


def checked(make: Callable[[], T]) -> T:
    """What composes XML, with what XML cannot hold told as the client's mistake."""
    try:
        return make()
    except ValueError as error:
        raise invalid(str(error)) from None


async def _define(call: MethodCall, engine: Engine, xml: str, whole: Embedded) -> Result:
    view = await engine.define(xml)
    if starts(whole):
        await engine.set_autostart(view.uuid, True)
    await call.world.caught_up(engine, view.uuid)
    guest = call.world.guests.get(view.uuid)
    return Result(0, {"ResultingSystem": _system(call, guest)} if guest else {})


def starts(settings: Embedded) -> bool | None:
    """Whether settings say that a guest starts with its host; None if they do not say."""
    auto, action = settings.values.get("AutoStart"), settings.values.get("AutomaticStartupAction")
    if auto is None and action is None:
        return None
    return auto == 1 or (auto is None and action in (3, 4))


@method(MANAGEMENT, "DestroySystem")
async def destroy_system(call: MethodCall) -> Result:
    guest = guest_at(call, call.path("AffectedSystem"), "AffectedSystem")
    return await call.long(_destroy(call, call.engine, guest), guest.name)


async def _destroy(call: MethodCall, engine: Engine, guest: Guest) -> Result:
    uuid, persistent = guest.view.uuid, guest.view.persistent
    if guest.view.active:
        await engine.destroy(uuid)
    if persistent:
        await engine.undefine(uuid, managed_save=True, nvram=True)
    await call.world.caught_up(engine, uuid)
    return Result(0)


@method(MANAGEMENT, "ModifySystemSettings")
async def modify_system_settings(call: MethodCall) -> Result:
    whole = call.instance("SystemSettings")
    if whole is None:
        raise invalid("SystemSettings is missing")
    guest = guest_of_system_id(call.world, whole.values.get("InstanceID"))
    if guest is None:
        raise CimError(Status.NOT_FOUND, "InstanceID of SystemSettings names no guest")
    return await call.long(modify_system(call, call.engine, guest, whole), guest.name)


async def modify_system(call: MethodCall, engine: Engine, guest: Guest, whole: Embedded) -> Result:
    """Change a guest as a whole: its definition, its name, whether it starts by itself."""
    uuid, name = guest.view.uuid, whole.values.get("VirtualSystemIdentifier")
    if isinstance(name, str) and name and name != guest.name:
        await engine.rename(uuid, name)
    values = {prop: value for prop, value in whole.values.items() if prop not in ("VirtualSystemIdentifier", "UUID")}
    if {prop for prop, value in values.items() if value is not None} - UNCHANGED:
        xml = await engine.guest_xml(uuid, ["inactive", "secure"])
        root = parse(xml)
        checked(lambda: compose.system(root, Embedded(whole.cls, values)))
        if (changed := text(root)) != text(parse(xml)):
            await engine.define(changed)
    if (on := starts(whole)) is not None and on != guest.view.autostart:
        await engine.set_autostart(uuid, on)
    await call.world.caught_up(engine, uuid)
    return Result(0)


UNCHANGED = {
    "InstanceID",
    "ElementName",
    "ConfigurationName",
    "VirtualSystemType",
    "AutoStart",
    "AutomaticStartupAction",
}
"""Properties of settings that are not places of the definition."""


@method(MANAGEMENT, "AddResourceSettings")
async def add_resource_settings(call: MethodCall) -> Result:
    guest, given = guest_at(call, call.path("AffectedConfiguration"), "AffectedConfiguration"), _given(call)
    if not given:
        raise invalid("ResourceSettings is missing")
    return await call.long(_add(call, call.engine, guest, given), guest.name)


async def _add(call: MethodCall, engine: Engine, guest: Guest, given: list[Embedded]) -> Result:
    before = set(guest.parts)
    touched: list[str] = []
    try:
        for settings in given:
            name, _ = family_of(settings)
            if name in ("mem", "proc"):
                await _amount(engine, guest, name, settings)
                touched.append(name)
            else:
                xml = checked(partial(device_xml, name, settings))
                await engine.attach_device(guest.view.uuid, xml, **where(guest))
    finally:
        await call.world.caught_up(engine, guest.view.uuid)
    new = [name for name in guest.parts if name not in before] + touched
    return Result(0, {"ResultingResourceSettings": _paths(call, guest, new)})


def device_xml(name: str, settings: Embedded) -> str:
    """A new device by its settings. Raises CimError."""
    return text(compose.device(name, settings))


def where(guest: Guest) -> Mapping[str, bool]:
    """A change holds now and later, as far as the guest has a now and a later; of settings of the next start, later only."""
    return {"live": guest.view.active, "config": guest.view.persistent}


def version(guest: Guest) -> list[XmlFlag]:
    """Which document a guest's settings are from."""
    return ["inactive"] if guest.defined else []


async def _amount(engine: Engine, guest: Guest, name: str, settings: Embedded) -> None:
    """Memory or processors: the most first where it grows, for the present amount must fit in."""
    now, most = (settings.values.get("VirtualQuantity"), settings.values.get("Limit")) if name == "proc" else (
        compose.quantity(settings, "VirtualQuantity"), compose.quantity(settings, "Limit"))  # fmt: skip
    change = engine.set_vcpus if name == "proc" else engine.set_memory
    old_most = guest.view.max_vcpus if name == "proc" else guest.view.max_memory
    old_now = guest.view.vcpus if name == "proc" else guest.view.memory
    uuid, active, persistent = guest.view.uuid, guest.view.active, guest.view.persistent
    if isinstance(now, int) and not isinstance(most, int) and now > old_most and not active:
        most = now
    steps: list[tuple[int, bool]] = []
    if isinstance(most, int) and most != old_most:
        steps.append((most, True))
    if isinstance(now, int) and now != old_now:
        steps.append((now, False))
    if len(steps) == 2 and isinstance(most, int) and most < old_now:
        steps.reverse()
    for size, maximum in steps:
        if maximum:
            await change(uuid, size, maximum=True, config=True)
        else:
            await change(uuid, size, live=active, config=persistent)


def _paths(call: MethodCall, guest: Guest, names: list[str]) -> Value:
    found: list[Value] = []
    for name in names:
        part = guest.parts.get(name)
        if part is not None and part.family in links_guests.RESOURCE_FAMILIES:
            found.append(call.registry.path(links_guests.resource_node(part)))
    return found


@method(MANAGEMENT, "ModifyResourceSettings")
async def modify_resource_settings(call: MethodCall) -> Result:
    given = _given(call)
    if not given:
        raise invalid("ResourceSettings is missing")
    by_guest: dict[Guest, list[tuple[str, Embedded]]] = {}
    for settings in given:
        guest, part = guest_of_id(call.world, settings.values.get("InstanceID"))
        if guest is None or part not in guest.parts:
            raise CimError(Status.NOT_FOUND, f"InstanceID '{settings.values.get('InstanceID')}' names no settings")
        by_guest.setdefault(guest, []).append((part, settings))
    return await call.long(_modify(call, call.engine, by_guest))


async def _modify(call: MethodCall, engine: Engine, wanted: Mapping[Guest, list[tuple[str, Embedded]]]) -> Result:
    changed: list[Value] = []
    for guest, parts in wanted.items():
        try:
            names = [await modify_part(engine, guest, name, settings) for name, settings in parts]
        finally:
            await call.world.caught_up(engine, guest.view.uuid)
        found = _paths(call, guest, names)
        changed += found if isinstance(found, list) else []
    return Result(0, {"ResultingResourceSettings": changed})


async def modify_part(engine: Engine, guest: Guest, name: str, settings: Embedded) -> str:
    """Change one resource of a guest; the name that it has then. Raises CimError."""
    if name in ("mem", "proc"):
        await _amount(engine, guest, name, settings)
        return name
    root = parse(await engine.guest_xml(guest.view.uuid, ["secure", *version(guest)]))
    element = dict(elements(root))[name]
    before, known = text(element), name_of(element)
    checked(lambda: compose.update(element, guest.parts[name].family, settings))
    if text(element) == before:
        return name
    if (new := name_of(element)) == known:
        await _update(engine, guest, parse(before), element)
        return name
    if guest.view.active:
        raise CimError(Status.NOT_SUPPORTED, f"'{known}' stays what it is called while the guest runs")
    await engine.define(text(root))
    return new


async def _update(engine: Engine, guest: Guest, old: Element, new: Element) -> None:
    """Change a device. A running guest's rates have a call of their own."""
    limits = ethernet.limits(facts(old), facts(new)) if guest.view.active and new.tag == "interface" else None
    if limits is not None:
        await engine.set_interface_parameters(guest.view.uuid, name_of(new), limits, **where(guest))
    if _without_rates(old) != _without_rates(new) or limits is None:
        await engine.update_device(guest.view.uuid, text(new), **where(guest))


def _without_rates(element: Element) -> str:
    """A device as text but for its <bandwidth>."""
    bare = deepcopy(element)
    for rates in bare.findall("bandwidth"):
        bare.remove(rates)
    return text(bare)


def name_of(element: Element) -> str:
    """What a part of a guest is called by, the engine's way too: a disk's target, an interface's address."""
    tag = str(element.tag)
    return FAMILIES[tag][1](Device(tag, facts(element)))


def elements(domain: Element) -> Iterator[tuple[str, Element]]:
    """The elements of a definition's parts, by the names of the parts."""
    devices = domain.find("devices")
    listed = list(devices) if devices is not None else []
    return ((name, listed[place]) for place, name, _ in named(of_root(domain).devices))


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
        if part in ("mem", "proc"):
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
    there = dict(elements(parse(await engine.guest_xml(uuid, version(guest)))))
    try:
        for name in names:
            await engine.detach_device(uuid, text(there[name]), **where(guest))
    finally:
        await call.world.caught_up(engine, uuid)
