"""Snapshots, in virsh's words."""

from __future__ import annotations

import argparse

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.api.snapshots import SnapshotView
from frontinus.client import lineage, snapshotxml
from frontinus.client.commands.base import GUEST, XPATH, Command, Output, arg, flag, in_editor, read, switches
from frontinus.client.progress import watched

MAKING = (
    "redefine",
    "current",
    "no-metadata",
    "halt",
    "disk-only",
    "reuse-external",
    "quiesce",
    "atomic",
    "live",
    "validate",
)


async def _made(engine: Engine, options: argparse.Namespace, xml: str) -> SnapshotView:
    call = engine.create_snapshot(options.guest, xml, switches(options, *MAKING))
    return await watched(engine, "snapshot", "Domain snapshot", call)


async def _create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.file) if options.file else "<domainsnapshot/>"
    view = await _made(engine, options, xml)
    out.value(view)
    out.done(f"Domain snapshot {view.name} created" + (f" from '{options.file}'" if options.file else ""))


async def _create_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = snapshotxml.document(options, "snapshot")
    if options.print_xml:
        out.text(xml)
        return
    view = await _made(engine, options, xml)
    out.value(view)
    out.done(f"Domain snapshot {view.name} created")


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    start = (await engine.current_snapshot(options.guest)).name if options.current else options.start
    views = lineage.of_kind(lineage.chosen(await engine.snapshots(options.guest), options, start), options)
    lineage.show(views, options, start, out, {"State": lambda view: view.state})


async def _name(engine: Engine, options: argparse.Namespace) -> str:
    """The snapshot that is meant: by name, or the current one."""
    if options.snapshot:
        name: str = options.snapshot
        return name
    return (await engine.current_snapshot(options.guest)).name


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    view = await engine.snapshot(options.guest, await _name(engine, options))
    guest = await engine.guest(options.guest)
    below = lineage.below(await engine.snapshots(options.guest), view.name, deep=True)
    out.value(view)
    out.pairs([
        ("Name", view.name), ("Domain", guest.name), ("Current", "yes" if view.current else "no"), ("State", view.state),
        ("Location", "external" if "external" in (view.disks, view.memory) else "internal"),
        ("Parent", view.parent or "-"), ("Children", view.children), ("Descendants", len(below)), ("Metadata", "yes"),
    ])  # fmt: skip


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.snapshot_xml(options.guest, options.snapshot, options.security_info), options)


async def _current(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.snapshot:
        xml = await engine.snapshot_xml(options.guest, options.snapshot, True)
        await engine.create_snapshot(options.guest, xml, ["redefine", "current"])
        out.done(f"Snapshot {options.snapshot} set as current")
        return
    view = await engine.current_snapshot(options.guest)
    out.text(view.name if options.name else await engine.snapshot_xml(options.guest, view.name, options.security_info))


async def _parent(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    view = await engine.snapshot(options.guest, await _name(engine, options))
    return snapshotxml.say_parent(out, view)


async def _revert(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    name = await _name(engine, options)
    flags = switches(options, "running", "paused", "force", "reset-nvram")
    call = engine.revert_snapshot(options.guest, name, flags)
    await watched(engine, "snapshot-revert", "Going back", call)
    out.done(f"Domain snapshot {name} reverted")


async def _delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    name = await _name(engine, options)
    call = engine.delete_snapshot(options.guest, name, snapshotxml.deleting(options))  # type: ignore[arg-type]
    await watched(engine, "snapshot-delete", "Merging", call)
    out.done(f"Domain snapshot {name} {'children ' if options.children_only else ''}deleted")


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    name = await _name(engine, options)
    before = await engine.snapshot_xml(options.guest, name, True)
    after = in_editor(before)
    if after == before:
        out.done(f"Snapshot {name} not changed.")
        return
    new = snapshotxml.name_of(after)
    if new != name and not (options.rename or options.clone):
        raise InvalidValue(f"the name changed from '{name}' to '{new}': that takes --rename or --clone", field="name")
    await engine.create_snapshot(options.guest, after, ["redefine", *(["current"] if options.current else [])])  # type: ignore[list-item]
    if new != name and options.rename:
        await engine.delete_snapshot(options.guest, name, ["metadata-only"])
    out.done(f"Snapshot {name} {'cloned as ' + new if new != name and options.clone else 'edited.'}")


FILE = arg("file", nargs="?", complete="file", help="an XML file, - for standard input")
SNAPSHOT = arg("snapshot", help="the snapshot's name")
OR_CURRENT = (arg("snapshot", nargs="?", help="the snapshot's name"), flag("--current", help="the current snapshot"))
KINDS = tuple(flag(f"--{name}") for name in MAKING[2:])
COMMANDS = (
    Command("snapshot-create", "make a snapshot from XML", (
        GUEST, FILE, flag("--redefine", help="it was made before"), flag("--current"), *KINDS), _create),
    Command("snapshot-create-as", "make a snapshot from words", (
        GUEST, *snapshotxml.NAMING, arg("--memspec", help="[file=]PATH: memory too, into a file"), *KINDS), _create_as),
    Command("snapshot-list", "list snapshots", (
        GUEST, *lineage.ANCESTRY, flag("--current", help="only children of the current one"),
        *(flag(f"--{name.replace('_', '-')}") for group in lineage.KINDS for name in group)), _list),
    Command("snapshot-info", "tell about a snapshot", (GUEST, *OR_CURRENT), _info),
    Command("snapshot-dumpxml", "print a snapshot's XML", (
        GUEST, SNAPSHOT, flag("--security-info"), *XPATH), _dumpxml),
    Command("snapshot-current", "print the current snapshot's XML, or make one the current", (
        GUEST, arg("snapshot", nargs="?"), flag("--name"), flag("--security-info")), _current),
    Command("snapshot-parent", "print the name of a snapshot's parent", (GUEST, *OR_CURRENT), _parent),
    Command("snapshot-revert", "go back to a snapshot", (
        GUEST, *OR_CURRENT, flag("--running"), flag("--paused"), flag("--force"), flag("--reset-nvram")), _revert),
    Command("snapshot-delete", "delete a snapshot, merging what lies over it", (
        GUEST, *OR_CURRENT, *snapshotxml.DELETING), _delete),
    Command("snapshot-edit", "edit a snapshot's XML", (
        GUEST, *OR_CURRENT, flag("--rename", help="a new name is a new name"),
        flag("--clone", help="a new name is a copy")), _edit),
)  # fmt: skip
