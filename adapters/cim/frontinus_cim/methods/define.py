"""CIM_VirtualSystemManagementService (DSP1042): making, changing and removing guests by settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from msgspec import structs

from frontinus.api.engine import Engine
from frontinus.api.errors import AlreadyExists
from frontinus.client.details import of_root, parse
from frontinus_cim.host.guest import Guest
from frontinus_cim.instances import links_guests
from frontinus_cim.instances.fields import Element, text
from frontinus_cim.instances.services import MANAGEMENT, SWITCHES
from frontinus_cim.instances.settings import SYSTEMS, VSSD, guest_of_system_id
from frontinus_cim.methods.calls import MethodCall, Result, method
from frontinus_cim.translation import changes, compose, new
from frontinus_cim.translation.compose import Wanted
from frontinus_cim.wire.errors import CimError, Status, invalid
from frontinus_cim.wire.model import Embedded, Path

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


def given(call: MethodCall) -> list[Embedded]:
    """The settings of resources that a call has. Raises CimError."""
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
    whole, resources = compose.in_words(whole), given(call)
    xml = checked(lambda: compose.definition(whole, resources, reference, kvm=call.world.host.kvm))
    root = parse(xml)
    checked(lambda: _honoured(call, root, whole, resources))
    name = root.findtext("name") or ""
    if name in call.world.named:
        raise AlreadyExists(f"there is a guest '{name}' already")
    return await call.long(_define(call, engine, xml, whole), name)


def _honoured(call: MethodCall, root: Element, whole: Embedded, resources: list[Embedded]) -> None:
    """Raises CimError for settings that the new guest would not keep."""
    made = new.guest(call.world, root, autostart=bool(starts(whole)))
    new.system(made, whole)
    for one in resources:
        new.resource(call.world, made, one)


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
    return auto == 1 or (auto is None and action in changes.STARTS)


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
    """Change a guest as a whole: its definition, its name, whether it starts by itself. Raises CimError."""
    uuid, node = guest.view.uuid, links_guests.settings_node(guest)
    change = changes.wanted(node, changes.WHOLE, compose.in_words(whole))
    with changes.named(change):
        await _change(engine, guest, change)
    await call.world.caught_up(engine, uuid)
    return Result(0)


async def _change(engine: Engine, guest: Guest, change: Wanted) -> None:
    uuid, values = guest.view.uuid, Embedded(VSSD, change.values)
    root = parse(await engine.guest_xml(uuid, ["inactive", "secure"]))
    before, on = text(root), starts(values)
    checked(lambda: compose.system(root, values))
    changes.check(SYSTEMS, _as_changed(guest, root, on), change)
    if change.get("VirtualSystemIdentifier") is not None:
        await engine.rename(uuid, root.findtext("name") or "")
    if text(root) != before and change.values.keys() - NOT_PLACES:
        await engine.define(text(root))
    if on is not None and on != guest.view.autostart:
        await engine.set_autostart(uuid, on)


def _as_changed(guest: Guest, root: Element, on: bool | None) -> Guest:
    """What a guest would be with another definition."""
    found = of_root(root)
    view = structs.replace(guest.view, name=found["name"], title=found["title"] or None, description=found["description"] or None,
                           virt_type=found["@type"], autostart=guest.view.autostart if on is None else on)  # fmt: skip
    return dataclasses.replace(guest, view=view, details=found, _parts=None, cache={})


NOT_PLACES = frozenset({"VirtualSystemIdentifier", "AutoStart", "AutomaticStartupAction"})
"""Properties of settings that are changed by other means than the definition."""
