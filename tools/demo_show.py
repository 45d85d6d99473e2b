"""What the demo shows: a table that a terminal redraws, or lines of text where nobody watches."""

from __future__ import annotations

import asyncio
import sys
import time

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo_figures import HEADINGS, plain, row
from frontinus.api import Engine
from frontinus.api.views import GuestStats

INTERVAL = 1.0  # seconds between two samples on a terminal
LINE_INTERVAL = 3.0  # the same where each sample is a line


async def show(engine: Engine, reach: list[tuple[str, str]], seconds: float | None) -> None:
    """Show all guests until cancelled, or for so many seconds."""
    if sys.stdout.isatty():
        await _live(engine, reach, seconds)
    else:
        await _lines(engine, reach, seconds)


async def _live(engine: Engine, reach: list[tuple[str, str]], seconds: float | None) -> None:
    before: dict[str, GuestStats] = {}
    until = time.monotonic() + (seconds or float("inf"))
    with Live(console=Console(), auto_refresh=False) as live:
        while time.monotonic() < until:
            samples = await engine.stats()
            live.update(Group(_table(samples, before), _reach(reach)), refresh=True)
            before = {sample.uuid: sample for sample in samples}
            await asyncio.sleep(INTERVAL)


async def _lines(engine: Engine, reach: list[tuple[str, str]], seconds: float | None) -> None:
    before: dict[str, GuestStats] = {}
    until = time.monotonic() + (seconds or float("inf"))
    for what, command in reach:
        print(f"{what}: {command}")
    print(plain(HEADINGS), flush=True)
    while time.monotonic() < until:
        samples = await engine.stats()
        for sample in samples:
            print(plain(row(sample, before.get(sample.uuid))), flush=True)
        before = {sample.uuid: sample for sample in samples}
        await asyncio.sleep(LINE_INTERVAL if seconds is None else min(LINE_INTERVAL, seconds / 3))


def _table(samples: list[GuestStats], before: dict[str, GuestStats]) -> Table:
    table = Table(title="Guests of this engine", title_justify="left", min_width=80)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("guest", "state") else "right", no_wrap=True)
    for sample in samples:
        table.add_row(*row(sample, before.get(sample.uuid)))
    return table


def _reach(reach: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for what, command in reach:
        table.add_row(Text(what, style="bold"), Text(command, overflow="fold"))  # nothing of a command is cut off
    table.add_row(Text("end", style="bold"), Text("Ctrl-C stops all of it and leaves nothing behind"))
    return table
