"""Files and names that last through a loss of power. Everything here blocks; OSError passes through."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path

MODE = 0o600
"""Documents may hold passwords of graphics, files of adapters their keys."""
TEMPORARY = re.compile(r"\..+\.\d+-\d+\.new")
_numbers = itertools.count()


def write(path: Path, data: bytes, *, mode: int = MODE, owner: tuple[int, int] | None = None) -> None:
    """Replace a file: it is there whole or not at all, and on disk when this returns.

    On failure the old one stays and nothing is left beside it. `owner`: user and group; else it is our own.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.new")
    try:
        _write_new(temporary, data, mode, owner)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_temporary(name: str) -> bool:
    """Whether a file is what a crash left of a write that had not come to its end."""
    return TEMPORARY.fullmatch(name) is not None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_new(path: Path, data: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb", buffering=0) as file:
        if owner is not None:
            os.fchown(fd, *owner)
        if mode != MODE:
            os.fchmod(fd, mode)
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(fd)


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Make a folder durably, and those above it that are missing. Blocks."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=mode)
            sync_folder(missing.parent)
