"""What the kernel shows as files: sysfs, devices' first bytes. All of it blocks."""

from __future__ import annotations

import os
import time
from pathlib import Path

from frontinus.api.errors import InvalidValue
from frontinus.linux.storage.files import telling
from frontinus.storage.steps import Appears, Names, Read, Write

MOST = 1 << 20
TICK = 0.02
"""Seconds between two looks at what sysfs does not tell of."""


def read(step: Read) -> bytes:
    if step.length > MOST:
        raise InvalidValue(f"{step.length} bytes are too many to read at once", field="length")
    with telling(step.path):
        try:
            fd = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, step.length, step.offset)
        finally:
            os.close(fd)


def names(step: Names) -> list[str]:
    with telling(step.path):
        try:
            return sorted(os.listdir(step.path))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []


def appears(step: Appears) -> bool:
    deadline = time.monotonic() + step.seconds
    while not os.path.exists(step.path):  # noqa: PTH110
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK)
    return True


def write(step: Write) -> None:
    with telling(step.path):
        Path(step.path).write_text(step.text)
