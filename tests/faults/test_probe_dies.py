"""An engine that is killed while it probes a QEMU leaves no QEMU behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

from frontinus.api.errors import FrontinusError
from frontinus.qemu.caps.probe import end_orphans
from trial import Daemon


def probing(parent: int) -> list[int]:
    """QEMUs without a machine that are children of a process, and which the kernel knows to be bound to it."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in _read(file).split()]
    return [
        pid for pid in pids if re.match(rb"[^\0]*qemu.*\0none,accel=", _read(Path(f"/proc/{pid}/cmdline")), re.DOTALL)
    ]


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


def test_a_probe_that_was_not_yet_bound_to_its_engine_is_ended_by_the_next() -> None:
    words = ("-no-user-config", "-machine", "none,accel=tcg")
    script = "import os, signal, sys; print(os.getpid(), flush=True); signal.pause()"
    with subprocess.Popen(
        ["/usr/bin/setsid", "--fork", sys.executable, "-c", script, *words], stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        watch = os.pidfd_open(int(first.stdout.readline()))
    try:
        end_orphans()
        assert select.select([watch], [], [], 60)[0], "an orphan lives on"
    finally:
        os.close(watch)
