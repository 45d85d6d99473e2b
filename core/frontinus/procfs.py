"""Who a process is and what it uses, by /proc, for all edges: below all other layers, it knows nothing of guests.

/proc/PID/stat and statm cost microseconds; smaps, which would tell memory exactly, stops the process's memory for as
long as it takes to walk it and is never read here. Sources: proc(5), Documentation/scheduler/sched-stats.rst.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds of a tick of the clock that CPU time is counted in."""
PAGE = os.sysconf("SC_PAGE_SIZE")
FIRST = 1
"""The pid of the first process, to which those are given whose parent is gone."""
_STATE, _PARENT, _USER, _SYSTEM, _STARTED, _CPU = 0, 1, 11, 12, 19, 36
"""Places in /proc/PID/stat after the command's name, which is in parentheses and may hold anything."""


class Switch:
    """A setting of the kernel's that an operator may change: looked at once a second, however many ask."""

    def __init__(self, path: Path) -> None:
        self._path, self._on, self._due = path, False, 0.0

    def is_on(self) -> bool:
        if (now := time.monotonic()) >= self._due:
            self._due = now + 1.0
            try:
                self._on = self._path.read_text().strip() == "1"
            except OSError:  # this kernel has none, or hides it
                self._on = False
        return self._on


SCHEDSTATS = Switch(Path("/proc/sys/kernel/sched_schedstats"))
"""Says whether the kernel counts how long threads wait; not every kernel can."""
_WAITED = re.compile(rb"\bwait_sum\s*:\s*(\d+)\.(\d{6})")
"""In /proc/PID/sched, in ms to the nanosecond; before Linux 5.16 the name has a prefix."""


def start_time(pid: int, proc: str = "/proc", *, ended: bool = False) -> int | None:
    """When a process started, in ticks since boot: with the pid, its name for ever.

    None if it is gone, or has ended and waits to be reaped, unless `ended` asks for that too.
    """
    try:
        fields = _fields(Path(f"{proc}/{pid}/stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in (b"Z", b"X") and not ended else int(fields[_STARTED])


def unix_time(started: int) -> float:
    """A start time as Unix time, to a hundredth of a second: what a tick is."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(booted + started * TICK / 1e9, 2)


def is_alive(pid: int, started: int, proc: str = "/proc") -> bool:
    """Whether the process of this pid is the one that started then, and not ended."""
    return start_time(pid, proc) == started


def rss(proc: str = "/proc") -> int:
    """Resident bytes of this process."""
    return int(Path(f"{proc}/self/statm").read_text().split()[1]) * PAGE


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


def arguments(pid: int, proc: str = "/proc") -> list[bytes]:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"{proc}/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []


def is_orphan(pid: int, proc: str = "/proc") -> bool:
    """Whether the process that started this one is gone: it was given to the first process, or to a session's manager."""
    try:
        parent = int(_fields(Path(f"{proc}/{pid}/stat").read_bytes())[_PARENT])
        return parent == FIRST or Path(f"{proc}/{parent}/comm").read_text().strip() == "systemd"
    except OSError:
        return False


def is_locked_by_living(fd: int, proc: str = "/proc") -> bool:
    """Whether a process that took a file's lock (flock(2)) is alive: its children may have the lock when it is not."""
    inode = f":{os.fstat(fd).st_ino}"
    rows = (line.split() for line in Path(f"{proc}/locks").read_text().splitlines())
    takers = (int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].endswith(inode))
    return any(start_time(pid) is not None for pid in takers)


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


class ProcessFigures:
    """The figures of one process and its threads, through descriptors that stay open."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._files: dict[str, int] = {}

    def cpu(self) -> dict[str, int]:
        """CPU time in ns: time, user, system. Empty once the process is gone."""
        stat = self._read("stat")
        if not stat:
            return {}
        fields = _fields(stat)
        user, system = int(fields[_USER]) * TICK, int(fields[_SYSTEM]) * TICK
        return {"time": user + system, "user": user, "system": system}

    def rss(self) -> int | None:
        """Resident bytes."""
        fields = self._read("statm").split()
        return int(fields[1]) * PAGE if fields else None

    def thread(self, thread: int) -> dict[str, int]:
        """A thread's time on a CPU, its time ready but waiting for one (`delay`), in ns, and the CPU that it was on last.

        `wait` is its time kept waiting by others as the scheduler counts it, where it does.
        """
        fields, stat = self._read(f"task/{thread}/schedstat").split(), self._read(f"task/{thread}/stat")
        if not fields or not stat:
            return {}
        found = {"time": int(fields[0]), "delay": int(fields[1]), "cpu": int(_fields(stat)[_CPU])}
        if SCHEDSTATS.is_on() and (waited := _WAITED.search(self._read(f"task/{thread}/sched"))):
            found["wait"] = int(waited[1] + waited[2])
        return found

    def forget_threads(self) -> None:
        """Close what belongs to threads: CPUs were plugged or unplugged."""
        for name in [n for n in self._files if n.startswith("task/")]:
            os.close(self._files.pop(name))

    def close(self) -> None:
        """Close everything."""
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def _read(self, name: str) -> bytes:
        fd = self._files.get(name)
        try:
            if fd is None:
                fd = self._files[name] = os.open(f"/proc/{self._pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(fd, 4096, 0)
        except OSError:
            return b""


def tap_name(pid: int | str, fd: int) -> str | None:
    """The network device that a tap's descriptor stands for; None for another descriptor."""
    with contextlib.suppress(OSError):
        found = re.search(r"^iff:\s*(\S+)", Path(f"/proc/{pid}/fdinfo/{fd}").read_text(), re.MULTILINE)
        return found.group(1) if found else None
    return None
