"""Start, stop and all between."""

from __future__ import annotations

import argparse
from typing import get_args

from frontinus.api.engine import Engine
from frontinus.api.files import DescriptorFlag
from frontinus.api.options import CreateFlag, LifecycleAction, LifecycleKind, StartFlag
from frontinus.client.commands.base import (
    FILE,
    GUEST,
    SCOPE,
    Command,
    Output,
    Run,
    arg,
    chosen,
    descriptors,
    flag,
    given,
    read,
)


def _simple(method: str, done: str) -> Run:
    """A command that calls a method with the guest and says that it is done."""

    async def run(engine: Engine, options: argparse.Namespace, out: Output) -> None:
        await getattr(engine, method)(options.guest)
        out.done(f"Guest '{options.guest}' {done}")

    return run


async def _start(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    flags = chosen(options, StartFlag)
    if options.pass_fds:
        guest = await engine.start_with_files(options.guest, given(options.pass_fds), flags)
    else:
        guest = await engine.start_with(options.guest, flags)
    out.value(guest)
    out.done(f"Guest '{guest.name}' started")
    await _console(engine, options, guest.name)


async def _console(engine: Engine, options: argparse.Namespace, name: str) -> None:
    if options.console:
        from frontinus.client.console import attach

        await attach(engine, name, None, force=False)


async def _create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml, flags = read(options.file), chosen(options, CreateFlag)
    if options.pass_fds:
        guest = await engine.create_with_files(xml, given(options.pass_fds), flags)
    else:
        guest = await engine.create_with(xml, flags)
    out.value(guest)
    out.done(f"Guest '{guest.name}' created from {options.file}")
    await _console(engine, options, guest.name)


async def _associate(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    said: dict[DescriptorFlag, bool] = {
        "writable": options.seclabel_writable,
        "restore-label": options.seclabel_restore,
    }
    flags = [name for name, on in said.items() if on]
    await engine.associate_descriptors(options.guest, options.name, given(options.fds), flags)


async def _shutdown(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.shutdown(options.guest, options.mode)
    out.done(f"Guest '{options.guest}' is being shut down")


async def _reboot(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.reboot(options.guest, options.mode)
    out.done(f"Guest '{options.guest}' is being rebooted")


async def _destroy(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.destroy(options.guest, graceful=options.graceful)
    out.done(f"Guest '{options.guest}' destroyed")


async def _lifecycle(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.set_lifecycle_action(options.guest, options.type, options.action, options.live, options.config)


async def _sleep(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.pm_suspend(options.guest, options.target, options.duration)
    out.done(f"Guest '{options.guest}' goes to sleep")


MODE = arg("--mode", choices=["acpi", "agent"], help="how to ask; default: the agent if it is connected, else ACPI")
PAUSED = flag("--paused", help="leave it paused")
CONSOLE = flag("--console", help="attach to its console")
AUTODESTROY = flag("--autodestroy", help="it ends when this program does")
PASS_FDS = arg("--pass-fds", type=descriptors, help="descriptors, N,M,..., for the first process inside")
NVRAM = flag("--reset-nvram", help="make its UEFI variables anew")

COMMANDS = (
    Command("start", "start a guest", (
        GUEST, PAUSED, CONSOLE, AUTODESTROY, NVRAM, PASS_FDS, flag("--force-boot", help="boot afresh, drop a managed save"),
        flag("--bypass-cache", help="read a managed save past the host's cache")), _start),
    Command("create", "start a transient guest from XML", (
        FILE, PAUSED, CONSOLE, AUTODESTROY, NVRAM, PASS_FDS, flag("--validate", help="refuse what is not known")), _create),
    Command("dom-fd-associate", "give a guest descriptors under a name, until this program ends", (
        GUEST, arg("name", help="what <source fdgroup=...> of its disks calls them"),
        arg("fds", type=descriptors, help="descriptors of this program: N,M,..."),
        flag("--seclabel-writable", help="with a label that allows writing"),
        flag("--seclabel-restore", help="put labels back after use")), _associate),
    Command("shutdown", "ask a guest to shut down", (GUEST, MODE), _shutdown),
    Command("reboot", "ask a guest to reboot", (GUEST, MODE), _reboot),
    Command("reset", "reset a guest, as its button does", (GUEST,), _simple("reset", "reset")),
    Command("destroy", "end a guest now", (GUEST, flag("--graceful", help="never by force")), _destroy),
    Command("suspend", "pause a guest", (GUEST,), _simple("suspend", "suspended")),
    Command("resume", "let a paused guest run", (GUEST,), _simple("resume", "resumed")),
    Command("set-lifecycle-action", "choose what happens when a guest powers off, reboots or crashes", (
        GUEST, arg("type", choices=get_args(LifecycleKind)), arg("action", choices=get_args(LifecycleAction)), *SCOPE), _lifecycle),
    Command("dompmsuspend", "put a guest to sleep by its agent", (
        GUEST, arg("target", choices=["mem", "disk", "hybrid"]), arg("--duration", type=int, default=0)), _sleep),
    Command("dompmwakeup", "wake a sleeping guest", (GUEST,), _simple("pm_wakeup", "woken up")),
)  # fmt: skip
