"""What guests there are, and what they are."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence

from frontinus.api.engine import Engine
from frontinus.api.views import GuestView
from frontinus.client.commands.base import GUEST, XPATH, Command, Output, arg, flag

SHOWN = {"shutoff": "shut off", "shutdown": "in shutdown", "nostate": "no state", "blocked": "idle"}
"""States in virsh's words where those differ."""


def shown(state: str) -> str:
    return SHOWN.get(state, state)


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    active = None if options.all else not options.inactive
    guests = [g for g in await engine.guests(active) if _wanted(g, options) and await _has(engine, g, options)]
    out.value(guests)
    columns = [show for name, show in COLUMNS.items() if getattr(options, name)]
    if columns and not options.table:
        for guest in guests:
            out.line(" ".join(show(guest) for show in columns))
        return
    header = ["Id", "Name", "State", *(["Title"] if options.title else [])]
    out.table(header, [[g.id if g.id is not None else "-", g.name, _state_of(g, options),
                        *([g.title or ""] if options.title else [])] for g in guests])  # fmt: skip


COLUMNS: Mapping[str, Callable[[GuestView], str]] = {
    "id": lambda guest: str(guest.id) if guest.id is not None else "-",
    "uuid": lambda guest: guest.uuid,
    "name": lambda guest: guest.name,
}
"""Options of `list` that print bare values instead of the table, in the order that they are printed in."""
OTHER = frozenset({"running", "paused", "shutoff"})
CHOICES: Sequence[Mapping[str, Callable[[GuestView], bool]]] = (
    {"persistent": lambda g: g.persistent, "transient": lambda g: not g.persistent},
    {"autostart": lambda g: g.autostart, "no_autostart": lambda g: not g.autostart},
    {"with_managed_save": lambda g: g.managed_save, "without_managed_save": lambda g: not g.managed_save},
    {"state_running": lambda g: g.state == "running", "state_paused": lambda g: g.state == "paused",
     "state_shutoff": lambda g: g.state == "shutoff", "state_other": lambda g: g.state not in OTHER},
)  # fmt: skip
"""Options of `list` that choose: within a group any may hold, and every group that is asked for has to."""


def _wanted(guest: GuestView, options: argparse.Namespace) -> bool:
    asked = [[test for name, test in group.items() if getattr(options, name)] for group in CHOICES]
    return all(not tests or any(test(guest) for test in tests) for tests in asked)


HOLDS: Mapping[str, Callable[[Engine, str], Awaitable[Sequence[object]]]] = {
    "snapshot": lambda engine, guest: engine.snapshots(guest),
    "checkpoint": lambda engine, guest: engine.checkpoints(guest),
}
"""What guests are chosen by that `list` has to ask for."""


def _state_of(guest: GuestView, options: argparse.Namespace) -> str:
    return "saved" if options.managed_save and guest.managed_save else shown(guest.state)


async def _has(engine: Engine, guest: GuestView, options: argparse.Namespace) -> bool:
    for what, ask in HOLDS.items():
        with_it, without = getattr(options, f"with_{what}"), getattr(options, f"without_{what}")
        if with_it is not without and bool(await ask(engine, guest.uuid)) is not with_it:
            return False
    return True


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
    chosen = [name for name, on in names.items() if on]
    out.xml(await engine.guest_xml(options.guest, chosen), options)  # type: ignore[arg-type]


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
        flag("--name", help="names only"), flag("--uuid", help="UUIDs only"), flag("--id", help="ids only"),
        flag("--table", help="the table all the same"), flag("--title", help="with titles"),
        flag("--managed-save", help="say 'saved' of those that have a managed save"),
        *(flag(f"--{word}-{what}") for what in HOLDS for word in ("with", "without")),
        *(flag("--" + name.replace("_", "-")) for group in CHOICES for name in group)), _list),
    Command("dominfo", "show what a guest is", (GUEST,), _info),
    Command("domstate", "show a guest's state", (GUEST, flag("--reason", help="and why")), _state),
    Command("dumpxml", "print a guest's XML", (
        GUEST, flag("--inactive", help="the definition of a running guest"),
        flag("--security-info", help="with passwords"), flag("--migratable"), *XPATH), _dumpxml),
    Command("domuuid", "print a guest's UUID", (GUEST,), _uuid),
    Command("domname", "print a guest's name", (GUEST,), _name),
    Command("domid", "print a guest's id", (arg("guest", complete="guest"),), _id),
)  # fmt: skip
