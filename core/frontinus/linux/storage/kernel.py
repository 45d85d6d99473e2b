"""What the kernel shows as files: sysfs, devices' first bytes. All of it blocks."""

from __future__ import annotations

import os
from pathlib import Path

from frontinus.api.errors import InvalidValue
from frontinus.linux.storage.files import telling
from frontinus.storage.steps import Names, Read, Write

MOST = 1 << 20


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


def write(step: Write) -> None:
    with telling(step.path):
        Path(step.path).write_text(step.text)
