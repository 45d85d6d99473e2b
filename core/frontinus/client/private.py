"""Files that hold an adapter's secrets: read only when nobody else could have written them. `durable.write` makes them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MOST = 16 * 2**20
"""Octets of a file that is read."""


class BadState(Exception):
    """The state cannot be used; the message says why."""


def read(path: Path) -> bytes:
    """A file of our own. Raises BadState when others than its owner may use it, FileNotFoundError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise BadState(f"{path} must be a file that only its owner can read")
        return file.read(MOST)
