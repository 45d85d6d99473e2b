"""Images looked at by our own reader: some bytes of each, no qemu-img; and not again while nothing changed. All of it blocks.

What a file's status (stat(2)) was, is kept with what was found in it: while the kernel says the same, the content is the same.
That holds where every write marks the file at once, so not on file systems of a network; and only for a file whose last mark
is older than a mark is fine, since a second write within the same tick of the clock leaves none. Writes through a shared
mapping are marked by the kernel when a page is first made dirty; QEMU writes images otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

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


def scan(step: Scan) -> Mapping[str, Found]:
    """All files and folders of a folder, by name. What cannot be looked at (a link to nowhere) is left out."""
    with telling(step.path):
        folder = os.open(step.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            new = sorted(set(os.listdir(folder)) - step.known.keys())  # noqa: PTH208
            if len(step.known) + len(new) > MAX_VOLUMES:
                raise StorageFailed(f"{step.path} has more than {MAX_VOLUMES} entries", path=step.path)
            changed = {**_changed(folder, step.known), **{name: _status(folder, name) for name in new}}
            device = _marking_device(folder)
        finally:
            os.close(folder)
    if not changed:
        return step.known
    found = {name: before for name, before in step.known.items() if name not in changed}
    found |= _looked_at(step.path, changed, device)
    return dict(sorted(found.items()))


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder)
    except OSError:
        return None


def _changed(folder: int, known: Mapping[str, Found]) -> dict[str, os.stat_result | None]:
    """The status of what is not as it was found, None for what is gone. Of a large folder this loop is all the work.

    Equal statuses are equal to the second only: the time of the last change, and the blocks, are compared beside.
    """
    changed: dict[str, os.stat_result | None] = {}
    for name, before in known.items():
        status, stamp = _status(folder, name), before.stamp
        if (
            status is None
            or status != stamp
            or status.st_ctime_ns != stamp.st_ctime_ns
            or status.st_blocks != stamp.st_blocks
        ):
            changed[name] = status
    return changed


def _looked_at(folder: str, changed: Mapping[str, os.stat_result | None], device: int | None) -> dict[str, Found]:
    found = {}
    for name, status in changed.items():
        with contextlib.suppress(OSError, UnicodeEncodeError):
            name.encode()
            if status is not None:
                found[name] = _found(name, f"{folder}/{name}", status, device)
    return found


def _marking_device(folder: int) -> int | None:
    """The device whose files are marked at each write; None where that is not sure."""
    answer = ctypes.create_string_buffer(256)  # struct statfs: its first member is the type, a long
    if _libc.fstatfs(folder, answer) != 0 or ctypes.c_long.from_buffer(answer).value not in MARKING:
        return None
    return os.fstat(folder).st_dev


def inspect(step: Inspect) -> Found:
    """One image, or the device that a link leads to; looked at anew whatever was found before."""
    with telling(step.path):
        path = behind(step.path)
        return _found(Path(step.path).name, path, os.stat(path), None)  # noqa: PTH116


def _found(name: str, path: str, status: os.stat_result, device: int | None) -> Found:
    """`device`: the one whose files are marked at each write. The status is from before the content is read."""
    place, times = place_of(status, path), (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    if not stat.S_ISREG(status.st_mode):
        return Found(name, path, place, times=times)
    settled = time.time_ns() - max(times[1:]) > SETTLED_NS
    stamp = status if settled and status.st_dev == device else None
    header, notes = _header(path, status)
    return Found(name, path, place, header, notes.get("format"), notes.get("secret"), times, stamp)


def _header(path: str, status: os.stat_result) -> tuple[Header, dict[str, str]]:
    """What a file's first bytes say, and what was noted for it."""
    try:
        fd = _open(path)
    except PermissionError:
        return Header(), {}
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return Header(), {}
        head = os.pread(fd, headers.HEAD, 0)
        span = headers.name_span(head)
        name = os.pread(fd, span[1], span[0]) if span else b""
        far = (
            os.pread(fd, 8, headers.FAR[0][0])
            if headers.marked(head) is None and status.st_size > headers.FAR[0][0]
            else b""
        )
        header = headers.parse(head, name, far)
        if header.format == "luks":
            header = _without_header(header, head, status.st_size)
        return header, noted(fd)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    """Looking leaves no trace in the time of access, where we may choose so: of our own files, or as root."""
    try:
        return os.open(path, OPENING | os.O_NOATIME)
    except PermissionError:
        return os.open(path, OPENING)


def _without_header(header: Header, head: bytes, size: int) -> Header:
    payload = headers.luks_payload(head)
    return Header("luks", max(0, size - payload) if payload else None, encryption="luks")
