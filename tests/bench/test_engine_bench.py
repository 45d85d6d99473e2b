"""The engine's promises as ratios to a bare QEMU in the same run. Printed, never asserted: machines differ."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from support.bare import BareGuest
from trial import Daemon

XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><model type='virtio'/></interface></devices></domain>"""
ROUNDS = 7
TOGETHER = 20
MANY = 50


def say(what: str, ours: float, bare: float | None = None, unit: str = "ms", scale: float = 1e3) -> None:
    """One line of the report."""
    reference = f"   bare {bare * scale:8.1f} {unit}   ratio {ours / bare:5.2f}" if bare else ""
    print(f"\n{what:<42} {ours * scale:8.1f} {unit}{reference}", end="", flush=True)


async def timed(call: Awaitable[object]) -> float:
    began = time.perf_counter()
    await call
    return time.perf_counter() - began


def image(place: Path, name: str) -> Path:
    file = place / f"{name}.img"
    file.write_bytes(bytes(2**20))
    return file


async def define(engine: Engine, place: Path, count: int) -> list[str]:
    names = [f"bench{n}" for n in range(count)]
    for name in names:
        await engine.define(XML.format(name=name, disk=image(place, name)))
    return names


async def interleaved(
    ours: Callable[[], Awaitable[float]], bare: Callable[[], Awaitable[float]]
) -> tuple[float, float]:
    """Medians of both, measured in turn so that a slow minute hits both."""
    pairs = [(await ours(), await bare()) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


async def test_start_and_destroy_of_one(daemon: Daemon, place: Path) -> None:
    destroys: list[float] = []
    async with daemon.engine() as engine:
        await define(engine, place, 1)
        disk = image(place, "bare")

        async def ours() -> float:
            took = await timed(engine.start("bench0"))
            destroys.append(await timed(engine.destroy("bench0")))
            return took

        async def bare() -> float:
            guest = BareGuest(place, "bare", disk)
            took = await timed(guest.start())
            await guest.stop()
            return took

        await ours()
        say("start of one guest (target 2x)", *await interleaved(ours, bare))
        say("destroy of a running guest (target 100 ms)", statistics.median(destroys))


async def test_start_of_many_at_once(daemon: Daemon, place: Path) -> None:
    async with daemon.engine() as engine:
        names = await define(engine, place, TOGETHER)
        took = await timed(asyncio.gather(*(engine.start(name) for name in names)))
        await asyncio.gather(*(engine.destroy(name) for name in names))
        guests = [BareGuest(place, name, place / f"{name}.img") for name in names]
        bare = await timed(asyncio.gather(*(guest.start() for guest in guests)))
        await asyncio.gather(*(guest.stop() for guest in guests))
        say(f"start of {TOGETHER} at once (target 2x)", took, bare)


def resident(pid: int) -> int:
    """Private memory of a process, bytes (proportional set size)."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))


@pytest.mark.timeout(600)
async def test_statistics_of_many(daemon: Daemon, place: Path) -> None:
    assert daemon.process is not None
    async with daemon.engine() as engine:
        await engine.create(XML.format(name="first", disk=image(place, "first")), paused=True)
        await engine.stats()  # with the first come what all share: what QEMU can do, modules that are loaded late
        empty = resident(daemon.process.pid)
        names = await define(engine, place, MANY)
        await asyncio.gather(*(engine.start(name, paused=True) for name in names))
        full = resident(daemon.process.pid)
        guests = [BareGuest(place, name, image(place, f"bare-{name}")) for name in names]
        await asyncio.gather(*(guest.start(paused=True) for guest in guests))
        await engine.destroy("first")
        await engine.stats()
        ours, bare = await interleaved(
            lambda: timed(engine.stats()), lambda: timed(asyncio.gather(*(guest.figures() for guest in guests)))
        )
        say(f"full statistics of {MANY} guests (target 1.3x)", ours, bare)
        ten = statistics.median(
            [await timed(asyncio.gather(*(engine.stats() for _ in range(10)))) for _ in range(ROUNDS)]
        )
        say("ten callers at once, beside one", ten, ours)
        say("memory of the daemon per running guest", (full - empty) / MANY / 1024, unit="KiB", scale=1)
        await asyncio.gather(*(guest.stop() for guest in guests))
        await asyncio.gather(*(engine.destroy(name) for name in names))
