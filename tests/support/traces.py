"""What a daemon or a guest under test may have left on the host."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from frontinus.durable import is_temporary

SECONDS = 60.0
"""That what was told to end may take on a loaded machine."""
ACCEPTS = 1 << 16
"""Of the flags in /proc/net/unix (the kernel's __SO_ACCEPTCON): listen() was called."""


def processes(marker: str) -> dict[int, str]:
    """Living processes whose command line, working folder or open files name the marker: pid to command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if pid == os.getpid():
            continue
        try:
            argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if argv and (marker in argv or any(marker in name for name in _open(folder))):
                found[pid] = argv
        except OSError:  # it ended meanwhile, or is not ours to look at
            continue
    return found


def opened(pid: int) -> dict[int, str]:
    """The descriptors of a process by the names that the kernel gives; it may open and close others meanwhile."""
    found = {}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[int(fd.name)] = str(fd.readlink())
    return found


def descriptors(pid: int) -> set[str]:
    """What a process has open."""
    return set(opened(pid).values())


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder that others write to and take away meanwhile; they may be gone when they are looked at.

    What is about to replace another (`frontinus.durable`) is none of them: it is there at any moment, for a moment.
    """
    for place, _, names in os.walk(folder):  # which passes over a folder that has gone
        yield from (Path(place, name) for name in names if not is_temporary(name))


def qemu(place: Path) -> int:
    """The process of the one guest that a daemon runs. Its record may be replaced meanwhile: another file is beside it then."""
    (record,) = (place / "run/running").glob("*.json")
    return int(json.loads(record.read_text())["process"]["pid"])


def _open(folder: Path) -> set[str]:
    return {str((folder / "cwd").readlink()), *descriptors(int(folder.name))}


def sockets(marker: str) -> list[str]:
    """Unix sockets that somebody still holds, by path."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sorted({line.split()[-1] for line in lines if marker in line})


def left(marker: str, seconds: float = SECONDS) -> dict[int, str]:
    """Those processes that do not go by themselves either: what was killed takes a moment to end."""
    deadline = time.monotonic() + seconds
    while (found := processes(marker)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def kill(marker: str) -> None:
    """End what is left, so that a failed test does not spoil the next; returns when it is gone."""
    while found := processes(marker):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        left(marker, 1)


def listens(path: Path) -> bool:
    """Whether somebody listens on a Unix socket: it is there some moments before."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return any(row[-1] == str(path) and int(row[3], 16) & ACCEPTS for row in rows)
