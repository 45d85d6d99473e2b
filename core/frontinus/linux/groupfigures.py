"""What the kernel counts of a guest's control groups, through descriptors that stay open.

Sources: Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst, Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from frontinus.api.views import GroupStats
from frontinus.linux.figures import RESOURCES, parse_pressure

MOST = 4096
USEC = 1000


class GroupFiles:
    """The files of one guest's groups. `folders`: of the cpu and the memory controller, each with its version."""

    def __init__(self, folders: Mapping[str, tuple[Path, int]]) -> None:
        self._folders = folders
        self._files: dict[str, int | None] = {}

    def read(self) -> GroupStats:
        """The figures of this moment; what a file does not tell is None."""
        return GroupStats(**self._memory(), **self._throttling(), waited=self._waited())

    def close(self) -> None:
        """Close everything."""
        for fd in self._files.values():
            if fd is not None:
                os.close(fd)
        self._files.clear()

    def _memory(self) -> dict[str, int | None]:
        if self._version("memory") == 1:
            return {
                "memory": _number(self._read("memory", "memory.usage_in_bytes")),
                "memory_peak": _number(self._read("memory", "memory.max_usage_in_bytes")),
                "memory_limit_hits": _number(self._read("memory", "memory.failcnt")),
                "oom_kills": _number(_pairs(self._read("memory", "memory.oom_control")).get(b"oom_kill")),
            }
        told = _pairs(self._read("memory", "memory.events"))
        return {
            "memory": _number(self._read("memory", "memory.current")),
            "memory_peak": _number(self._read("memory", "memory.peak")),
            "memory_limit_hits": _number(told.get(b"max")), "oom_kills": _number(told.get(b"oom_kill")),
        }  # fmt: skip

    def _throttling(self) -> dict[str, int | None]:
        told = _pairs(self._read("cpu", "cpu.stat"))
        time, spent = _number(told.get(b"throttled_time")), _number(told.get(b"throttled_usec"))
        if time is None and spent is not None:
            time = spent * USEC
        return {"periods": _number(told.get(b"nr_periods")), "throttled": _number(told.get(b"nr_throttled")),
                "throttled_time": time}  # fmt: skip

    def _waited(self) -> dict[str, tuple[int, int]]:
        """Version 1 tells no pressure."""
        if self._version("cpu") != 2:
            return {}
        found = {name: parse_pressure(self._read("cpu", f"{name}.pressure").decode()) for name in RESOURCES}
        return {name: (pressure.some, pressure.full or 0) for name, pressure in found.items() if pressure}

    def _version(self, controller: str) -> int | None:
        return self._folders[controller][1] if controller in self._folders else None

    def _read(self, controller: str, file: str) -> bytes:
        """A file, whose name no other controller has; empty where there is none."""
        try:
            fd = self._files[file]
        except KeyError:
            fd = self._files[file] = self._open(controller, file)
        try:
            return os.pread(fd, MOST, 0) if fd is not None else b""
        except OSError:  # the group is gone
            return b""

    def _open(self, controller: str, file: str) -> int | None:
        if controller not in self._folders:
            return None
        try:
            return os.open(self._folders[controller][0] / file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None


def _number(told: bytes | None) -> int | None:
    """None for what is not told or is a word, as a limit can be."""
    return int(told) if told is not None and told.strip().isdigit() else None


def _pairs(told: bytes) -> dict[bytes, bytes]:
    """A file of names and numbers in turn."""
    words = told.split()
    return dict(zip(words[::2], words[1::2], strict=False))
