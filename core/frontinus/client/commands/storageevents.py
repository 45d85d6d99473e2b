"""Events of pools, their volumes and secrets, as pool-event, secret-event and event print them."""

from __future__ import annotations

import argparse
import asyncio
import time

from frontinus.api.engine import Engine
from frontinus.api.events import Event, PoolEvent, SecretEvent, VolumeEvent
from frontinus.api.views import Snapshot
from frontinus.client.commands.base import Command, Output, arg, flag

KINDS = {"pool": ("lifecycle", "refresh", "volume"), "secret": ("lifecycle", "value-changed")}
"""Kinds of events by the object that they are about: virsh's, and one of volumes."""
ANY = ""
"""Of all pools, or of all secrets."""


def told(event: Event) -> tuple[str, str, str] | None:
    """The object that an event is about (pool or secret), the event's kind in virsh's words, and its line; None for others."""
    if isinstance(event, PoolEvent):
        if event.kind == "refreshed":
            return "pool", "refresh", f"event 'refresh' for storage pool {event.name}"
        return "pool", "lifecycle", f"event 'lifecycle' for storage pool {event.name}: {event.kind.capitalize()}"
    if isinstance(event, VolumeEvent):
        return "pool", "volume", f"event 'volume' for storage pool {event.pool}: {event.volume} {event.kind}"
    if isinstance(event, SecretEvent):
        if event.kind == "value-changed":
            return "secret", "value-changed", f"event 'value-changed' for secret {event.uuid}"
        return "secret", "lifecycle", f"event 'lifecycle' for secret {event.uuid}: {event.kind.capitalize()}"
    return None


async def show(engine: Engine, what: str, named: str, options: argparse.Namespace, out: Output) -> None:
    """Print events of pools or secrets, of one that is named or of ANY. Raises NoSuchPool, NoSuchSecret."""
    if options.list:
        for kind in KINDS[what]:
            out.line(kind)
        return
    wanted = await _uuid(engine, what, named) if named else None
    seen = 0
    try:
        async with asyncio.timeout(options.timeout):
            async for event in engine.watch():
                if isinstance(event, Snapshot) or (line := told(event)) is None:
                    continue
                if line[0] != what or options.event not in (None, line[1]) or wanted not in (None, _of(event)):
                    continue
                stamp = time.strftime("%Y-%m-%d %H:%M:%S: ", time.gmtime(event.time)) if options.timestamp else ""
                out.value(event)
                out.line(stamp + line[2])
                seen += 1
                if not options.loop:
                    break
    except TimeoutError:
        out.line("event loop timed out")
    out.line(f"events received: {seen}")


async def _uuid(engine: Engine, what: str, named: str) -> str:
    return (await engine.pool(named)).uuid if what == "pool" else (await engine.secret(named)).uuid


def _of(event: object) -> str | None:
    """The UUID of the pool or secret that an event is about."""
    if isinstance(event, VolumeEvent):
        return event.pool
    return event.uuid if isinstance(event, PoolEvent | SecretEvent) else None


async def _pool(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await show(engine, "pool", options.pool or ANY, options, out)


async def _secret(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await show(engine, "secret", options.secret or ANY, options, out)


HOW = (flag("--loop", help="until interrupted"), arg("--timeout", type=float), flag("--timestamp"),
       flag("--list", help="print the kinds that there are"))  # fmt: skip

COMMANDS = (
    Command("pool-event", "show events of storage pools", (
        arg("--pool", help="name or UUID of one"), arg("--event", choices=list(KINDS["pool"])), *HOW), _pool),
    Command("secret-event", "show events of secrets", (
        arg("--secret", help="UUID of one"), arg("--event", choices=list(KINDS["secret"])), *HOW), _secret),
)  # fmt: skip
