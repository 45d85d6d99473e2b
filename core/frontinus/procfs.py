"""Readers of /proc for the edges: figures of a process that are read often and cheaply, and who a process is.

Below all other layers: it knows processes and nothing of guests. Sources of fact: proc(5), clock_gettime(2).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds of one tick of /proc's CPU times."""

_STATE, _USER, _SYSTEM, _STARTED = 0, 11, 12, 19
"""Places in /proc/PID/stat after the command's name, which is in parentheses and may hold anything."""


@dataclass(frozen=True)
class CpuTimes:
    """CPU time since the start in ns: all of it to the ns by the scheduler's clock, and its parts in whole ticks."""

    time: int
    user: int
    system: int


@dataclass(frozen=True)
class ThreadTimes:
    """Of one thread, in ns: time on a CPU, and time it was ready but waited for one."""

    time: int
    delay: int


class ProcessFigures:
    """Kept descriptors on one process's /proc files: every figure is one pread, and a reused pid is never read.

    Methods raise ProcessLookupError when the process, or the thread, is gone. Blocks for microseconds.
    """

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        """Raises ProcessLookupError."""
        self.pid = pid
        self._base = f"{proc}/{pid}"
        self._clock = None if proc != "/proc" else _process_clock(pid)
        self._threads: dict[int, int] = {}
        self._stat = _open(f"{self._base}/stat")
        try:
            self._statm = _open(f"{self._base}/statm")
        except OSError:
            os.close(self._stat)
            raise

    def cpu(self) -> CpuTimes:
        """CPU time of all threads, those that ended included."""
        fields = _fields(_read(self._stat))
        user, system = int(fields[_USER]) * TICK, int(fields[_SYSTEM]) * TICK
        return CpuTimes(self._exact() or user + system, user, system)

    def rss(self) -> int:
        """Resident memory in bytes."""
        return int(_read(self._statm).split(b" ", 2)[1]) * PAGE

    def threads(self, ids: Iterable[int]) -> dict[int, ThreadTimes]:
        """Times of the named threads; one that has ended is absent."""
        found = {}
        for thread in ids:
            try:
                time_, delay = _read(self._thread(thread)).split(b" ", 2)[:2]
            except ProcessLookupError:
                self._forget(thread)
            else:
                found[thread] = ThreadTimes(int(time_), int(delay))
        return found

    def close(self) -> None:
        """Close the descriptors. May be called twice."""
        for fd in (self._stat, self._statm, *self._threads.values()):
            if fd >= 0:
                os.close(fd)
        self._stat = self._statm = -1
        self._threads.clear()

    def _exact(self) -> int | None:
        if self._clock is None:
            return None
        try:
            return time.clock_gettime_ns(self._clock)
        except OSError:  # another pid namespace, or the process ended since `stat` was read
            return None

    def _thread(self, thread: int) -> int:
        if thread not in self._threads:
            self._threads[thread] = _open(f"{self._base}/task/{thread}/schedstat")
        return self._threads[thread]

    def _forget(self, thread: int) -> None:
        fd = self._threads.pop(thread, None)
        if fd is not None:
            os.close(fd)


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


def _process_clock(pid: int) -> int:
    """The id of a process's CPU clock, as the kernel builds it: the inverted pid, and 2 for the scheduler's count."""
    return (~pid << 3) | 2


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(f"{path}: no such process") from None


def _read(fd: int) -> bytes:
    data = os.pread(fd, 1024, 0)
    if not data:
        raise ProcessLookupError("the thread has ended")
    return data


def _fields(stat: bytes) -> list[bytes]:
    return stat[stat.rindex(b")") + 2 :].split()
