"""Checkpoints and backups, in virsh's words."""

from __future__ import annotations

import argparse

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.client import lineage, snapshotxml
from frontinus.client.commands.base import GUEST, XPATH, Command, Output, arg, edit, flag, read, switches


async def _create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.file) if options.file else "<domaincheckpoint/>"
    flags = switches(options, "redefine", "redefine-validate", "quiesce", "validate")
    view = await engine.create_checkpoint(options.guest, xml, flags)
    out.value(view)
    out.done(f"Domain checkpoint {view.name} created" + (f" from '{options.file}'" if options.file else ""))


async def _create_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = snapshotxml.document(options, "checkpoint")
    if options.print_xml:
        out.text(xml)
        return
    view = await engine.create_checkpoint(options.guest, xml, switches(options, "quiesce"))
    out.value(view)
    out.done(f"Domain checkpoint {view.name} created")


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    views = lineage.chosen(await engine.checkpoints(options.guest), options, options.start)
    lineage.show(views, options, options.start, out, {})


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    view = await engine.checkpoint(options.guest, options.checkpoint)
    out.value(view)
    out.pairs([("Name", view.name), ("Domain", (await engine.guest(options.guest)).name),
               ("Current", "yes" if view.current else "no"), ("Parent", view.parent or "-"),
               ("Children", view.children)])  # fmt: skip


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.checkpoint_xml(options.guest, options.checkpoint, options.size, options.no_domain), options)


async def _parent(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    return snapshotxml.say_parent(out, await engine.checkpoint(options.guest, options.checkpoint))


async def _delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.delete_checkpoint(options.guest, options.checkpoint, snapshotxml.deleting(options))  # type: ignore[arg-type]
    out.done(f"Domain checkpoint {options.checkpoint} {'children ' if options.children_only else ''}deleted")


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    async def redefine(xml: str) -> None:
        if (name := snapshotxml.name_of(xml)) != options.checkpoint:
            raise InvalidValue(f"the name changed from '{options.checkpoint}' to '{name}'", field="name")
        await engine.create_checkpoint(options.guest, xml, ["redefine"])

    before = await engine.checkpoint_xml(options.guest, options.checkpoint)
    await edit(f"Checkpoint {options.checkpoint}", before, redefine, out)


# --- backups


async def _begin(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    xml = read(options.backupxml) if options.backupxml else "<domainbackup/>"
    checkpoint = read(options.checkpointxml) if options.checkpointxml else None
    await engine.begin_backup(options.guest, xml, checkpoint, options.reuse_external)
    out.done("Backup started")
    if not options.wait:
        return 0
    from frontinus.client.progress import watch_job

    return await watch_job(engine, options.guest, "backup", out)


async def _dump_backup(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.backup_xml(options.guest), options)


FILE = arg("file", nargs="?", complete="file", help="an XML file, - for standard input")
CHECKPOINT = arg("checkpoint", help="the checkpoint's name")

COMMANDS = (
    Command("checkpoint-create", "make a checkpoint from XML", (
        GUEST, FILE, flag("--redefine"),
        flag("--redefine-validate", help="its bitmaps must be in the images"), flag("--quiesce"), flag("--validate")), _create),
    Command("checkpoint-create-as", "make a checkpoint from words", (GUEST, *snapshotxml.NAMING, flag("--quiesce")), _create_as),
    Command("checkpoint-list", "list checkpoints", (GUEST, *lineage.ANCESTRY), _list),
    Command("checkpoint-info", "tell about a checkpoint", (GUEST, CHECKPOINT), _info),
    Command("checkpoint-dumpxml", "print a checkpoint's XML", (
        GUEST, CHECKPOINT, flag("--size", help="with how much has changed since"), flag("--no-domain"), *XPATH),
        _dumpxml),
    Command("checkpoint-parent", "print the name of a checkpoint's parent", (GUEST, CHECKPOINT), _parent),
    Command("checkpoint-edit", "edit a checkpoint's XML", (GUEST, CHECKPOINT), _edit),
    Command("checkpoint-delete", "delete a checkpoint", (GUEST, CHECKPOINT, *snapshotxml.DELETING), _delete),
    Command("backup-begin", "start a backup", (
        GUEST, arg("backupxml", nargs="?", complete="file"), arg("checkpointxml", nargs="?", complete="file"),
        flag("--reuse-external"), flag("--wait", help="until it has ended, with a bar")), _begin),
    Command("backup-dumpxml", "print the XML of the backup under way", (GUEST, *XPATH), _dump_backup),
)  # fmt: skip
