"""At the guest's keyboard: screen, keys, console, agent, monitor, events, jobs."""

from __future__ import annotations

import argparse
import asyncio
import re
import time
import typing
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.api.events import AnyEvent, Event, GuestEvent, LifecycleEvent
from frontinus.api.views import JobView
from frontinus.client.commands.base import GUEST, Command, Output, arg, descriptors, flag, given
from frontinus.client.commands.units import pretty
from frontinus.client.following import HOW, Line, Told, follow, show

BLOCKED = 24 * 3600.0
"""Seconds that --block waits for an agent."""
KINDS = sorted(
    kind.__name__.removesuffix("Event").lower() for kind in typing.get_args(AnyEvent) if issubclass(kind, GuestEvent)
)


async def _screenshot(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    image = await engine.screenshot(options.guest, options.screen)
    ending = "png" if image.mime == "image/png" else "ppm"
    file = options.file or f"{options.guest}-{time.strftime('%Y-%m-%d-%H:%M:%S')}.{ending}"
    await asyncio.to_thread(Path(file).write_bytes, image.data)
    out.value({"file": file, "type": image.mime})
    out.done(f"Screenshot saved to {file}, with type of {image.mime}")


async def _send_key(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    keys = [int(key, 0) if key[:1].isdigit() else key for key in options.keys]
    await engine.send_keys(options.guest, keys, options.codeset, options.holdtime)


async def _nmi(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.inject_nmi(options.guest)


async def _console(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.console import attach

    await attach(engine, options.guest, options.devname, force=options.force)


async def _ttyconsole(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from lxml import etree

    console = etree.fromstring(await engine.guest_xml(options.guest)).find("devices/console[@type='pty']/source")
    out.text((console.get("path") if console is not None else None) or "")


async def _monitor(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    command = " ".join(options.command)
    if options.pass_fds:
        answer = await engine.monitor_command_with_files(options.guest, command, given(options.pass_fds), options.hmp)
    else:
        answer = await engine.monitor_command(options.guest, command, hmp=options.hmp)
    out.text(_formed(answer, options) if not options.hmp else answer)


async def _agent(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    deadline = BLOCKED if options.block else options.timeout
    out.text(_formed(await engine.agent_command(options.guest, " ".join(options.command), deadline), options))


def _formed(answer: str, options: argparse.Namespace) -> str:
    """A JSON answer as the options want it."""
    value = msgspec.json.decode(answer)
    if getattr(options, "return_value", False) and isinstance(value, dict) and "return" in value:
        value = value["return"]
    text = msgspec.json.encode(value)
    return (msgspec.json.format(text) if options.pretty else text).decode()


async def _event(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    for what, named in (("pool", options.pool), ("secret", options.secret)):
        if named is not None:
            from frontinus.client.commands import storageevents

            await storageevents.show(engine, what, named, options, out)
            return
    if options.list:
        for name in KINDS:
            out.line(name)
        return
    if not (options.all or options.event or options.loop):
        raise InvalidValue("say --event KIND, or --all", field="event")
    about = (await engine.guest(options.domain)).uuid if options.domain else None
    await follow(engine, options, out, _told, about, options.event.replace("-", "") if options.event else None)


def _told(event: Event) -> Told | None:
    """An event of a guest in words; None for others."""
    if not isinstance(event, GuestEvent):
        return None
    kind = str(type(event).__name__).removesuffix("Event").lower()
    if isinstance(event, LifecycleEvent):
        said = f"{event.kind.capitalize()} {event.detail.capitalize()}"
        return Told(event.uuid, kind, f"event 'lifecycle' for domain '{event.name}': {said}")
    hidden = {"uuid", "name", "generation", "time", "event", "guest"}
    facts = {k: v for k, v in msgspec.to_builtins(event).items() if k not in hidden}
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    return Told(event.uuid, kind, f"event '{kind}' for domain '{event.name}': {said}")


async def _monitor_event(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    wanted = _pattern(options)

    async def lines() -> AsyncIterator[Line]:
        async for event in engine.watch_monitor(options.domain):
            if wanted is None or wanted.fullmatch(event.event):
                data = msgspec.json.format(event.data.encode()).decode() if options.pretty else event.data
                yield event, f"event {event.event} for domain '{event.name}': {data}"

    await show(lines(), options, out)


def _pattern(options: argparse.Namespace) -> re.Pattern[str] | None:
    """What names of events are to look like. Raises InvalidValue."""
    if options.event is None:
        return None
    text = f".*(?:{options.event}).*" if options.regex else re.escape(options.event)
    try:
        return re.compile(text, re.IGNORECASE if options.no_case else 0)
    except re.error as error:
        raise InvalidValue(f"'{options.event}' is no regular expression: {error}", field="event") from None


OPERATIONS = {"save": "Save", "dump": "Dump", "snapshot": "Snapshot", "snapshot-revert": "Snapshot revert",
              "snapshot-delete": "Snapshot delete", "backup": "Backup"}  # fmt: skip
"""Kinds of jobs in virsh's words."""


async def _jobinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    jobs = await engine.jobs(options.guest)
    if options.all:
        out.value(jobs)
        out.table(["Job", "Kind", "State", "Progress"], [
            [j.id, j.kind, j.state, "-" if j.progress is None else f"{j.progress:.0%}"] for j in jobs])  # fmt: skip
        return
    wanted = [j for j in jobs if (j.state != "running" if options.completed else j.state == "running")]
    job = max(wanted, key=lambda j: j.started, default=None)
    out.value(job)
    if options.rawstats:
        for name in ("kind", "state", "started", "ended", "progress", "processed", "total", "error"):
            if (value := getattr(job, name, None)) is not None:
                out.line(f"{name}: {value}")
        return
    out.pairs([("Job type", "None")] if job is None else _job_rows(job), width=17)


def _job_rows(job: JobView) -> list[tuple[str, object]]:
    """A job in the words of domjobinfo."""
    types = {"running": "Unbounded" if job.total is None else "Bounded"}
    rows: list[tuple[str, object]] = [
        ("Job type", types.get(job.state, job.state.capitalize())),
        ("Operation", OPERATIONS.get(job.kind, job.kind.capitalize())),
        ("Time elapsed", f"{(job.ended or time.time()) - job.started:.3f} s"),
    ]
    if job.total is not None and job.processed is not None:
        what = "Data" if job.kind in ("save", "snapshot") else "File"
        rows += [(f"{what} processed", pretty(job.processed)), (f"{what} remaining", pretty(job.total - job.processed)),
                 (f"{what} total", pretty(job.total))]  # fmt: skip
    return [*rows, ("Error message", job.error)] if job.error else rows


async def _jobabort(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    for job in await engine.jobs(options.guest):
        if job.state == "running":
            await engine.abort_job(job.id)


COMMANDS = (
    Command("screenshot", "save a picture of the screen", (
        GUEST, arg("file", nargs="?", complete="file"), arg("--screen", type=int, default=0)), _screenshot),
    Command("send-key", "press keys together", (
        GUEST, arg("keys", nargs="+"), arg("--codeset", default="linux", choices=["linux", "qcode"]),
        arg("--holdtime", type=int, default=0, help="milliseconds")), _send_key),
    Command("inject-nmi", "inject an NMI", (GUEST,), _nmi),
    Command("console", "attach to a guest's console", (
        GUEST, arg("--devname", help="alias of the device"), flag("--force", help="end another's session"),
        flag("--safe", help="never beside another's session, as always")), _console),
    Command("ttyconsole", "print the path of a guest's console", (GUEST,), _ttyconsole),
    Command("qemu-monitor-command", "send QEMU's monitor a command", (
        GUEST, flag("--hmp", help="in the human monitor's language"), flag("--pretty"),
        flag("--return-value", help="only what is in 'return'"),
        arg("--pass-fds", type=descriptors, help="descriptors, N,M,..., for QEMU"), arg("command", nargs="+")), _monitor),
    Command("qemu-agent-command", "send the guest agent a command", (
        GUEST, arg("--timeout", type=float, default=5.0), flag("--block", help="wait as long as it takes"),
        flag("--pretty"), arg("command", nargs="+")), _agent),
    Command("qemu-monitor-event", "show events of the guests' monitors as they come", (
        arg("--domain", complete="guest"), arg("--event", help="only those of this name"),
        flag("--regex", help="which is a pattern"), flag("--no-case", help="in small letters or large"), flag("--pretty"),
        *HOW[:3]), _monitor_event),
    Command("event", "show events", (
        arg("--domain", complete="guest"), arg("--pool", nargs="?", const="", help="of storage pools, or of one"),
        arg("--secret", nargs="?", const="", help="of secrets, or of one"), arg("--event"), flag("--all", help="of all kinds"),
        *HOW), _event),
    Command("domjobinfo", "tell about a guest's long job", (
        GUEST, flag("--completed", help="the one that ended last"),
        flag("--keep-completed", help="as always"), flag("--anystats", help="as always"),
        flag("--rawstats", help="as names and numbers"), flag("--all", help="a table of all that are remembered")),
        _jobinfo),
    Command("domjobabort", "abort a guest's running job", (GUEST,), _jobabort),
)  # fmt: skip
