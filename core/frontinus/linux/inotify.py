"""Changes in folders, by inotify(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MODIFY, MOVED_TO, CREATE = 0x2, 0x80, 0x100
OVERFLOW = 0x4000
"""The mask of an event without watch and name: more happened than the kernel kept."""
IGNORED = 0x8000
"""The mask of a watch's last event: its folder is gone."""
EVENTS = 1 << 18
"""Bytes of events that are read at once; equal ones that wait are one."""
_ONLYDIR, _NONBLOCK, _CLOEXEC = 0x1000000, 0o4000, 0o2000000
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One event: of which watch, what (a mask), and the name in the folder."""

    watch: int
    mask: int
    name: str


class Inotify:
    """Folders that are watched. Its descriptor is readable when there is something to read. Raises OSError."""

    def __init__(self) -> None:
        self._fd = _done(_libc.inotify_init1(_CLOEXEC | _NONBLOCK), "inotify")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._fd

    def watch(self, folder: str | Path, mask: int) -> int:
        """Hear of a folder's changes; the number of the watch."""
        return _done(_libc.inotify_add_watch(self._fd, os.fsencode(folder), mask | _ONLYDIR), str(folder))

    def read(self) -> Sequence[Change]:
        """What happened since, without waiting."""
        try:
            data = os.read(self._fd, EVENTS)
        except BlockingIOError:
            return ()
        found, at = [], 0
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            found.append(Change(watch, mask, os.fsdecode(data[at - length : at].rstrip(b"\0"))))
        return found

    def close(self) -> None:
        os.close(self._fd)


def _done(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)
    return result
