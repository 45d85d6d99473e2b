"""org.libvirt.Network, and what org.libvirt.Connect has of networks."""

from __future__ import annotations

import typing
from collections.abc import Mapping

from frontinus.api.errors import InvalidValue, NoSuchNetwork
from frontinus.api.networks import NetworkView, UpdateCommand, UpdateSection
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt.connect import object_path, to_uuid
from frontinus_dbus.libvirt.listing import Listing
from frontinus_dbus.service import Call, Getter, Handler, Setter

LIST: Listing[NetworkView] = Listing((
    (("inactive", 1, lambda n: not n.active), ("active", 2, lambda n: n.active)),
    (("persistent", 4, lambda n: n.persistent), ("transient", 8, lambda n: not n.persistent)),
    (("autostart", 16, lambda n: n.autostart), ("no-autostart", 32, lambda n: not n.autostart)),
))  # fmt: skip
XML = Flags({"inactive": 1})
IMPACT = Flags({"live": 1, "config": 2})
COMMANDS: tuple[UpdateCommand, ...] = typing.get_args(UpdateCommand)
SECTIONS: tuple[UpdateSection, ...] = typing.get_args(UpdateSection)
FAMILIES = ("ipv4", "ipv6")
"""libvirt's numbers: the index of each name."""


def all_of(call: Call) -> list[NetworkView]:
    return [thing for thing in call.model.things["network"].values() if isinstance(thing, NetworkView)]


def network(call: Call) -> NetworkView:
    """The network that is called. Raises NoSuchNetwork."""
    found = call.model.find("network", call.key)
    if not isinstance(found, NetworkView):
        raise NoSuchNetwork(f"no network with matching uuid '{call.key}'")
    return found


def path(call: Call, found: NetworkView | None, how: str = "") -> str:
    if found is None:
        raise NoSuchNetwork(f"no network with matching {how}")
    return object_path(call, "network", found.uuid)


def list_networks(call: Call, flags: int) -> list[str]:
    """The networks, or those that the flags choose."""
    return [path(call, found) for found in LIST.choose(all_of(call), flags)]


def lookup_name(call: Call, name: str) -> str:
    """The network of a name."""
    return path(call, next((n for n in all_of(call) if n.name == name), None), f"name '{name}'")


def lookup_uuid(call: Call, uuid: str) -> str:
    """The network of a UUID."""
    wanted = to_uuid(uuid)
    return path(call, next((n for n in all_of(call) if n.uuid == wanted), None), f"uuid '{wanted}'")


async def define(call: Call, xml: str) -> str:
    """Store a network's definition, new or replaced."""
    return path(call, await (await call.engine()).define_network(xml))


async def create_xml(call: Call, xml: str) -> str:
    """Start a transient network."""
    return path(call, await (await call.engine()).create_network(xml))


async def create(call: Call) -> None:
    """Start it."""
    await (await call.engine()).start_network(network(call).uuid)


async def destroy(call: Call) -> None:
    """Stop it."""
    await (await call.engine()).destroy_network(network(call).uuid)


async def undefine(call: Call) -> None:
    """Forget the definition."""
    await (await call.engine()).undefine_network(network(call).uuid)


async def xml(call: Call, flags: int) -> str:
    """The definition."""
    return await (await call.engine()).network_xml(network(call).uuid, "inactive" in XML.read(flags))


async def update(call: Call, command: int, section: int, index: int, text: str, flags: int) -> None:
    """Change one section of the definition."""
    given = IMPACT.read(flags)
    if command >= len(COMMANDS) or section >= len(SECTIONS):
        raise InvalidValue(f"unknown command {command} or section {section}", field="command")
    engine = await call.engine()
    await engine.update_network(network(call).uuid, COMMANDS[command], SECTIONS[section], text, index,
                                "live" in given, "config" in given)  # fmt: skip


async def leases(call: Call, mac: str, flags: int) -> list[list[object]]:
    """DHCP leases, of one MAC address or (empty) all."""
    Flags({}).read(flags)
    found = await (await call.engine()).network_leases(network(call).uuid, mac or None)
    return [
        [one.interface, one.expires, FAMILIES.index(one.family), one.mac or "", one.iaid or "", one.address, one.prefix,
         one.hostname or "", one.client_id or ""]
        for one in found
    ]  # fmt: skip


async def set_autostart(call: Call, on: object) -> None:
    await (await call.engine()).set_network_autostart(network(call).uuid, bool(on))


CONNECT: Mapping[str, Handler] = {
    "ListNetworks": list_networks, "NetworkCreateXML": create_xml, "NetworkDefineXML": define,
    "NetworkLookupByName": lookup_name, "NetworkLookupByUUID": lookup_uuid,
}  # fmt: skip
METHODS: Mapping[str, Handler] = {
    "Create": create, "Destroy": destroy, "GetDHCPLeases": leases, "GetXMLDesc": xml, "Undefine": undefine,
    "Update": update,
}  # fmt: skip
GETTERS: Mapping[str, Getter] = {
    "Active": lambda call: network(call).active, "Autostart": lambda call: network(call).autostart,
    "Name": lambda call: network(call).name, "Persistent": lambda call: network(call).persistent,
    "UUID": lambda call: network(call).uuid,
}  # fmt: skip
SETTERS: Mapping[str, Setter] = {"Autostart": set_autostart}
