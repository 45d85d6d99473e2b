"""POSIX access control lists: letting one more user at a file, and taking that back, without touching its owner.

The attribute's layout is the kernel's (include/uapi/linux/posix_acl_xattr.h); meaning of the entries: acl(5).
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading

ATTRIBUTE = "system.posix_acl_access"
_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _OWNER_GROUP, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_ANYBODY = 0xFFFFFFFF

Entries = dict[tuple[int, int], int]
"""Permissions by tag and id."""

_lock = threading.Lock()


def grant(path: str, uid: int, permissions: int) -> None:
    """Give a user permissions (4 read, 2 write, 1 execute). Raises OSError; EPERM if others would gain by it."""
    with _lock:
        entries = _read(path)
        limit = entries.get((_MASK, _ANYBODY), entries[(_OWNER_GROUP, _ANYBODY)])
        widened = limit | permissions
        shadowed = (p for (tag, _), p in entries.items() if tag in (_USER, _GROUP, _OWNER_GROUP))
        if any(p & widened & ~limit for p in shadowed):
            raise PermissionError(errno.EPERM, "its access control list would let others in as well")
        entries[(_USER, uid)] = permissions
        entries[(_MASK, _ANYBODY)] = widened
        _write(path, entries)


def revoke(path: str, uid: int) -> None:
    """Take a user's permissions back; the last one leaves a file without a list. Nothing to take is fine."""
    with _lock:
        try:
            entries = _read(path)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return
            raise
        if entries.pop((_USER, uid), None) is None:
            return
        mask = entries.pop((_MASK, _ANYBODY))
        if any(tag in (_USER, _GROUP) for tag, _ in entries):
            entries[(_MASK, _ANYBODY)] = mask & _union(entries)
        else:
            entries[(_OWNER_GROUP, _ANYBODY)] &= mask
        _write(path, entries)


def users(path: str) -> dict[int, int]:
    """Permissions of the users that a file's list names."""
    return {uid: permissions for (tag, uid), permissions in _read(path).items() if tag == _USER}


def _union(entries: Entries) -> int:
    mask = 0
    for (tag, _), permissions in entries.items():
        if tag in (_USER, _GROUP, _OWNER_GROUP):
            mask |= permissions
    return mask


def _read(path: str) -> Entries:
    try:
        data = os.getxattr(path, ATTRIBUTE)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        mode = stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116
        return {
            (_OWNER, _ANYBODY): mode >> 6 & 7,
            (_OWNER_GROUP, _ANYBODY): mode >> 3 & 7,
            (_OTHERS, _ANYBODY): mode & 7,
        }
    return {(tag, who): permissions for tag, permissions, who in _ENTRY.iter_unpack(data[_HEADER.size :])}


def _write(path: str, entries: Entries) -> None:
    packed = (_ENTRY.pack(tag, permissions, who) for (tag, who), permissions in sorted(entries.items()))
    os.setxattr(path, ATTRIBUTE, _HEADER.pack(_VERSION) + b"".join(packed))
