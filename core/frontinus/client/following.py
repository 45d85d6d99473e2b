"""Streams of events as `event`, `net-event`, `pool-event`, `secret-event` and `qemu-monitor-event` print them."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from frontinus.api.engine import Engine
from frontinus.api.events import Event
from frontinus.api.options import MonitorEvent
from frontinus.api.views import Snapshot
from frontinus.client.commands.base import Argument, Output, arg, flag


@dataclass(frozen=True)
class Told:
    """An event in virsh's words: the UUID of what it is about, its kind, its line."""

    about: str | None
    kind: str
    line: str


HOW: tuple[Argument, ...] = (
    flag("--loop", help="until interrupted"), arg("--timeout", type=float, help="seconds"),
    flag("--timestamp", help="with the time of each, in UTC"), flag("--list", help="print the kinds that there are"),
)  # fmt: skip


Line = tuple[Event | MonitorEvent, str]
"""An event, and what is printed of it."""


async def follow(engine: Engine, options: argparse.Namespace, out: Output, tell: Callable[[Event], Told | None],
                 about: str | None = None, kind: str | None = None) -> None:  # fmt: skip
    """Print events that `tell` has words for: of one object, of one kind, or all."""

    async def lines() -> AsyncIterator[Line]:
        async for event in engine.watch():
            told = None if isinstance(event, Snapshot) else tell(event)
            if told is not None and about in (None, told.about) and kind in (None, told.kind):
                assert isinstance(event, Event)
                yield event, told.line

    await show(lines(), options, out)


async def show(lines: AsyncIterator[Line], options: argparse.Namespace, out: Output) -> None:
    """Print what comes: the first, or (--loop) every one."""
    seen = 0
    try:
        async with asyncio.timeout(options.timeout):
            async for event, line in lines:
                out.value(event)
                out.line((_stamp(event.time) if options.timestamp else "") + line)
                seen += 1
                if not options.loop:
                    break
    except TimeoutError:
        out.line("event loop timed out")
    out.line(f"events received: {seen}")


def _stamp(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S: ", time.gmtime(when))
