"""Who a process is, by /proc, for all edges: below all other layers, it knows processes and nothing of guests.

Source of fact: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_STATE, _STARTED = 0, 19
"""Places in /proc/PID/stat after the command's name, which is in parentheses and may hold anything."""


def start_time(pid: int, proc: str = "/proc", *, ended: bool = False) -> int | None:
    """When a process started, in ticks since boot: with the pid, its name for ever.

    None if it is gone, or has ended and waits to be reaped, unless `ended` asks for that too.
    """
    try:
        fields = _fields(Path(f"{proc}/{pid}/stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in (b"Z", b"X") and not ended else int(fields[_STARTED])


def is_alive(pid: int, started: int, proc: str = "/proc") -> bool:
    """Whether the process of this pid is the one that started then, and not ended."""
    return start_time(pid, proc) == started


def rss(proc: str = "/proc") -> int:
    """Resident bytes of this process."""
    return int(Path(f"{proc}/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_process(pid: int, started: int) -> int:
    """A pidfd of exactly this process: readable when it ends, and safe to signal. Raises ProcessLookupError."""
    fd = os.pidfd_open(pid)
    if is_alive(pid, started):
        return fd
    os.close(fd)
    raise ProcessLookupError(f"process {pid} is gone or is another one")


def processes(proc: str = "/proc") -> Iterator[int]:
    """The pids of all processes."""
    return (int(entry.name) for entry in Path(proc).iterdir() if entry.name.isdecimal())


def environment(pid: int, proc: str = "/proc") -> Mapping[str, str]:
    """The environment that a process was started with; empty if it is gone or not ours to see."""
    try:
        raw = Path(f"{proc}/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0"))
    return {name: value for name, equals, value in pairs if equals}


def _fields(stat: bytes) -> list[bytes]:
    return stat[stat.rindex(b")") + 2 :].split()
