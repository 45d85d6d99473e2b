"""The format of a volume, and which secret opens it, noted where no guest can write: in extended attributes.

`trusted` attributes are root's alone; an engine without root has only `user` ones, which the owner of the file can change.
A file system without such attributes keeps no note, and then only a header that refers to nothing else is believed.
"""

from __future__ import annotations

import contextlib
import os

STEM = "trusted.frontinus" if os.geteuid() == 0 else "user.frontinus"
NAMES = ("format", "secret")
LONGEST = 1024


def note(fd: int, **notes: str | None) -> None:
    """Write what is given of `format` and `secret`."""
    for name, text in notes.items():
        if text:
            with contextlib.suppress(OSError):
                os.setxattr(fd, f"{STEM}.{name}", text.encode())


def noted(fd: int) -> dict[str, str]:
    """What was noted, by name."""
    found: dict[str, str] = {}
    try:
        for key in os.listxattr(fd):
            stem, _, name = key.rpartition(".")
            if stem == STEM and name in NAMES:
                found[name] = os.getxattr(fd, key)[:LONGEST].decode(errors="replace")
    except OSError:
        pass
    return found
