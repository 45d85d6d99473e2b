"""CIM_VirtualSystemManagementService (DSP1042): making, changing and removing guests by settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from frontinus.api.engine import Engine
from frontinus.api.errors import AlreadyExists
from frontinus.client.details import parse
from frontinus_cim import compose, links_guests
from frontinus_cim.errors import CimError, Status, invalid
from frontinus_cim.fields import text
from frontinus_cim.guest import Guest
from frontinus_cim.methods import MethodCall, Result, method
from frontinus_cim.model import Embedded, Path
from frontinus_cim.services import MANAGEMENT, SWITCHES
from frontinus_cim.settings import guest_of_system_id

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
    xml = checked(lambda: compose.definition(whole, given(call), reference, kvm=call.world.host.kvm))
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
