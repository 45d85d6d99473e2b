"""The format of a volume, noted beside its content where no guest can write: in an extended attribute.

`trusted` attributes are root's alone; an engine without root has only `user` ones, which the owner of the file can change.
A file system without such attributes keeps no note, and then only a header that refers to nothing else is believed.
"""

from __future__ import annotations

import contextlib
import os

NAME = "trusted.frontinus.format" if os.geteuid() == 0 else "user.frontinus.format"
LONGEST = 16


def note_format(fd: int, kind: str) -> None:
    with contextlib.suppress(OSError):
        os.setxattr(fd, NAME, kind.encode())


def noted_format(fd: int) -> str | None:
    try:
        value = os.getxattr(fd, NAME)
    except OSError:
        return None
    return value[:LONGEST].decode("ascii", errors="replace")
