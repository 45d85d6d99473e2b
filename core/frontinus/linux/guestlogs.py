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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from frontinus import untrusted
from frontinus.linux import inotify
from frontinus.linux.inotify import Change, Inotify

log = logging.getLogger(__name__)
CHUNK = 1 << 20
SOON = 0.2
"""Seconds from a first write until files are looked at: a guest that prints without end wakes us no oftener."""
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
        self._inotify: Inotify | None = None
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
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify)
            self._inotify.close()
            self._inotify = None
        await asyncio.to_thread(self._thread.shutdown)

    def _watch(self, folder: str) -> None:
        """Hear of writes in a folder, for good."""
        self._inotify = self._inotify or Inotify()
        self._folders[self._inotify.watch(folder, inotify.MODIFY)] = folder

    def _soon(self) -> None:
        """Look at what is written in a moment, and hear nothing more until then."""
        loop = asyncio.get_running_loop()
        if self._inotify is not None:
            loop.remove_reader(self._inotify)
        if self._due is None:
            self._due = loop.call_later(SOON, self._look)

    def _look(self) -> None:
        self._due = None
        if self._inotify is not None:
            self._written.update(self._told(self._inotify.read()))
            asyncio.get_running_loop().add_reader(self._inotify, self._soon)
        files = [Path(file) for file in self._written if file in self._files]
        self._written.clear()
        self._thread.submit(turn_over, files, self._turn)

    def _told(self, changes: Sequence[Change]) -> Iterator[str]:
        """The files that were written to, of all kinds."""
        for change in changes:
            if change.mask & inotify.OVERFLOW:
                yield from self._files
            elif change.mask & inotify.IGNORED:
                self._folders.pop(change.watch, None)
            else:
                yield f"{self._folders.get(change.watch)}/{change.name}"


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
