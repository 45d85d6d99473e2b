"""An engine that is killed while it probes a QEMU leaves no QEMU behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
from pathlib import Path

from frontinus.api.errors import FrontinusError
from trial import Daemon


def probing(parent: int) -> list[int]:
    """QEMUs without a machine that are children of a process."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in _read(file).split()]
    return [pid for pid in pids if b"none,accel=" in _read(Path(f"/proc/{pid}/cmdline"))]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # its process has ended
        return b""


async def test_a_probe_dies_with_its_engine(daemon: Daemon) -> None:
    assert daemon.process is not None
    shutil.rmtree(daemon.folder / "cache/capabilities")
    with contextlib.suppress(FrontinusError):
        async with asyncio.timeout(60), daemon.engine() as engine:
            asked = asyncio.ensure_future(engine.capabilities())
            while not (found := probing(daemon.process.pid)):
                assert not asked.done(), "it never probed"
                await asyncio.sleep(0)
            watched = [os.pidfd_open(pid) for pid in found]
            await daemon.kill()
            await asked
    for watch in watched:
        try:
            assert select.select([watch], [], [], 60)[0], "a probed QEMU outlived the engine"
        finally:
            os.close(watch)
