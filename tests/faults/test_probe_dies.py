"""An engine that is killed while it probes a QEMU leaves no QEMU behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

from frontinus.api.errors import FrontinusError
from frontinus.qemu.caps.probe import end_orphans
from support import traces
from support.waiting import eventually
from trial import Daemon

INTERPRETER = (b"/usr/bin/python3", b"-S")
HANGS = "#!/usr/bin/python3 -S\nimport signal\nwhile True:\n    signal.pause()\n"
"""A QEMU that never answers: a probe of it is there to be seen."""


def probing(parent: int, emulator: Path) -> list[int]:
    """Probes of an emulator that are children of a process, and which the kernel knows to be bound to it."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in _read(file).split()]
    runs = b"\0".join([*INTERPRETER, bytes(emulator), b""])  # which setpriv has become when it has bound it
    return [pid for pid in pids if _read(Path(f"/proc/{pid}/cmdline")).startswith(runs)]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # its process has ended
        return b""


async def test_a_probe_dies_with_its_engine(daemon: Daemon, place: Path) -> None:
    assert daemon.process is not None
    emulator = place / "qemu"
    emulator.write_text(HANGS)
    emulator.chmod(0o755)
    with contextlib.suppress(FrontinusError):
        async with asyncio.timeout(60), daemon.engine() as engine:
            asked = asyncio.ensure_future(engine.domain_capabilities(emulator=str(emulator), virt_type="qemu"))
            while not (found := probing(daemon.process.pid, emulator)):
                assert not asked.done(), "it never probed"
                await asyncio.sleep(0.01)
            watched = [os.pidfd_open(pid) for pid in found]
            await daemon.kill()
            await asked
    for watch in watched:
        try:
            assert select.select([watch], [], [], 60)[0], "a probed QEMU outlived the engine"
        finally:
            os.close(watch)

    async def nothing_left() -> bool:
        end_orphans()  # as the next engine does with one that was begun after the look
        return not traces.processes(str(emulator))

    await eventually(nothing_left, "a probe is left")


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
