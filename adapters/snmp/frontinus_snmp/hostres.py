"""The host as HOST-RESOURCES-MIB shows it, read from /proc and the file systems."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
MINUTE = 60.0
LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Store:
    """Memory, swap or a file system: `kind` ram, virtual or fixed; units of `unit` bytes."""

    kind: str
    name: str
    unit: int
    size: int
    used: int


@dataclass(frozen=True)
class HostResources:
    """What was read at one moment. Seconds, KiB; `loads`: per cent busy of each CPU over the last minute."""

    uptime: float = 0.0
    processes: int = 0
    memory: int = 0
    stores: Sequence[Store] = ()
    loads: Sequence[int] = ()
    command_line: str = ""


Times = Sequence[tuple[int, int]]
"""Busy and all ticks of each CPU."""


@dataclass
class Reader:
    """Reads, and remembers the CPUs' times of a minute ago."""

    proc: Path = PROC
    _past: deque[tuple[float, Times]] = field(default_factory=deque)

    def read(self) -> HostResources:
        """What there is; what cannot be read is left out. Blocks as long as a file system does."""
        memory = self._memory()
        found = HostResources()
        with suppress(OSError, ValueError, IndexError):
            found = HostResources(
                uptime=float((self.proc / "uptime").read_text().split()[0]),
                processes=sum(entry.name.isdecimal() for entry in self.proc.iterdir()),
                memory=memory.get("MemTotal", 0),
                stores=(*_memory_stores(memory), *self._file_systems()),
                loads=self._loads(),
                command_line=(self.proc / "cmdline").read_text().strip()[:128],
            )
        return found

    def _memory(self) -> Mapping[str, int]:
        with suppress(OSError):
            found = re.findall(r"^(\w+): +(\d+) kB$", (self.proc / "meminfo").read_text(), re.MULTILINE)
            return {name: int(size) for name, size in found}
        return {}

    def _loads(self) -> Sequence[int]:
        now, times = time.monotonic(), cpu_times((self.proc / "stat").read_text())
        while len(self._past) > 1 and now - self._past[1][0] >= MINUTE:
            self._past.popleft()
        before = self._past[0][1] if self._past and len(self._past[0][1]) == len(times) else [(0, 0)] * len(times)
        self._past.append((now, times))
        return [
            100 * (busy - was_busy) // max(1, whole - was)
            for (busy, whole), (was_busy, was) in zip(times, before, strict=True)
        ]

    def _file_systems(self) -> Iterator[Store]:
        """Those on devices of the host; what may hang for want of a network is not asked."""
        seen: set[str] = set()
        for line in (self.proc / "self/mounts").read_text().splitlines():
            source, path, *_ = line.split(" ")
            if source.startswith("/dev/") and source not in seen:
                seen.add(source)
                with suppress(OSError):
                    status = os.statvfs(path.encode().decode("unicode_escape"))
                    unit, size = fitting(status.f_frsize, status.f_blocks)
                    used = (status.f_blocks - status.f_bfree) * status.f_frsize // unit
                    yield Store("fixed", path, unit, size, used)


def _memory_stores(memory: Mapping[str, int]) -> Iterator[Store]:
    for kind, name, whole, free in (
        ("ram", "Memory", "MemTotal", "MemAvailable"),
        ("virtual", "Swap", "SwapTotal", "SwapFree"),
    ):
        unit, size = fitting(1024, memory.get(whole, 0))
        yield Store(kind, name, unit, size, (memory.get(whole, 0) - memory.get(free, 0)) * 1024 // unit)


def fitting(unit: int, size: int) -> tuple[int, int]:
    """A larger unit, until the size fits an Integer32."""
    while size > LARGEST:
        unit, size = unit * 1024, size // 1024
    return unit, size


def cpu_times(text: str) -> Times:
    """Busy and all ticks of each CPU in /proc/stat (proc(5)): idle and waiting for disks is not busy."""
    found: list[tuple[int, int]] = []
    for line in text.splitlines():
        if re.match(r"cpu\d", line):
            ticks = [int(word) for word in line.split()[1:9]]
            found.append((sum(ticks) - ticks[3] - ticks[4], sum(ticks)))
    return found
