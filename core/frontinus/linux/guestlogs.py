"""Logs of guests, kept small while QEMU writes them: what is old goes into backups, FILE.0 the newest, as virtlogd has them.

QEMU writes straight to its files, with O_APPEND, and goes on doing so when no engine runs: nothing is lost then. Where the
file system can take blocks out of the front of a file (ext4, xfs: fallocate(2), FALLOC_FL_COLLAPSE_RANGE), nothing is
lost at a turn either: backups and log, one after the other, are what was written. Elsewhere the file is emptied once it is
copied, and what comes between these two calls is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from frontinus import untrusted

log = logging.getLogger(__name__)
CHUNK = 1 << 20
SOON = 0.2
"""Seconds from a first write until files are looked at: a guest that prints without end wakes us no oftener."""
EVENTS = 1 << 18
"""Bytes of events that are read at once; equal ones that wait are one."""
_EVENT = struct.Struct("iIII")
_IN_MODIFY, _IN_OVERFLOW, _IN_IGNORED, _IN_ONLYDIR, _IN_NONBLOCK, _IN_CLOEXEC = (
    0x2,
    0x4000,
    0x8000,
    0x1000000,
    0o4000,
    0o2000000,
)
_COLLAPSE_RANGE = 8
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


@dataclass(frozen=True)
class Turn:
    """When a log is turned over: from `size` bytes on (0: never), and how many backups are kept."""

    size: int = 2 * 2**20
    backups: int = 3


class GuestLogs:
    """`ports.Logs` by inotify(7) on the folders that logs are in."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._files: dict[str, str] = {}
        """The guest that each file is of."""
        self._guests: dict[str, Sequence[str]] = {}
        self._folders: dict[int, str] = {}
        self._written: set[str] = set()
        self._inotify = -1
        self._due: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="logs")

    def follow(self, guest: str, files: Sequence[str]) -> None:
        if not self._turn.size:
            return
        self.forget(guest)
        self._guests[guest] = files
        self._files |= dict.fromkeys(files, guest)
        self._written.update(files)  # they may have grown while nobody watched
        try:
            for folder in {str(Path(file).parent) for file in files} - {*self._folders.values()}:
                self._watch(folder)
        except OSError as error:
            log.error("logs of guest %s are not kept small: %s", guest, error)
        self._soon()

    def forget(self, guest: str) -> None:
        for file in self._guests.pop(guest, ()):
            if self._files.get(file) == guest:
                del self._files[file]

    async def close(self) -> None:
        self._turn = Turn(size=0)  # whoever still starts a guest is too late
        if self._due is not None:
            self._due.cancel()
        if self._inotify >= 0:
            asyncio.get_running_loop().remove_reader(self._inotify)
            os.close(self._inotify)
            self._inotify = -1
        await asyncio.to_thread(self._thread.shutdown)

    def _watch(self, folder: str) -> None:
        """Hear of writes in a folder, for good."""
        if self._inotify < 0:
            self._inotify = _done(_libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK), "inotify")
        watch = _libc.inotify_add_watch(self._inotify, os.fsencode(folder), _IN_MODIFY | _IN_ONLYDIR)
        self._folders[_done(watch, folder)] = folder

    def _soon(self) -> None:
        """Look at what is written in a moment, and hear nothing more until then."""
        loop = asyncio.get_running_loop()
        if self._inotify >= 0:
            loop.remove_reader(self._inotify)
        if self._due is None:
            self._due = loop.call_later(SOON, self._look)

    def _look(self) -> None:
        self._due = None
        if self._inotify >= 0:
            self._written.update(self._told())
            asyncio.get_running_loop().add_reader(self._inotify, self._soon)
        files = [Path(file) for file in self._written if file in self._files]
        self._written.clear()
        self._thread.submit(turn_over, files, self._turn)

    def _told(self) -> Iterator[str]:
        """The files that were written to, of all kinds."""
        try:
            data = os.read(self._inotify, EVENTS)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            name = os.fsdecode(data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0"))
            at += _EVENT.size + length
            if mask & _IN_OVERFLOW:
                yield from self._files
            elif mask & _IN_IGNORED:  # the folder is gone
                self._folders.pop(watch, None)
            else:
                yield f"{self._folders.get(watch)}/{name}"


def _done(result: int, what: str) -> int:
    """What a call of the C library gave. Raises OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)
    return result


def turn_over(files: Iterable[Path], turn: Turn) -> None:
    """Turn over those that are large enough. Blocks."""
    for file in files:
        try:
            if file.lstat().st_size >= turn.size:
                _turn(file, turn)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.error("the log %s is not kept small: %s", file, error)


def _turn(file: Path, turn: Turn) -> None:
    """Move the front of a log into the newest backup. Another file that somebody put in its place is left alone."""
    with contextlib.ExitStack() as stack:
        fd = untrusted.open_regular(file, os.O_RDWR)
        stack.callback(os.close, fd)
        new = file.with_name(f".{file.name}.new")
        new.unlink(missing_ok=True)
        backup = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, backup)
        stack.callback(new.unlink, missing_ok=True)
        block = os.fstatvfs(fd).f_bsize
        front = (os.fstat(fd).st_size - 1) // block * block  # whole blocks, but never all of it
        _copy(fd, backup, max(0, front - turn.size * turn.backups), front)
        _age(new, [file.with_name(f"{file.name}.{number}") for number in range(turn.backups)])
        if not _collapse(fd, front):
            _copy(fd, backup, front, None)
            os.ftruncate(fd, 0)


def _age(new: Path, backups: Sequence[Path]) -> None:
    """A new file is the first backup now, each of the others the next one; the last one goes."""
    for younger, older in reversed([*itertools.pairwise(backups)]):
        with contextlib.suppress(FileNotFoundError):
            younger.replace(older)
    if backups:
        new.replace(backups[0])


def _collapse(fd: int, length: int) -> bool:
    """Take whole blocks out of the front of a file; False where that is not possible."""
    return length > 0 and bool(_libc.fallocate(fd, _COLLAPSE_RANGE, 0, length) == 0)


def _copy(source: int, target: int, start: int, end: int | None) -> None:
    """Append a part of a file to another; up to the very end, if none is said."""
    at = start
    while end is None or at < end:
        data = os.pread(source, CHUNK if end is None else min(CHUNK, end - at), at)
        if not data:
            return
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(target, rest) :]
        at += len(data)
