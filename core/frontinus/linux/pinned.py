"""A file held fast: what is looked at and what is changed is the same one, whatever becomes of its name meanwhile.

The folders on the way to a user's image may be that user's, who can put a link to a file of root's in the place of what
root has just looked at. Sources: openat2(2), RESOLVE_NO_SYMLINKS; open(2), O_PATH; proc(5), /proc/pid/fd.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator

_OPENAT2 = 437
"""The system call; the same on every architecture."""
_AT_FDCWD, _NO_SYMLINKS = -100, 0x04
_HOW = struct.Struct("=QQQ")
"""struct open_how: flags, mode, resolve."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def pinned(path: str) -> Iterator[str]:
    """Another name of the file at a resolved path, good while the body runs. Raises OSError: ELOOP for a path that has
    become one with a link in it."""
    fd = _open(path)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _open(path: str) -> int:
    flags = os.O_PATH | os.O_CLOEXEC
    how = _HOW.pack(flags, 0, _NO_SYMLINKS)
    fd: int = _libc.syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, _HOW.size)
    if fd >= 0:
        return fd
    code = ctypes.get_errno()
    if code == errno.ENOSYS:  # a kernel before 5.6 watches the last part alone
        return os.open(path, flags | os.O_NOFOLLOW)
    raise OSError(code, os.strerror(code), path)
