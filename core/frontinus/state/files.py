"""Small files that are there whole or not at all: written beside their place, fsynced, renamed, the folder fsynced.

Everything here blocks. OSError passes through; the store puts it into words.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from frontinus.durable import sync_folder

MODE = 0o600
"""Documents may hold passwords of graphics."""

TEMPORARY = re.compile(r"\..+\.\d+-\d+\.new")
ASIDE = re.compile(r".+\.broken-\d+")

_numbers = itertools.count()


def write(path: Path, data: bytes) -> None:
    """Replace a file. On failure the old one stays and nothing is left beside it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.new")
    try:
        _write_new(temporary, data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_temporary(name: str) -> bool:
    """Whether a file is what a crash left of a write that had not come to its end."""
    return TEMPORARY.fullmatch(name) is not None


def remove(path: Path) -> None:
    """Remove a file durably; absent is fine."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def move_aside(path: Path) -> Path:
    """Give a file the first free name NAME.broken-N; nothing is ever overwritten."""
    for place in _asides(path):
        with contextlib.suppress(FileExistsError):
            os.link(path, place)  # unlike a rename, this refuses a name that is taken
            path.unlink()
            sync_folder(path.parent)
            return place
    raise AssertionError("names do not run out")


def is_aside(name: str) -> bool:
    """Whether a file was set aside."""
    return ASIDE.fullmatch(name) is not None


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, for us alone."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=0o700)
            sync_folder(missing.parent)


def _write_new(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _asides(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.name}.broken-{number}") for number in itertools.count(1))
