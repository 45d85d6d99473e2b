"""Snapshots of every kind on real guests: gone back to from every state in every way, deleted from every place in a tree."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.snapshots import RevertFlag
from support.marked import Marked
from support.snapshot_rows import CUTS, FROM, KINDS, MADE, WAYS, Cut, Kind, all_rows, delete, go_back
from trial import Daemon


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


async def test_going_back(engine: Engine, place: Path) -> None:
    states = itertools.cycle(FROM)
    rows = []
    for kind, way in itertools.product(KINDS, WAYS):
        before = next(states)

        async def row(name: str, kind: Kind = kind, way: tuple[RevertFlag, ...] = way, before: str = before) -> None:
            await go_back(await Marked.defined(engine, name, place), kind, way, before)

        rows.append((f"{kind}.{'-'.join(way) or 'as-it-was'}.from-{before}", row))
        if len(rows) % len(FROM) == 0:
            next(states)  # so that each way meets each state
    await all_rows(rows)


async def test_deleting(engine: Engine, place: Path) -> None:
    rows = []
    for kind, (what, cut) in itertools.product(MADE, CUTS.items()):

        async def row(name: str, kind: Kind = kind, cut: Cut = cut) -> None:
            await delete(await Marked.defined(engine, name, place), kind, cut)

        rows.append((f"{kind}.{what}", row))
    await all_rows(rows)
