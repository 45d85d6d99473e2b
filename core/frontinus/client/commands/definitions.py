"""Stored definitions."""

from __future__ import annotations

import argparse

from frontinus.api.engine import Engine, MetadataKind
from frontinus.api.errors import NoSuchMetadata
from frontinus.client.commands.base import (
    FILE,
    GUEST,
    SCOPE,
    Command,
    Output,
    arg,
    autostart,
    edit,
    flag,
    in_editor,
    read,
)


async def _define(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    guest = await engine.define(read(options.file), validate=options.validate)
    out.value(guest)
    out.done(f"Guest '{guest.name}' defined from {options.file}")


async def _undefine(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client import leavings

    nvram = True if options.nvram else False if options.keep_nvram else None
    wanted = None if options.remove_all_storage else options.storage.split(",") if options.storage else []
    volumes = await leavings.volumes(engine, options.guest, wanted, out) if wanted != [] else []
    if options.checkpoints_metadata:
        await leavings.forget_checkpoints(engine, options.guest)
    if options.snapshots_metadata:
        await leavings.forget_snapshots(engine, options.guest)
    await engine.undefine(options.guest, managed_save=options.managed_save, nvram=nvram)
    out.done(f"Guest '{options.guest}' has been undefined")
    await leavings.remove(engine, volumes, options.wipe_storage, out)


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    async def define(xml: str) -> None:
        await engine.define(xml, validate=not options.skip_validate)

    before = await engine.guest_xml(options.guest, ["inactive", "secure"])
    await edit(f"Guest '{options.guest}'", before, define, out)


async def _autostart(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await autostart(f"Guest '{options.guest}'", options, lambda on: engine.set_autostart(options.guest, on), out)


async def _rename(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.value(await engine.rename(options.guest, options.name))
    out.done(f"Guest '{options.guest}' renamed to '{options.name}'")


async def _desc(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    kind: MetadataKind = "title" if options.title else "description"
    text = " ".join(options.text)
    if options.edit:
        text = in_editor(text or await _present(engine, options, kind, None)).rstrip("\n")
    if text or options.edit:
        await engine.set_metadata(options.guest, kind, text, live=options.live, config=options.config)
        out.done(f"Guest {kind} updated")
    else:
        out.text(await _present(engine, options, kind, None) or f"No {kind} for domain: {options.guest}")


async def _present(engine: Engine, options: argparse.Namespace, kind: MetadataKind, uri: str | None) -> str:
    """What is there to be edited: nothing, if nothing is."""
    try:
        return await engine.metadata(options.guest, kind, uri, inactive=options.config)
    except NoSuchMetadata:
        return ""


async def _metadata(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.set is not None or options.remove or options.edit:
        value = None if options.remove else options.set
        if options.edit:
            value = in_editor(await _present(engine, options, "element", options.uri)).strip() or None
        await engine.set_metadata(
            options.guest, "element", value, options.key, options.uri, options.live, options.config
        )
        out.done("Metadata modified" if value else "Metadata removed")
    else:
        out.text(await engine.metadata(options.guest, "element", options.uri, inactive=options.config))


async def _native(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    import shlex

    argv = await engine.argv(read(options.xml) if options.xml else await engine.guest_xml(options.domain, ["inactive"]))
    out.value(argv)
    out.line(shlex.join(argv))


COMMANDS = (
    Command("define", "store a guest from XML", (FILE, flag("--validate", help="refuse what is not known")), _define),
    Command("undefine", "forget a guest", (
        GUEST, flag("--managed-save", help="its managed save too"), flag("--nvram", help="its variable store too"),
        flag("--keep-nvram", help="but keep its variable store"), flag("--snapshots-metadata", help="forget its snapshots too"),
        flag("--checkpoints-metadata", help="forget its checkpoints too"),
        flag("--remove-all-storage", help="remove its disks that are volumes of a pool"),
        arg("--storage", help="remove these disks: targets or paths, by commas"),
        flag("--wipe-storage", help="wipe what is removed")), _undefine),
    Command("edit", "change a guest's XML in an editor", (GUEST, flag("--skip-validate")), _edit),
    Command("autostart", "start a guest with the engine", (GUEST, flag("--disable")), _autostart),
    Command("domrename", "rename an inactive guest", (GUEST, arg("name")), _rename),
    Command("desc", "show or set a guest's description or title", (
        GUEST, flag("--title", help="the title instead"), flag("--edit", help="in an editor"), *SCOPE,
        arg("text", nargs="*")), _desc),
    Command("metadata", "show or set an application's metadata", (
        GUEST, arg("uri"), arg("--key"), arg("--set"), flag("--remove"), flag("--edit", help="in an editor"), *SCOPE), _metadata),
    Command("domxml-to-native", "print the command line of a guest or of XML", (
        arg("format", nargs="?", choices=["qemu-argv"], default="qemu-argv"), arg("--domain", complete="guest"),
        arg("--xml", complete="file")), _native),
)  # fmt: skip
