"""Loop devices on parts of a file or device (linux/loop.h), found again by what they stand on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from frontinus.api.errors import StorageFailed
from frontinus.linux.storage.files import telling
from frontinus.storage.steps import AttachLoop, DetachLoop

_SET_FD, _CLR_FD, _SET_STATUS64, _CONFIGURE = 0x4C00, 0x4C01, 0x4C04, 0x4C0A
_GET_FREE = 0x4C82
TRIES = 16
BLOCKS = Path("/sys/block")


def attach(step: AttachLoop) -> str:
    """The loop device of a part, the one that there is or a new one. Raises StorageFailed."""
    with telling(step.path):
        known = next(_of(step.path, step.offset), None)
        if known is not None:
            return known
        backing = os.open(step.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return _attach(backing, step)
        finally:
            os.close(backing)


def _attach(backing: int, step: AttachLoop) -> str:
    for _ in range(TRIES):
        with open("/dev/loop-control", "rb") as control:  # noqa: PTH123
            number = fcntl.ioctl(control, _GET_FREE)
        path = f"/dev/loop{number}"
        _node(path, number)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _CONFIGURE, _config(backing, step))
            return path
        except OSError as error:
            if error.errno != errno.EBUSY:  # another was quicker
                raise
        finally:
            os.close(fd)
    raise StorageFailed(f"{step.path}: no loop device is free", path=step.path)


def _node(path: str, number: int) -> None:
    """In a /dev without udev nobody makes the node."""
    with contextlib.suppress(FileExistsError):
        os.mknod(path, 0o600 | 0o060000, os.makedev(7, number))


def _config(backing: int, step: AttachLoop) -> bytes:
    """struct loop_config: the descriptor, the block size (0: the usual one), and a loop_info64 with offset and limit."""
    info = struct.pack(
        "=5Q4I64s64s32s2Q", 0, 0, 0, step.offset, step.size, 0, 0, 0, 0, os.fsencode(step.path)[:63], b"", b"", 0, 0
    )
    return struct.pack("=2I", backing, 0) + info + bytes(64)


def detach(step: DetachLoop) -> None:
    for path in list(_of(step.path, step.offset)):
        with telling(path):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _CLR_FD)
            finally:
                os.close(fd)


def _of(path: str, offset: int) -> Iterator[str]:
    """Loop devices that stand on this place, by what sysfs tells of them."""
    real = os.path.realpath(path)
    for folder in sorted(BLOCKS.glob("loop*/loop")):
        with contextlib.suppress(OSError):
            backing, at = (folder / "backing_file").read_text().rstrip("\n"), (folder / "offset").read_text()
            if backing == real and int(at) == offset:
                yield f"/dev/{folder.parent.name}"
