"""Snapshots, backups and block jobs on other releases of QEMU: the rows of the installed one, by what each binary can do."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from support import releases
from support.bitmap_rows import HAPPENINGS, Guest, a_snapshot_is_merged, row
from support.marked import Marked
from support.snapshot_rows import CUTS, KINDS, MADE, Cut, Kind, all_rows, delete, go_back
from trial import Daemon

BITMAPS: tuple[Callable[[Guest], Awaitable[None]], ...] = HAPPENINGS if releases.ALL else (a_snapshot_is_merged,)
BACK = KINDS if releases.ALL else [kind for kind in KINDS if kind.memory and kind.state == "running"]
CUT = (
    list(itertools.product(MADE, CUTS.values()))
    if releases.ALL
    else [(MADE[1], CUTS["middle"]), (MADE[3], CUTS["middle"])]
)


@pytest.fixture(scope="module", params=releases.SUITES)
def emulator(request: pytest.FixtureRequest) -> str:
    return str(releases.emulator(request.param))


@pytest.mark.timeout(600)
async def test_snapshots_and_backups(emulator: str, place: Path, daemon: Daemon) -> None:
    async with daemon.engine() as engine:
        rows: list[tuple[str, Callable[[str], Awaitable[None]]]] = []
        for happens in BITMAPS:
            rows.append((happens.__name__, partial(row, engine, place, happens, emulator=emulator)))
        for kind in BACK:

            async def back(name: str, kind: Kind = kind) -> None:
                await go_back(await Marked.defined(engine, name, place, emulator=emulator), kind, (), "running")

            rows.append((f"back.{kind}", back))
        for number, (made, cut) in enumerate(CUT):

            async def gone(name: str, made: Kind = made, cut: Cut = cut) -> None:
                await delete(await Marked.defined(engine, name, place, emulator=emulator), made, cut)

            rows.append((f"gone.{number}.{made}", gone))
        await all_rows(rows)
