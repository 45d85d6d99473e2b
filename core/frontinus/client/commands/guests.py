"""What guests there are, and what they are."""

from __future__ import annotations

import argparse

from frontinus.api.engine import Engine
from frontinus.api.views import GuestView
from frontinus.client.commands.base import GUEST, Command, Output, arg, flag

SHOWN = {"shutoff": "shut off", "shutdown": "in shutdown", "nostate": "no state", "blocked": "idle"}
"""States in virsh's words where those differ."""


def shown(state: str) -> str:
    return SHOWN.get(state, state)


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    active = None if options.all else not options.inactive
    guests = [g for g in await engine.guests(active) if _wanted(g, options)]
    out.value(guests)
    if options.name or options.uuid:
        for guest in guests:
            out.line(guest.name if options.name else guest.uuid)
        return
    header = ["Id", "Name", "State", *(["Title"] if options.title else [])]
    out.table(header, [[g.id if g.id is not None else "-", g.name, shown(g.state), *([g.title or ""] if options.title else [])]
                       for g in guests])  # fmt: skip


def _wanted(guest: GuestView, options: argparse.Namespace) -> bool:
    return (not options.autostart or guest.autostart) and (not options.with_managed_save or guest.managed_save) and (
        not options.persistent or guest.persistent) and (not options.transient or not guest.persistent)  # fmt: skip


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    guest = await engine.guest(options.guest)
    out.value(guest)
    yes = {True: "yes", False: "no"}
    pairs: list[tuple[str, object]] = [
        ("Id", guest.id if guest.id is not None else "-"), ("Name", guest.name), ("UUID", guest.uuid),
        ("OS Type", guest.os_type), ("State", shown(guest.state)), ("CPU(s)", guest.vcpus),
    ]  # fmt: skip
    if guest.active:
        stats = (await engine.stats([guest.uuid], ["cpu"]))[0]
        if stats.cpu is not None and stats.cpu.time is not None:
            pairs.append(("CPU time", f"{stats.cpu.time / 1e9:.1f}s"))
    pairs += [
        ("Max memory", f"{guest.max_memory // 1024} KiB"), ("Used memory", f"{guest.memory // 1024} KiB"),
        ("Persistent", yes[guest.persistent]), ("Autostart", "enable" if guest.autostart else "disable"),
        ("Managed save", yes[guest.managed_save]), ("Machine", guest.machine),
    ]  # fmt: skip
    if guest.tainted:
        pairs.append(("Tainted", ", ".join(guest.tainted)))
    out.pairs(pairs)


async def _state(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    guest = await engine.guest(options.guest)
    out.value({"state": guest.state, "reason": guest.reason})
    out.line(shown(guest.state) + (f" ({guest.reason})" if options.reason else ""))


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    names = {"inactive": options.inactive, "secure": options.security_info, "migratable": options.migratable}
    out.text(await engine.guest_xml(options.guest, [name for name, on in names.items() if on]))  # type: ignore[misc]


async def _uuid(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.guest(options.guest)).uuid)


async def _name(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.guest(options.guest)).name)


async def _id(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    guest = await engine.guest(options.guest)
    out.value(guest.id)
    out.line(str(guest.id) if guest.id is not None else "-")


COMMANDS = (
    Command("list", "list guests", (
        flag("--all", help="active and inactive"), flag("--inactive", help="only the inactive"),
        flag("--name", help="names only"), flag("--uuid", help="UUIDs only"), flag("--title", help="with titles"),
        flag("--persistent"), flag("--transient"), flag("--autostart"), flag("--with-managed-save")), _list),
    Command("dominfo", "show what a guest is", (GUEST,), _info),
    Command("domstate", "show a guest's state", (GUEST, flag("--reason", help="and why")), _state),
    Command("dumpxml", "print a guest's XML", (
        GUEST, flag("--inactive", help="the definition of a running guest"),
        flag("--security-info", help="with passwords"), flag("--migratable")), _dumpxml),
    Command("domuuid", "print a guest's UUID", (GUEST,), _uuid),
    Command("domname", "print a guest's name", (GUEST,), _name),
    Command("domid", "print a guest's id", (arg("guest", complete="guest"),), _id),
)  # fmt: skip
