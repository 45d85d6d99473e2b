"""Saved state."""

from __future__ import annotations

import argparse
from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.client.commands.base import GUEST, XPATH, Command, Output, arg, edit, flag, read
from frontinus.client.progress import watched

RUNNING = flag("--running", help="it runs when it comes back")
PAUSED = flag("--paused", help="it is paused when it comes back")
XML = arg("--xml", complete="file", help="the guest's XML as it shall come back")


def _paused(options: argparse.Namespace) -> bool | None:
    return True if options.paused else False if options.running else None


async def _managed_save(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await watched(engine, "save", "Managedsave", engine.managed_save(options.guest, _paused(options)))
    out.done(f"Guest '{options.guest}' state saved by Frontinus")


async def _remove(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.managed_save_remove(options.guest)
    out.done(f"Removed managedsave image for guest '{options.guest}'")


async def _save(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.xml) if options.xml else None
    await watched(engine, "save", "Save", engine.save(options.guest, options.file, xml, _paused(options)))
    out.done(f"Guest '{options.guest}' saved to {options.file}")


async def _restore(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.xml) if options.xml else None
    guest = await engine.restore(options.file, xml, _paused(options))
    out.value(guest)
    out.done(f"Guest '{guest.name}' restored from {options.file}")


async def _show(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.saved_xml(options.file), options)


async def _define(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.redefine_saved(options.file, read(options.xml), _paused(options))
    out.done(f"State file {options.file} updated.")


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    async def define(xml: str) -> None:
        await engine.redefine_saved(options.file, xml, _paused(options))

    await edit(f"Saved image {options.file}", await engine.saved_xml(options.file), define, out)


def _absolute(text: str) -> str:
    """The engine has another working folder than we."""
    return str(Path(text).absolute())


SAVED = arg("file", complete="file", type=_absolute, help="the saved state")

COMMANDS = (
    Command("managedsave", "save a guest; its next start restores it", (GUEST, RUNNING, PAUSED), _managed_save),
    Command("managedsave-remove", "drop a guest's managed save", (GUEST,), _remove),
    Command("save", "save a guest to a file and stop it", (GUEST, SAVED, XML, RUNNING, PAUSED), _save),
    Command("restore", "bring a guest back from a file", (SAVED, XML, RUNNING, PAUSED), _restore),
    Command("save-image-dumpxml", "print the XML inside a saved state", (SAVED, *XPATH), _show),
    Command(
        "save-image-define",
        "change the XML inside a saved state",
        (SAVED, arg("xml", complete="file"), RUNNING, PAUSED),
        _define,
    ),
    Command("save-image-edit", "edit the XML inside a saved state", (SAVED, RUNNING, PAUSED), _edit),
)
