"""org.libvirt.NWFilter, and what org.libvirt.Connect has of packet filters."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import NoSuchFilter
from frontinus.api.filters import FilterView
from frontinus_dbus.libvirt.connect import NONE, object_path, to_uuid
from frontinus_dbus.service import Call, Getter, Handler


def all_of(call: Call) -> list[FilterView]:
    return [thing for thing in call.model.things["nwfilter"].values() if isinstance(thing, FilterView)]


def filter_of(call: Call) -> FilterView:
    """The filter that is called. Raises NoSuchFilter."""
    found = call.model.find("nwfilter", call.key)
    if not isinstance(found, FilterView):
        raise NoSuchFilter(f"no nwfilter with matching uuid '{call.key}'")
    return found


def path(call: Call, found: FilterView | None, how: str = "") -> str:
    if found is None:
        raise NoSuchFilter(f"no nwfilter with matching {how}")
    return object_path(call, "nwfilter", found.uuid)


def list_filters(call: Call, flags: int) -> list[str]:
    """The packet filters."""
    NONE.read(flags)
    return [path(call, found) for found in all_of(call)]


def lookup_name(call: Call, name: str) -> str:
    """The packet filter of a name."""
    return path(call, next((f for f in all_of(call) if f.name == name), None), f"name '{name}'")


def lookup_uuid(call: Call, uuid: str) -> str:
    """The packet filter of a UUID."""
    wanted = to_uuid(uuid)
    return path(call, next((f for f in all_of(call) if f.uuid == wanted), None), f"uuid '{wanted}'")


async def define(call: Call, xml: str) -> str:
    """Store a packet filter, new or replaced."""
    return path(call, await (await call.engine()).define_filter(xml))


async def xml(call: Call, flags: int) -> str:
    """The definition."""
    NONE.read(flags)
    return await (await call.engine()).filter_xml(filter_of(call).uuid)


async def undefine(call: Call) -> None:
    """Forget the definition."""
    await (await call.engine()).undefine_filter(filter_of(call).uuid)


CONNECT: Mapping[str, Handler] = {
    "ListNWFilters": list_filters, "NWFilterDefineXML": define, "NWFilterLookupByName": lookup_name,
    "NWFilterLookupByUUID": lookup_uuid,
}  # fmt: skip
METHODS: Mapping[str, Handler] = {"GetXMLDesc": xml, "Undefine": undefine}
GETTERS: Mapping[str, Getter] = {"Name": lambda call: filter_of(call).name, "UUID": lambda call: filter_of(call).uuid}
