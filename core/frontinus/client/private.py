"""Files that hold an adapter's secrets: written whole or not at all, and read only when nobody else could have written them.

Everything here blocks. A write is on disk when it returns: temporary file, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path

from frontinus.durable import sync_folder

MOST = 16 * 2**20
"""Octets of a file that is read."""
_numbers = itertools.count()


class BadState(Exception):
    """The state cannot be used; the message says why."""


def write(path: Path, content: bytes, owner: tuple[int, int] | None = None) -> None:
    """Replace a file, readable by its owner alone. On failure the old one stays and nothing is left beside it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read(path: Path) -> bytes:
    """A file of our own. Raises BadState when others than its owner may use it, FileNotFoundError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise BadState(f"{path} must be a file that only its owner can read")
        return file.read(MOST)
