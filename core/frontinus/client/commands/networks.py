"""Virtual networks, their ports and leases, and addresses of guests."""

from __future__ import annotations

import argparse
import time
from typing import get_args

from frontinus.api.engine import Engine
from frontinus.api.events import Event, LeaseEvent, NetworkEvent
from frontinus.api.networks import AddressSource, NetworkView, UpdateSection
from frontinus.client.commands.base import (
    CONFIG,
    FILE,
    GUEST,
    LIVE,
    XPATH,
    Command,
    Output,
    arg,
    autostart,
    edit,
    flag,
    read,
)
from frontinus.client.following import HOW, Told, follow

NETWORK = arg("network", complete="network", help="name or UUID of a network")
PORT = arg("port", help="UUID of a port")
YES = {True: "yes", False: "no"}
EVENTS = ("lifecycle", "lease")
UPDATES = {"add": "add-last", "add-last": "add-last", "add-first": "add-first", "delete": "delete", "modify": "modify"}


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    active = None if options.all else not options.inactive
    networks = [n for n in await engine.networks(active) if _wanted(n, options)]
    out.value(networks)
    if options.name or options.uuid:
        for network in networks:
            out.line(network.name if options.name else network.uuid)
        return
    out.table(["Name", "State", "Autostart", "Persistent"],
              [[n.name, "active" if n.active else "inactive", YES[n.autostart], YES[n.persistent]] for n in networks])  # fmt: skip


def _wanted(network: NetworkView, options: argparse.Namespace) -> bool:
    return (not options.persistent or network.persistent) and (not options.transient or not network.persistent) and (
        not options.autostart or network.autostart) and (not options.no_autostart or not network.autostart)  # fmt: skip


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    network = await engine.network(options.network)
    out.value(network)
    bridge = [("Bridge", network.bridge)] if network.bridge else []
    out.pairs([("Name", network.name), ("UUID", network.uuid), ("Active", YES[network.active]),
               ("Persistent", YES[network.persistent]), ("Autostart", YES[network.autostart]), *bridge])  # fmt: skip


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.network_xml(options.network, inactive=options.inactive), options)


async def _define(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    network = await engine.define_network(read(options.file), validate=options.validate)
    out.value(network)
    out.done(f"Network {network.name} defined from {options.file}")


async def _create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    network = await engine.create_network(read(options.file), validate=options.validate)
    out.value(network)
    out.done(f"Network {network.name} created from {options.file}")


async def _undefine(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.undefine_network(options.network)
    out.done(f"Network {options.network} has been undefined")


async def _start(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.value(await engine.start_network(options.network))
    out.done(f"Network {options.network} started")


async def _destroy(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.destroy_network(options.network)
    out.done(f"Network {options.network} destroyed")


async def _autostart(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await autostart(
        f"Network {options.network}", options, lambda on: engine.set_network_autostart(options.network, on), out
    )


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    before = await engine.network_xml(options.network, inactive=True)
    await edit(f"Network {options.network}", before, engine.define_network, out)


async def _update(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = options.xml if options.xml.lstrip().startswith("<") else read(options.xml)
    await engine.update_network(options.network, UPDATES[options.command], options.section, xml,  # type: ignore[arg-type]
                                options.parent_index, live=options.live, config=options.config)  # fmt: skip
    what = [half for half, said in (("persistent config", options.config), ("live state", options.live)) if said]
    out.done(f"Updated network {options.network} {' and '.join(what) or 'current state'}")


async def _uuid(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.network(options.network)).uuid)


async def _name(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.network(options.network)).name)


async def _leases(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    leases = await engine.network_leases(options.network, options.mac)
    out.value(leases)
    out.table(
        ["Expiry Time", "MAC address", "Protocol", "IP address", "Hostname", "Client ID or DUID"],
        [[_moment(x.expires), x.mac or "-", x.family, f"{x.address}/{x.prefix}", x.hostname or "-", x.client_id or "-"]
         for x in sorted(leases, key=lambda lease: lease.address)],
    )  # fmt: skip


def _moment(expires: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(expires)) if expires else "never"


async def _ports(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    ports = await engine.network_ports(options.network)
    out.value(ports)
    if options.uuid:
        for port in ports:
            out.line(port.uuid)
        return
    out.table(
        ["UUID", "Owner", "MAC", "Plug", "Link"], [[p.uuid, p.owner_name, p.mac, p.plug, p.link or "-"] for p in ports]
    )


async def _port_xml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.network_port_xml(options.network, options.port), options)


async def _port_create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    port = await engine.create_network_port(options.network, read(options.file))
    out.value(port)
    out.done(f"Network port {port.uuid} created from {options.file}")


async def _port_delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.delete_network_port(options.network, options.port)
    out.done(f"Network port {options.port} deleted")


async def _event(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.list:
        for kind in EVENTS:
            out.line(kind)
        return
    about = (await engine.network(options.network)).uuid if options.network else None
    await follow(engine, options, out, _told, about, options.event)


def _told(event: Event) -> Told | None:
    """An event of a network in words; None for others."""
    if isinstance(event, NetworkEvent):
        return Told(event.uuid, "lifecycle", f"event 'lifecycle' for network {event.name}: {event.kind.capitalize()}")
    if isinstance(event, LeaseEvent):
        lease = event.lease
        who = lease.mac or lease.client_id or "-"
        return Told(
            event.network, "lease", f"event 'lease' for network {event.network}: {event.kind} {lease.address} {who}"
        )
    return None


async def _addresses(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.guest_addresses(options.guest, options.source)
    wanted = [one for one in found if options.interface in (None, one.name)]
    out.value(wanted)
    rows = []
    for interface in wanted:
        for number, address in enumerate(interface.addresses):
            repeated = number > 0 and not options.full
            name, mac = ("-", "-") if repeated else (interface.name, interface.mac or "N/A")
            rows.append([name, mac, address.family, f"{address.address}/{address.prefix}"])
    out.table(["Name", "MAC address", "Protocol", "Address"], rows)


VALIDATE = flag("--validate", help="refuse what is unknown")

COMMANDS = (
    Command("net-list", "list networks", (
        flag("--all"), flag("--inactive"), flag("--persistent"), flag("--transient"), flag("--autostart"),
        flag("--no-autostart"), flag("--name"), flag("--uuid"), flag("--table", help="as always")), _list),
    Command("net-info", "facts of a network", (NETWORK,), _info),
    Command("net-dumpxml", "print a network's XML", (NETWORK, flag("--inactive", help="as defined"), *XPATH), _dumpxml),
    Command("net-define", "store a network", (FILE, VALIDATE), _define),
    Command("net-undefine", "forget a network's definition", (NETWORK,), _undefine),
    Command("net-create", "start a transient network", (FILE, VALIDATE), _create),
    Command("net-start", "start a network", (NETWORK,), _start),
    Command("net-destroy", "stop a network now", (NETWORK,), _destroy),
    Command("net-autostart", "start a network with the engine", (NETWORK, flag("--disable")), _autostart),
    Command("net-edit", "edit a network's definition", (NETWORK,), _edit),
    Command("net-update", "change one section of a network", (
        NETWORK, arg("command", choices=list(UPDATES)), arg("section", choices=list(get_args(UpdateSection))[1:]),
        arg("xml", help="XML text, or a file"), arg("--parent-index", type=int, default=-1, help="which <ip>"), LIVE, CONFIG,
        flag("--current", help="whichever half is in force")), _update),
    Command("net-uuid", "a network's UUID", (NETWORK,), _uuid),
    Command("net-name", "a network's name", (NETWORK,), _name),
    Command("net-dhcp-leases", "leases of a network", (NETWORK, arg("--mac")), _leases),
    Command("net-port-list", "ports of a network", (NETWORK, flag("--uuid"), flag("--table", help="as always")), _ports),
    Command("net-port-dumpxml", "print a port's XML", (NETWORK, PORT, *XPATH), _port_xml),
    Command("net-port-create", "make a port", (NETWORK, FILE, flag("--validate", help="as always")), _port_create),
    Command("net-port-delete", "remove a port", (NETWORK, PORT), _port_delete),
    Command("net-event", "show events of networks", (
        arg("--network", complete="network"), arg("--event", choices=EVENTS), *HOW), _event),
    Command("domifaddr", "addresses of a guest", (
        GUEST, arg("--interface"), flag("--full", help="names and MACs in every line"),
        arg("--source", choices=list(get_args(AddressSource)), default="lease")), _addresses),
)  # fmt: skip
