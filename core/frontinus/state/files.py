"""The store's files and folders: made, removed and set aside so that it lasts; `durable.write` replaces them.

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

ASIDE = re.compile(r".+\.broken-\d+")


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


def _asides(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.name}.broken-{number}") for number in itertools.count(1))
