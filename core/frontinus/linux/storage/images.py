"""Images looked at by our own reader: some bytes of each, no qemu-img; and not again while nothing changed. All of it blocks.

What a file's status (stat(2)) was, is kept with what was found in it: while the kernel says the same, the content is the same.
That holds where every write marks the file at once, so not on file systems of a network; and only for a file whose last mark
is older than a mark is fine, since a second write within the same tick of the clock leaves none. Writes through a shared
mapping are marked by the kernel when a page is first made dirty; QEMU writes images otherwise.
"""

from __future__ import annotations

import ctypes
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from frontinus.api.errors import StorageFailed
from frontinus.linux.storage.devices import behind
from frontinus.linux.storage.files import place_of, telling
from frontinus.linux.storage.notes import noted
from frontinus.storage import headers
from frontinus.storage.headers import Header
from frontinus.storage.steps import Found, Inspect, Scan

MAX_VOLUMES = 100_000
SETTLED_NS = 3 * 10**9
"""A mark is of a whole second on some file systems, of two on FAT."""
MARKING = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010})
"""File systems of this host alone, by their magic numbers (linux/magic.h): ext, XFS, btrfs, F2FS."""
OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_libc = ctypes.CDLL(None, use_errno=True)


class Marks(NamedTuple):
    """Which marks are believed: of the files of a device that are marked at each write, made `before` a time (ns)."""

    device: int | None = None
    before: int = 0

    def stamp(self, status: os.stat_result) -> os.stat_result | None:
        """The status, where one that stays the same means that nothing changed."""
        if status.st_dev == self.device and status.st_mtime_ns < self.before and status.st_ctime_ns < self.before:
            return status
        return None


def scan(step: Scan) -> Mapping[str, Found]:
    """All files and folders of a folder, by name. What cannot be looked at (a link to nowhere) is left out."""
    with telling(step.path):
        folder = os.open(step.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            there = _names(folder)
            changed = _changed(folder, step.known)
            new = [name for name in there if name not in step.known]
            if len(step.known) + len(new) > MAX_VOLUMES:
                raise StorageFailed(f"{step.path} has more than {MAX_VOLUMES} entries", path=step.path)
            marks = Marks(_marking_device(folder), time.time_ns() - SETTLED_NS)
        finally:
            os.close(folder)
    if not changed and not new:
        return step.known
    found = dict(step.known)
    for name in changed:
        del found[name]
    for name in (*changed, *new):
        try:
            name.encode()
            found[name] = _found(name, f"{step.path}/{name}", marks, is_file=there.get(name, False))
        except (OSError, UnicodeEncodeError):
            continue
    return {name: found[name] for name in sorted(found)}


def _names(folder: int) -> dict[str, bool]:
    """What is in a folder, and whether it is a file and no link to one: most file systems tell both at once."""
    with os.scandir(folder) as entries:
        return {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}


def _changed(folder: int, known: Mapping[str, Found]) -> list[str]:
    """What is not as it was found, or is gone. Of a large folder that nobody changes this loop is all the work.

    Equal statuses are equal to the second only: the time of the last change, and the blocks, are compared beside.
    """
    changed = []
    for name, before in known.items():
        stamp = before.stamp
        try:
            status = os.stat(name, dir_fd=folder) if stamp is not None else None
        except OSError:
            status = None
        if (
            status is None
            or status != stamp
            or status.st_ctime_ns != stamp.st_ctime_ns
            or status.st_blocks != stamp.st_blocks
        ):
            changed.append(name)
    return changed


def _marking_device(folder: int) -> int | None:
    """The device whose files are marked at each write; None where that is not sure."""
    answer = ctypes.create_string_buffer(256)  # struct statfs: its first member is the type, a long
    if _libc.fstatfs(folder, answer) != 0 or ctypes.c_long.from_buffer(answer).value not in MARKING:
        return None
    return os.fstat(folder).st_dev


def inspect(step: Inspect) -> Found:
    """One image, or the device that a link leads to; looked at anew whatever was found before."""
    with telling(step.path):
        return _found(Path(step.path).name, behind(step.path), Marks())


def _found(name: str, path: str, marks: Marks, *, is_file: bool = False) -> Found:
    """Only files are opened: `is_file`, it is known to be one."""
    status = None if is_file else os.stat(path)  # noqa: PTH116
    if status is not None and not stat.S_ISREG(status.st_mode):
        return Found(name, path, place_of(status, path), times=_times(status))
    try:
        fd = _open(path, os.O_NOFOLLOW if is_file else 0)
    except PermissionError:
        status = os.stat(path)  # noqa: PTH116
        return Found(name, path, place_of(status, path), times=_times(status), stamp=marks.stamp(status))
    try:
        status = os.fstat(fd)  # from before the content is read
        header, notes = _content(fd, status.st_size) if stat.S_ISREG(status.st_mode) else (Header(), {})
    finally:
        os.close(fd)
    return Found(name, path, place_of(status, path), header, notes.get("format"), notes.get("secret"), _times(status),
                 marks.stamp(status))  # fmt: skip


def _times(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns


def _content(fd: int, size: int) -> tuple[Header, dict[str, str]]:
    """What a file's first bytes say, and what was noted for it."""
    head = os.pread(fd, headers.HEAD, 0)
    header = headers.by_head(head)
    if header is None or (header.format == "raw" and size > headers.FAR[0][0]):
        header = _further(fd, head, size)
    return header, noted(fd)


def _further(fd: int, head: bytes, size: int) -> Header:
    """The header of an image whose first bytes do not tell all."""
    span = headers.name_span(head)
    name = os.pread(fd, span[1], span[0]) if span else b""
    far = os.pread(fd, 8, headers.FAR[0][0]) if size > headers.FAR[0][0] and headers.marked(head) is None else b""
    header = headers.parse(head, name, far)
    return _without_header(header, head, size) if header.format == "luks" else header


def _open(path: str, flags: int) -> int:
    """Looking leaves no trace in the time of access, where we may choose so: of our own files, or as root."""
    try:
        return os.open(path, OPENING | os.O_NOATIME | flags)
    except PermissionError:
        return os.open(path, OPENING | flags)


def _without_header(header: Header, head: bytes, size: int) -> Header:
    payload = headers.luks_payload(head)
    return Header("luks", max(0, size - payload) if payload else None, encryption="luks")
