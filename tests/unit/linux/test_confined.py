"""Programs that read images: how much of what they print is taken, how they are ended, and which of an earlier engine are."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frontinus.linux.landlock import Sight
from frontinus.linux.storage import confined, strays
from frontinus.storage.steps import EndStrays

SECONDS = 30.0
"""Within these a program ends that would run for a minute."""


async def run(*argv: str, deadline: float | None = None) -> confined.Outcome:
    return await confined.run(argv, Sight(), {"PATH": "/usr/bin:/bin"}, deadline)


async def test_what_it_prints_is_taken_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "MOST", 1000)
    output, errors, code = await run("/bin/sh", "-c", "head -c 5000000 /dev/zero; echo no >&2; exit 3")
    assert 1000 <= len(output) < 200_000 and (errors, code) == (b"no\n", 3)


async def test_it_is_killed_at_its_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await run("/bin/sleep", "60", deadline=0.2)
    assert time.monotonic() - began < SECONDS


async def test_it_is_killed_with_who_waits_for_it(tmp_path: Path) -> None:
    began = time.monotonic()
    task = asyncio.ensure_future(run("/bin/sleep", "60"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < SECONDS


def test_only_what_lost_its_engine_is_a_stray(tmp_path: Path) -> None:
    """Both look like qemu-img at work on the image; one is a child of a living engine."""
    image = str(tmp_path / "image")
    words = ["qemu-img", "-c", "import sys, time; print(flush=True); time.sleep(60)", image]
    start = f"import os, subprocess; print(subprocess.Popen({words!r}, executable={sys.executable!r}, stdout=2).pid)"
    done = subprocess.run(
        [sys.executable, "-c", start],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=90,
    )
    orphan = int(done.stdout)
    with subprocess.Popen(words, executable=sys.executable, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        strays.end(EndStrays(image + ".other"))
        assert Path("/proc", str(orphan)).exists()
        strays.end(EndStrays(image))
        assert _is_dead(orphan)
        assert child.poll() is None
        child.kill()


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
