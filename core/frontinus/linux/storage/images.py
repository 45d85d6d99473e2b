"""Images looked at by our own reader: some bytes of each, no qemu-img. All of it blocks."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from frontinus.api.errors import StorageFailed
from frontinus.linux.storage.files import place_of, telling
from frontinus.linux.storage.notes import noted
from frontinus.storage import headers
from frontinus.storage.headers import Header
from frontinus.storage.steps import Found, Inspect, Scan

MAX_VOLUMES = 100_000


def scan(step: Scan) -> tuple[Found, ...]:
    """All files and folders of a folder, by name. What cannot be looked at (a link to nowhere) is left out."""
    with telling(step.path):
        names = sorted(entry.name for entry in os.scandir(step.path))
    if len(names) > MAX_VOLUMES:
        raise StorageFailed(f"{step.path} has {len(names)} entries, more than {MAX_VOLUMES}", path=step.path)
    return tuple(_each(step.path, names))


def _each(folder: str, names: list[str]) -> Iterator[Found]:
    for name in names:
        try:
            name.encode()
            yield _found(name, f"{folder}/{name}")
        except (OSError, UnicodeEncodeError):
            continue


def inspect(step: Inspect) -> Found:
    """One image, or the device that a link leads to."""
    with telling(step.path):
        path = os.path.realpath(step.path) if step.path.startswith("/dev/") else step.path
        return _found(Path(step.path).name, path)


def _found(name: str, path: str) -> Found:
    status = os.stat(path)  # noqa: PTH116
    place = place_of(status, path)
    times = tuple(
        f"{ns // 10**9}.{ns % 10**9:09d}" for ns in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    )
    if not stat.S_ISREG(status.st_mode):
        return Found(name, path, place, times=times)  # type: ignore[arg-type]
    header, notes = _header(path, status)
    return Found(name, path, place, header, notes.get("format"), notes.get("secret"), times)  # type: ignore[arg-type]


def _header(path: str, status: os.stat_result) -> tuple[Header, dict[str, str]]:
    """What a file's first bytes say, and what was noted for it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except PermissionError:
        return Header(), {}
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return Header(), {}
        head = os.pread(fd, headers.HEAD, 0)
        span = headers.name_span(head)
        name = os.pread(fd, span[1], span[0]) if span else b""
        far = os.pread(fd, 8, headers.FAR[0][0]) if status.st_size > headers.FAR[0][0] else b""
        header = headers.parse(head, name, far)
        if header.format == "luks":
            header = _without_header(header, head, status.st_size)
        return header, noted(fd)
    finally:
        os.close(fd)


def _without_header(header: Header, head: bytes, size: int) -> Header:
    payload = headers.luks_payload(head)
    return Header("luks", max(0, size - payload) if payload else None, encryption="luks")
