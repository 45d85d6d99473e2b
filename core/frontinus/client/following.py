"""The stream of events as `event`, `net-event`, `pool-event` and `secret-event` print it."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from frontinus.api.engine import Engine
from frontinus.api.events import Event
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


def stamp(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S: ", time.gmtime(when))


async def follow(engine: Engine, options: argparse.Namespace, out: Output, tell: Callable[[Event], Told | None],
                 about: str | None = None, kind: str | None = None) -> None:  # fmt: skip
    """Print events that `tell` has words for: of one object, of one kind, or all; the first, or (--loop) every one."""
    seen = 0
    try:
        async with asyncio.timeout(options.timeout):
            async for event in engine.watch():
                told = None if isinstance(event, Snapshot) else tell(event)
                if told is None or about not in (None, told.about) or kind not in (None, told.kind):
                    continue
                assert isinstance(event, Event)
                out.value(event)
                out.line((stamp(event.time) if options.timestamp else "") + told.line)
                seen += 1
                if not options.loop:
                    break
    except TimeoutError:
        out.line("event loop timed out")
    out.line(f"events received: {seen}")
