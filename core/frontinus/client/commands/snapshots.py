"""Snapshots, checkpoints and backups, in virsh's words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.api.snapshots import CheckpointView, SnapshotView
from frontinus.client.commands.base import GUEST, Command, Output, arg, flag, in_editor, read
from frontinus.client.progress import watched


def _flags(options: argparse.Namespace, *names: str) -> list[str]:
    """Those of the switches that were given."""
    return [name for name in names if getattr(options, name.replace("-", "_"), False)]


def _spec(text: str) -> dict[str, str]:
    """virsh's "vda,snapshot=external,file=/x": the name first, then words with values. A comma is written twice."""
    words = text.replace(",,", "\0").split(",")
    pairs = [word.replace("\0", ",").partition("=") for word in words]
    return {"name": pairs[0][0]} | {name: value for name, _, value in pairs[1:]}


def _disk(spec: dict[str, str], kind: str) -> str:
    """One <disk> of a document. Raises InvalidValue for a word that it has not."""
    known = {"name", "snapshot", "checkpoint", "bitmap", "driver", "file", "stype"}
    if unknown := set(spec) - known:
        raise InvalidValue(f"--diskspec: unknown word '{unknown.pop()}'", field="diskspec")
    block = spec.get("stype") == "block"
    attributes = {"name": spec["name"], "snapshot": spec.get("snapshot"), "checkpoint": spec.get("checkpoint"),
                  "bitmap": spec.get("bitmap"), "type": "block" if block else None}  # fmt: skip
    inside = f"<driver type={quoteattr(spec['driver'])}/>" if "driver" in spec else ""
    if "file" in spec:
        inside += f"<source {'dev' if block else 'file'}={quoteattr(spec['file'])}/>"
    said = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items() if value is not None)
    return f"<disk{said}>{inside}</disk>"


def _document(options: argparse.Namespace, kind: str) -> str:
    name = f"<name>{escape(options.name)}</name>" if options.name else ""
    text = f"<description>{escape(options.description)}</description>" if options.description else ""
    disks = "".join(_disk(_spec(spec), kind) for spec in options.diskspec or ())
    memory = ""
    if getattr(options, "memspec", None):
        spec = _spec(
            f"memory,file={options.memspec}" if options.memspec.startswith("/") else f"memory,{options.memspec}"
        )
        memory = (
            "<memory" + "".join(f" {n}={quoteattr(v)}" for n, v in spec.items() if n in ("file", "snapshot")) + "/>"
        )
    return f"<domain{kind}>{name}{text}{memory}{f'<disks>{disks}</disks>' if disks else ''}</domain{kind}>"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _tree(out: Output, views: Sequence[SnapshotView | CheckpointView]) -> None:
    """Names as virsh draws a tree."""
    known = {view.name for view in views}

    def draw(view: SnapshotView | CheckpointView, indent: str) -> None:
        children = [one for one in views if one.parent == view.name]
        for number, child in enumerate(children):
            out.line(f"{indent}|")
            out.line(f"{indent}+- {child.name}")
            draw(child, indent + ("|   " if number + 1 < len(children) else "    "))

    for root in views:
        if root.parent not in known:
            out.line(root.name)
            draw(root, "  ")
            out.line()


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
    call = engine.create_snapshot(options.guest, xml, _flags(options, *MAKING))  # type: ignore[arg-type]
    return await watched(engine, "snapshot", "Domain snapshot", call)


async def _create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.file) if options.file else "<domainsnapshot/>"
    view = await _made(engine, options, xml)
    out.value(view)
    out.line(f"Domain snapshot {view.name} created" + (f" from '{options.file}'" if options.file else ""))


async def _create_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = _document(options, "snapshot")
    if options.print_xml:
        out.text(xml)
        return
    view = await _made(engine, options, xml)
    out.value(view)
    out.line(f"Domain snapshot {view.name} created")


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    views = await engine.snapshots(options.guest)
    if options.roots:
        names = {view.name for view in views}
        views = [view for view in views if view.parent not in names]
    if options.leaves:
        views = [view for view in views if not view.children]
    out.value(views)
    if options.tree:
        _tree(out, views)
    elif options.name:
        for view in views:
            out.line(view.name)
    else:
        header = ("Name", "Creation Time", "State", *(("Parent",) if options.parent else ()))
        out.table(
            header, [(v.name, _time(v.created), v.state, *((v.parent or "",) if options.parent else ())) for v in views]
        )


async def _name(engine: Engine, options: argparse.Namespace) -> str:
    """The snapshot that is meant: by name, or the current one."""
    if options.snapshot:
        name: str = options.snapshot
        return name
    return (await engine.current_snapshot(options.guest)).name


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    view = await engine.snapshot(options.guest, await _name(engine, options))
    guest = await engine.guest(options.guest)
    views = await engine.snapshots(options.guest)
    below = [view.name]
    for one in views:
        if one.parent in below:
            below.append(one.name)
    out.value(view)
    out.pairs([
        ("Name", view.name), ("Domain", guest.name), ("Current", "yes" if view.current else "no"), ("State", view.state),
        ("Location", "external" if "external" in (view.disks, view.memory) else "internal"),
        ("Parent", view.parent or "-"), ("Children", view.children), ("Descendants", len(below) - 1), ("Metadata", "yes"),
    ])  # fmt: skip


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.snapshot_xml(options.guest, options.snapshot, options.security_info))


async def _current(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.snapshot:
        xml = await engine.snapshot_xml(options.guest, options.snapshot, True)
        await engine.create_snapshot(options.guest, xml, ["redefine", "current"])
        out.line(f"Snapshot {options.snapshot} set as current")
        return
    view = await engine.current_snapshot(options.guest)
    out.text(view.name if options.name else await engine.snapshot_xml(options.guest, view.name))


async def _parent(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    view = await engine.snapshot(options.guest, await _name(engine, options))
    return _say_parent(out, view)


def _say_parent(out: Output, view: SnapshotView | CheckpointView) -> int:
    out.value(view.parent)
    out.line(view.parent or f"'{view.name}' has no parent")
    return 0 if view.parent else 1


async def _revert(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    name = await _name(engine, options)
    flags = _flags(options, "running", "paused", "force", "reset-nvram")
    call = engine.revert_snapshot(options.guest, name, flags)  # type: ignore[arg-type]
    await watched(engine, "snapshot-revert", "Going back", call)
    out.line(f"Domain snapshot {name} reverted")


async def _delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    name = await _name(engine, options)
    call = engine.delete_snapshot(options.guest, name, _deleting(options))  # type: ignore[arg-type]
    await watched(engine, "snapshot-delete", "Merging", call)
    out.line(f"Domain snapshot {name} {'children ' if options.children_only else ''}deleted")


def _deleting(options: argparse.Namespace) -> list[str]:
    return [*_flags(options, "children", "children-only"), *(["metadata-only"] if options.metadata else [])]


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    name = await _name(engine, options)
    before = await engine.snapshot_xml(options.guest, name, True)

    after = in_editor(before)
    if after == before:
        out.line(f"Snapshot {name} not changed.")
        return
    await engine.create_snapshot(options.guest, after, ["redefine", *(["current"] if options.current else [])])  # type: ignore[list-item]
    out.line(f"Snapshot {name} edited.")


# --- checkpoints


async def _checkpoint_create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.file) if options.file else "<domaincheckpoint/>"
    view = await engine.create_checkpoint(options.guest, xml, _flags(options, "redefine", "quiesce", "validate"))  # type: ignore[arg-type]
    out.value(view)
    out.line(f"Domain checkpoint {view.name} created" + (f" from '{options.file}'" if options.file else ""))


async def _checkpoint_create_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = _document(options, "checkpoint")
    if options.print_xml:
        out.text(xml)
        return
    view = await engine.create_checkpoint(options.guest, xml, _flags(options, "quiesce"))  # type: ignore[arg-type]
    out.value(view)
    out.line(f"Domain checkpoint {view.name} created")


async def _checkpoint_list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    views = await engine.checkpoints(options.guest)
    out.value(views)
    if options.tree:
        _tree(out, views)
    elif options.name:
        for view in views:
            out.line(view.name)
    else:
        out.table(("Name", "Creation Time"), [(view.name, _time(view.created)) for view in views])


async def _checkpoint_info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    view = await engine.checkpoint(options.guest, options.checkpoint)
    out.value(view)
    out.pairs([("Name", view.name), ("Domain", (await engine.guest(options.guest)).name),
               ("Current", "yes" if view.current else "no"), ("Parent", view.parent or "-"),
               ("Children", view.children)])  # fmt: skip


async def _checkpoint_dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.checkpoint_xml(options.guest, options.checkpoint, options.size, options.no_domain))


async def _checkpoint_parent(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    return _say_parent(out, await engine.checkpoint(options.guest, options.checkpoint))


async def _checkpoint_delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.delete_checkpoint(options.guest, options.checkpoint, _deleting(options))  # type: ignore[arg-type]
    out.line(f"Domain checkpoint {options.checkpoint} {'children ' if options.children_only else ''}deleted")


# --- backups


async def _backup_begin(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    xml = read(options.backupxml) if options.backupxml else "<domainbackup/>"
    checkpoint = read(options.checkpointxml) if options.checkpointxml else None
    await engine.begin_backup(options.guest, xml, checkpoint, options.reuse_external)
    out.line("Backup started")
    if not options.wait:
        return 0
    from frontinus.client.watching import watch_job

    return await watch_job(engine, options.guest, "backup", out)


async def _backup_dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.backup_xml(options.guest))


FILE = arg("file", nargs="?", complete="file", help="an XML file, - for standard input")
SNAPSHOT = arg("snapshot", help="the snapshot's name")
OR_CURRENT = (arg("snapshot", nargs="?", help="the snapshot's name"), flag("--current", help="the current snapshot"))
CHECKPOINT = arg("checkpoint", help="the checkpoint's name")
KINDS = tuple(flag(f"--{name}") for name in MAKING[2:])
NAMING = (arg("name", nargs="?"), arg("description", nargs="?"), flag("--print-xml", help="show the document, do nothing"),
          arg("--diskspec", action="append", help="TARGET,word=value..."))  # fmt: skip
LISTING = (flag("--tree"), flag("--name", help="names alone"))
DELETING = (flag("--children"), flag("--children-only"), flag("--metadata", help="only what is known of it"))

COMMANDS = (
    Command("snapshot-create", "make a snapshot from XML", (
        GUEST, FILE, flag("--redefine", help="it was made before"), flag("--current"), *KINDS), _create),
    Command("snapshot-create-as", "make a snapshot from words", (
        GUEST, *NAMING, arg("--memspec", help="[file=]PATH: memory too, into a file"), *KINDS), _create_as),
    Command("snapshot-list", "list snapshots", (
        GUEST, *LISTING, flag("--parent"), flag("--roots"), flag("--leaves")), _list),
    Command("snapshot-info", "tell about a snapshot", (GUEST, *OR_CURRENT), _info),
    Command("snapshot-dumpxml", "print a snapshot's XML", (GUEST, SNAPSHOT, flag("--security-info")), _dumpxml),
    Command("snapshot-current", "print the current snapshot's XML, or make one the current", (
        GUEST, arg("snapshot", nargs="?"), flag("--name")), _current),
    Command("snapshot-parent", "print the name of a snapshot's parent", (GUEST, *OR_CURRENT), _parent),
    Command("snapshot-revert", "go back to a snapshot", (
        GUEST, *OR_CURRENT, flag("--running"), flag("--paused"), flag("--force"), flag("--reset-nvram")), _revert),
    Command("snapshot-delete", "delete a snapshot, merging what lies over it", (GUEST, *OR_CURRENT, *DELETING), _delete),
    Command("snapshot-edit", "edit a snapshot's XML", (GUEST, *OR_CURRENT), _edit),
    Command("checkpoint-create", "make a checkpoint from XML", (
        GUEST, FILE, flag("--redefine"), flag("--quiesce"), flag("--validate")), _checkpoint_create),
    Command("checkpoint-create-as", "make a checkpoint from words", (GUEST, *NAMING, flag("--quiesce")), _checkpoint_create_as),
    Command("checkpoint-list", "list checkpoints", (GUEST, *LISTING), _checkpoint_list),
    Command("checkpoint-info", "tell about a checkpoint", (GUEST, CHECKPOINT), _checkpoint_info),
    Command("checkpoint-dumpxml", "print a checkpoint's XML", (
        GUEST, CHECKPOINT, flag("--size", help="with how much has changed since"), flag("--no-domain")), _checkpoint_dumpxml),
    Command("checkpoint-parent", "print the name of a checkpoint's parent", (GUEST, CHECKPOINT), _checkpoint_parent),
    Command("checkpoint-delete", "delete a checkpoint", (GUEST, CHECKPOINT, *DELETING), _checkpoint_delete),
    Command("backup-begin", "start a backup", (
        GUEST, arg("backupxml", nargs="?", complete="file"), arg("checkpointxml", nargs="?", complete="file"),
        flag("--reuse-external"), flag("--wait", help="until it has ended, with a bar")), _backup_begin),
    Command("backup-dumpxml", "print the XML of the backup under way", (GUEST,), _backup_dumpxml),
)  # fmt: skip
