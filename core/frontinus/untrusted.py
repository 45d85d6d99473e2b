"""Reading files that a guest's process, or a user, may have put in the place of ours: no link, no pipe, no more than a limit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """A descriptor of a regular file that nobody else has a name for. Raises OSError, also for whatever else is there."""
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(fd)
        raise OSError(errno.EPERM, "it is no regular file, or has a second name", str(path))
    return fd


def read(path: Path, most: int) -> bytes:
    """All of a file of at most so many bytes. Raises OSError: EFBIG for a larger one."""
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return data


def tail(path: Path, most: int) -> bytes:
    """The last bytes of a file. Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return file.read(most)
