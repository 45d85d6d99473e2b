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
        self._files: dict[tuple[str, str], int | None] = {}

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
                "memory": self._number("memory", "memory.usage_in_bytes"),
                "memory_peak": self._number("memory", "memory.max_usage_in_bytes"),
                "memory_limit_hits": self._number("memory", "memory.failcnt"),
                "oom_kills": self._pairs("memory", "memory.oom_control").get("oom_kill"),
            }
        told = self._pairs("memory", "memory.events")
        return {
            "memory": self._number("memory", "memory.current"), "memory_peak": self._number("memory", "memory.peak"),
            "memory_limit_hits": told.get("max"), "oom_kills": told.get("oom_kill"),
        }  # fmt: skip

    def _throttling(self) -> dict[str, int | None]:
        told = self._pairs("cpu", "cpu.stat")
        time = told.get("throttled_time")
        if time is None and "throttled_usec" in told:
            time = told["throttled_usec"] * USEC
        return {"periods": told.get("nr_periods"), "throttled": told.get("nr_throttled"), "throttled_time": time}

    def _waited(self) -> dict[str, tuple[int, int]]:
        """Version 1 tells no pressure."""
        if self._version("cpu") != 2:
            return {}
        found = {name: parse_pressure(self._text("cpu", f"{name}.pressure")) for name in RESOURCES}
        return {name: (pressure.some, pressure.full or 0) for name, pressure in found.items() if pressure}

    def _version(self, controller: str) -> int | None:
        return self._folders[controller][1] if controller in self._folders else None

    def _number(self, controller: str, file: str) -> int | None:
        text = self._text(controller, file).strip()
        return int(text) if text.isdecimal() else None

    def _pairs(self, controller: str, file: str) -> dict[str, int]:
        lines = (line.split() for line in self._text(controller, file).splitlines())
        return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}

    def _text(self, controller: str, file: str) -> str:
        key = controller, file
        if key not in self._files:
            self._files[key] = self._open(controller, file)
        fd = self._files[key]
        try:
            return os.pread(fd, MOST, 0).decode() if fd is not None else ""
        except OSError:  # the group is gone
            return ""

    def _open(self, controller: str, file: str) -> int | None:
        if controller not in self._folders:
            return None
        try:
            return os.open(self._folders[controller][0] / file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
