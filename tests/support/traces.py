"""What a daemon or a guest under test may have left on the host."""

from __future__ import annotations

import os
import signal
from pathlib import Path


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


def _open(folder: Path) -> list[str]:
    return [str((folder / "cwd").readlink()), *(str(fd.readlink()) for fd in (folder / "fd").iterdir())]


def sockets(marker: str) -> list[str]:
    """Unix sockets that somebody still holds, by path."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sorted({line.split()[-1] for line in lines if marker in line})


def kill(marker: str) -> None:
    """End what is left, so that a failed test does not spoil the next."""
    for pid in processes(marker):
        os.kill(pid, signal.SIGKILL)
