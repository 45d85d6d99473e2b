"""Block devices: their sizes, and having them forget."""

from __future__ import annotations

import fcntl
import os
import struct

_BLKGETSIZE64, _BLKDISCARD = 0x80081272, 0x1277
"""Requests of linux/fs.h."""


def behind(path: str) -> str:
    """The device that a name in /dev leads to (by-path, volume groups). A link elsewhere stays one, and is not followed."""
    return os.path.realpath(path) if path.startswith("/dev/") else path


def device_size(path: str) -> int:
    """Bytes; 0 where it cannot be opened, as a drive without medium."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        return size_of(fd)
    except OSError:
        return 0
    finally:
        os.close(fd)


def size_of(fd: int) -> int:
    return int(struct.unpack("Q", fcntl.ioctl(fd, _BLKGETSIZE64, bytes(8)))[0])


def discard(fd: int, size: int) -> None:
    """Have a device forget its content. Raises OSError where it cannot."""
    fcntl.ioctl(fd, _BLKDISCARD, struct.pack("QQ", 0, size))
