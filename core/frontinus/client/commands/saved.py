"""Saved state."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable
from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.api.options import RestoreFlag, SavedXmlFlag, SaveFlag
from frontinus.client.commands.base import GUEST, XPATH, Command, Output, arg, chosen, edit, flag, read
from frontinus.client.progress import watched

RUNNING = flag("--running", help="it runs when it comes back")
PAUSED = flag("--paused", help="it is paused when it comes back")
XML = arg("--xml", complete="file", help="the guest's XML as it shall come back")


def _paused(options: argparse.Namespace) -> bool | None:
    return True if options.paused else False if options.running else None


async def _managed_save(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await watched(engine, "save", "Managedsave", engine.save_with(options.guest, flags=chosen(options, SaveFlag)))
    out.done(f"Guest '{options.guest}' state saved by Frontinus")


async def _remove(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.managed_save_remove(options.guest)
    out.done(f"Removed managedsave image for guest '{options.guest}'")


async def _save(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.xml) if options.xml else None
    await watched(engine, "save", "Save", _saving(engine, options, xml))
    out.done(f"Guest '{options.guest}' saved to {options.file}")


async def _restore(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = read(options.xml) if options.xml else None
    guest = await engine.restore_with(options.file, xml, chosen(options, RestoreFlag))
    out.value(guest)
    out.done(f"Guest '{guest.name}' restored from {options.file}")


async def _show(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.saved_definition(options.file, secure(options)), options)


async def _define(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.redefine_saved(options.file, read(options.xml), _paused(options))
    out.done(f"State file {options.file} updated.")


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    async def define(xml: str) -> None:
        await engine.redefine_saved(options.file, xml, _paused(options))

    await edit(f"Saved image {options.file}", await engine.saved_definition(options.file, ["secure"]), define, out)


def _saving(engine: Engine, options: argparse.Namespace, xml: str | None) -> Awaitable[None]:
    return engine.save_with(options.guest, options.file, xml, chosen(options, SaveFlag))


def secure(options: argparse.Namespace) -> list[SavedXmlFlag]:
    return ["secure"] if options.security_info else []


async def _show_managed(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.managed_definition(options.guest, secure(options)), options)


async def _define_managed(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.redefine_managed(options.guest, read(options.xml), _paused(options))
    out.done(f"Managed save state file of guest '{options.guest}' updated.")


async def _edit_managed(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    async def define(xml: str) -> None:
        await engine.redefine_managed(options.guest, xml, _paused(options))

    before = await engine.managed_definition(options.guest, ["secure"])
    await edit(f"Managed save of guest '{options.guest}'", before, define, out)


def _absolute(text: str) -> str:
    """The engine has another working folder than we."""
    return str(Path(text).absolute())


BYPASS = flag("--bypass-cache", help="past the host's cache")
VERBOSE = flag("--verbose", help="with a bar, as always at a terminal")
SECURITY = flag("--security-info", help="with passwords")
SAVED = arg("file", complete="file", type=_absolute, help="the saved state")

COMMANDS = (
    Command("managedsave", "save a guest; its next start restores it", (GUEST, RUNNING, PAUSED, BYPASS, VERBOSE), _managed_save),
    Command("managedsave-remove", "drop a guest's managed save", (GUEST,), _remove),
    Command("save", "save a guest to a file and stop it", (
        GUEST, SAVED, XML, RUNNING, PAUSED, BYPASS, VERBOSE), _save),
    Command("restore", "bring a guest back from a file", (
        SAVED, XML, RUNNING, PAUSED, BYPASS, flag("--reset-nvram", help="make its UEFI variables anew")), _restore),
    Command("save-image-dumpxml", "print the XML inside a saved state", (SAVED, SECURITY, *XPATH), _show),
    Command(
        "save-image-define",
        "change the XML inside a saved state",
        (SAVED, arg("xml", complete="file"), RUNNING, PAUSED),
        _define,
    ),
    Command("save-image-edit", "edit the XML inside a saved state", (SAVED, RUNNING, PAUSED), _edit),
    Command("managedsave-dumpxml", "print the XML inside a guest's managed save", (GUEST, SECURITY, *XPATH), _show_managed),
    Command("managedsave-define", "change the XML inside a guest's managed save", (
        GUEST, arg("xml", complete="file"), RUNNING, PAUSED), _define_managed),
    Command("managedsave-edit", "edit the XML inside a guest's managed save", (GUEST, RUNNING, PAUSED), _edit_managed),
)  # fmt: skip
