"""What a user can reach: asked of the kernel in that user's place, so that ACLs and network file systems answer too.

Only the calling thread changes, and only for file access: its supplementary groups and file system ids, by the bare
system calls, since those of the C library would change every thread. Sources: setfsuid(2), setgroups(2), faccessat(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from frontinus.ports.resources import Credentials

_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "ppc64le": 81, "s390x": 206}
"""Numbers of the bare system calls that differ between machines; the others are the same on all."""
_FACCESSAT2 = 439
_AT_FDCWD, _AT_EACCESS = -100, 0x200

_libc = ctypes.CDLL(None, use_errno=True)


def obstacle(path: str, who: Credentials | None, *, write: bool, read: bool = True) -> str | None:
    """None if the user can open the path so, else which part of it is in the way and why."""
    with acting_as(who):
        wanted = (os.R_OK if read else 0) | (os.W_OK if write else 0)
        error = _access(path, wanted)
        if error == 0:
            return None
        for parent in reversed(Path(path).parents):
            blocked = _access(str(parent), os.X_OK)
            if blocked:
                return f"{parent}: {os.strerror(blocked)}"
        return f"{path}: {os.strerror(error)}"


@contextmanager
def acting_as(who: Credentials | None) -> Iterator[None]:
    """Let this thread reach only what a user can. No await inside. None: as we are."""
    if who is None or os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    try:
        _set_groups(who.groups)
        _libc.setfsgid(who.gid)
        _libc.setfsuid(who.uid)
        if _libc.setfsuid(-1) != who.uid or _libc.setfsgid(-1) != who.gid:
            raise PermissionError(f"cannot act as user {who.uid}")
        yield
    finally:
        _libc.setfsuid(os.geteuid())
        _libc.setfsgid(os.getegid())
        _set_groups(groups)


def _access(path: str, mode: int) -> int:
    """0, or the errno of faccessat2 with the ids that files are reached with."""
    done = _libc.syscall(_FACCESSAT2, _AT_FDCWD, os.fsencode(path), mode, _AT_EACCESS)
    return 0 if done == 0 else ctypes.get_errno()


def _set_groups(groups: Sequence[int]) -> None:
    packed = struct.pack(f"={len(groups)}I", *groups)
    if _libc.syscall(_SETGROUPS[platform.machine()], len(groups), packed) != 0:
        raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
