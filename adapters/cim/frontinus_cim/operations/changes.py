"""Creating, changing and deleting instances (DSP0200 5.3.2): what of the model can be changed that way, by class."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from frontinus_cim.instances import settings, switch_settings
from frontinus_cim.instances import subscription_kinds as kept
from frontinus_cim.instances.bounds import Bound
from frontinus_cim.instances.kinds import Found, Node, Pair
from frontinus_cim.methods import define, resources, switches
from frontinus_cim.methods.calls import MethodCall
from frontinus_cim.operations import filters
from frontinus_cim.operations.call import Call
from frontinus_cim.profiles import jobkinds
from frontinus_cim.subscriptions.store import COLLECTION, DESTINATION, FILTER, SUBSCRIPTION, TO_COLLECTION, Subscription
from frontinus_cim.translation import changes
from frontinus_cim.translation.compose import Wanted
from frontinus_cim.wire import typed, writer
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import INTEROP, Embedded, Path, Value


def _only_interop(call: Call) -> None:
    if call.namespace != INTEROP:
        raise CimError(Status.INVALID_NAMESPACE, f"filters, receivers and subscriptions are in {INTEROP}")


async def _create_filter(call: Call, given: Embedded) -> Found:
    _only_interop(call)
    table = call.world.subscriptions
    return Node(kept.FILTERS, table.filters[await table.add_filter(given, call.world.hostname)])


async def _create_destination(call: Call, given: Embedded) -> Found:
    _only_interop(call)
    table = call.world.subscriptions
    return Node(kept.DESTINATIONS, table.destinations[await table.add_destination(given, call.world.hostname)])


def _end(call: Call, given: Embedded, prop: str) -> Node:
    """An instance that a new association refers to. Raises CimError."""
    path = given.values.get(prop)
    found = call.registry.find(call.world, path) if isinstance(path, Path) else None
    if found is None:
        raise CimError(Status.INVALID_PARAMETER, f"{prop} is not there")
    return found


async def _create_subscription(call: Call, given: Embedded) -> Found:
    _only_interop(call)
    ends = [_end(call, given, prop) for prop in ("Filter", "Handler")]
    await call.world.subscriptions.add_subscription(given, kept.name_of(ends[0]), ends[1].subject.name)
    return Pair(kept.ENDS[given.cls], ends[0], ends[1])


async def _create_collection(call: Call, given: Embedded) -> Found:
    _only_interop(call)
    collections = call.world.subscriptions.collections
    return Node(kept.COLLECTIONS, collections.find(await call.world.subscriptions.add_collection(given)))


async def _create_member(call: Call, given: Embedded) -> Found:
    _only_interop(call)
    collection, member = _end(call, given, "Collection"), _end(call, given, "Member")
    if collection.kind is not kept.COLLECTIONS or member.kind.cls not in kept.MEMBERS.second[1]:
        raise CimError(Status.INVALID_PARAMETER, "filters and collections of filters can be in a collection of filters")
    await call.world.subscriptions.change_members(kept.name_of(collection), add=kept.name_of(member))
    return Pair(kept.MEMBERS, collection, member)


async def create_instance(call: Call) -> str:
    given, _ = call.given.instance("NewInstance")
    call.given.done()
    body = CHANGEABLE.get(given.cls, NOTHING).create
    if body is None:
        raise CimError(
            Status.NOT_SUPPORTED, f"instances of {given.cls} are made by methods of the services, or not at all"
        )
    found = await body(call, given)
    return writer.instance_name(call.registry.path(found, call.namespace))


# --- deleting


async def _delete_kept(call: Call, found: Found) -> None:
    table = call.world.subscriptions
    if isinstance(found, Pair):
        await table.remove(SUBSCRIPTION, (kept.name_of(found.first), found.second.subject.name))
    else:
        await table.remove(found.kind.cls, found.subject.name)


async def _delete_member(call: Call, found: Found) -> None:
    assert isinstance(found, Pair)
    await call.world.subscriptions.change_members(kept.name_of(found.first), remove=kept.name_of(found.second))


async def _delete_job(call: Call, found: Found) -> None:
    assert isinstance(found, Node)
    call.world.jobs.remove(found.subject)


async def delete_instance(call: Call) -> None:
    path = call.given.path("InstanceName")
    call.given.done()
    found = await call.find(path)
    body = CHANGEABLE.get(path.cls, NOTHING).delete
    if body is None:
        raise CimError(
            Status.NOT_SUPPORTED, f"instances of {path.cls} are removed by methods of the services, or not at all"
        )
    await body(call, found)


# --- changing


async def _modify_subscription(call: Call, found: Found, given: Mapping[str, Value]) -> None:
    assert isinstance(found, Pair)
    table = call.world.subscriptions
    subscription: Subscription = table.subscriptions[kept.name_of(found.first), found.second.subject.name]
    await table.change_subscription(subscription, given)


def _method_call(call: Call, node: Node, name: str) -> MethodCall:
    return MethodCall(call.world, call.registry, call.who, node, name, {}, call.namespace)


async def _modify_system(call: Call, found: Found, given: Mapping[str, Value]) -> None:
    assert isinstance(found, Node)
    method = _method_call(call, found, "ModifyInstance")
    await define.modify_system(method, method.engine, found.subject, Embedded(found.kind.cls, given))


def _wanted(found: Node, family: str, given: Mapping[str, Value]) -> Wanted:
    """What of a resource is to be another; NULL takes a property away (DSP0200, ModifyInstance)."""
    change = changes.wanted(found, family, Embedded(found.kind.cls, given))
    return Wanted(family, {**change.values, **{name: None for name, value in given.items() if value is None}})


async def _modify_resource(call: Call, found: Found, given: Mapping[str, Value]) -> None:
    assert isinstance(found, Node)
    method, part = _method_call(call, found, "ModifyInstance"), found.subject
    if isinstance(part, Bound):
        raise CimError(Status.NOT_SUPPORTED, f"{part.name} is of no guest, and stays")
    change = _wanted(found, part.family, given)
    await resources.modified(method, method.engine, part, change)


async def _modify_switch(call: Call, found: Found, given: Mapping[str, Value]) -> None:
    assert isinstance(found, Node)
    method, one = _method_call(call, found, "ModifyInstance"), found.subject
    network = switches.network_of(one.switch)
    await switches.change(method, method.engine, network, Embedded(found.kind.cls, given))


async def _modify_port(call: Call, found: Found, given: Mapping[str, Value]) -> None:
    assert isinstance(found, Node)
    method = _method_call(call, found, "ModifyInstance")
    await switches.change_port(method, method.engine, found.subject, _wanted(found, "net", given))


async def modify_instance(call: Call) -> None:
    given, path = call.given.instance("ModifiedInstance")
    names = call.given.names("PropertyList")
    call.given.flag("IncludeQualifiers", False)
    call.given.done()
    if path is None or path.cls != given.cls:
        raise CimError(Status.INVALID_PARAMETER, "ModifiedInstance needs its path, of the same class")
    wanted = None if names is None else {name.lower() for name in names}
    await _change(call, path, {n: v for n, v in given.values.items() if wanted is None or n.lower() in wanted})


async def set_property(call: Call) -> None:
    path, asked = call.given.path("InstanceName"), (call.given.text("PropertyName") or "").lower()
    given = call.given.any("NewValue")
    call.given.done()
    prop = call.schema[path.cls].by_name.get(asked)
    if prop is None:
        raise CimError(Status.NO_SUCH_PROPERTY, f"{path.cls} has no property '{asked[:80]}'")
    await _change(call, path, {prop.name: typed.value(call.schema, prop, given, call.namespace)})


async def _change(call: Call, path: Path, given: Mapping[str, Value]) -> None:
    """Change what is different from what is there. Raises CimError."""
    found = await call.find(path)
    keys = {key.name for key in call.schema[path.cls].keys}
    now = {name: call.registry.value(call.world, found, name) for name in given}
    others = {name: value for name, value in given.items() if value != now[name]}
    if touched := sorted(others.keys() & keys):
        raise CimError(Status.INVALID_PARAMETER, f"{touched[0]} is a key and stays")
    body = CHANGEABLE.get(path.cls, NOTHING).modify
    if body is None:
        raise CimError(Status.NOT_SUPPORTED, f"instances of {path.cls} cannot be changed")
    if others:
        await body(call, found, others)


# --- what can be changed that way


@dataclass(frozen=True)
class Changes:
    """A row: what creates, changes and deletes an instance of a class; None is answered CIM_ERR_NOT_SUPPORTED."""

    create: Callable[[Call, Embedded], Awaitable[Found]] | None = None
    modify: Callable[[Call, Found, Mapping[str, Value]], Awaitable[None]] | None = None
    delete: Callable[[Call, Found], Awaitable[None]] | None = None


NOTHING = Changes()
CHANGEABLE: Mapping[str, Changes] = {
    FILTER: Changes(_create_filter, None, _delete_kept),
    COLLECTION: Changes(_create_collection, None, _delete_kept),
    kept.MEMBERS.cls: Changes(_create_member, None, _delete_member),
    DESTINATION: Changes(_create_destination, None, _delete_kept),
    "CIM_ListenerDestination": Changes(_create_destination),
    SUBSCRIPTION: Changes(_create_subscription, _modify_subscription, _delete_kept),
    TO_COLLECTION: Changes(_create_subscription, _modify_subscription, _delete_kept),
    filters.LIST: Changes(filters.create_list, None, filters.delete_list),
    **dict.fromkeys(filters.ENTRIES, Changes(filters.create_entry, filters.modify_entry, filters.delete_entry)),
    filters.NESTED: Changes(filters.create_nested, None, filters.delete_nested),
    filters.APPLIED: Changes(filters.create_applied, None, filters.delete_applied),
    settings.VSSD: Changes(modify=_modify_system),
    **dict.fromkeys((kind.cls for kind in settings.RESOURCES.values()), Changes(modify=_modify_resource)),
    switch_settings.VSSD: Changes(modify=_modify_switch),
    switch_settings.PORT_SETTINGS: Changes(modify=_modify_port),
    **dict.fromkeys(jobkinds.CLASSES, Changes(delete=_delete_job)),
}
"""By class; all others are made, changed and removed by methods of the services, or not at all."""
