"""Descriptors beside bytes on a unix socket (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
from collections.abc import Sequence
from typing import Protocol

from frontinus.api.errors import HostFailed, InvalidValue

MAX_FDS = 16
"""Descriptors that come with one frame."""


class Allowance(Protocol):
    """What the other end of a connection may have open here."""

    def take(self, count: int) -> None:
        """So many more have come. Raises Busy when they are too many."""

    def close(self, fds: Sequence[int]) -> None:
        """Close them; they count until that is done."""


def receive(sock: socket.socket, size: int) -> tuple[bytes, list[int], bool]:
    """Bytes, the descriptors that came with them, and whether others came that had no room: those the kernel has closed.

    What comes is never inherited, not even by a child that another thread starts meanwhile.
    """
    numbers = array.array("i")
    data, ancillary, flags, _ = sock.recvmsg(size, socket.CMSG_LEN(MAX_FDS * numbers.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return data, numbers.tolist(), bool(flags & socket.MSG_CTRUNC)


def copies(fds: Sequence[int], field: str) -> list[int]:
    """Copies of descriptors, all or none. Raises InvalidValue for one that is not open, HostFailed where no more can be."""
    made: list[int] = []
    try:
        for fd in fds:
            made.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))
    except (OSError, OverflowError, ValueError) as error:
        for fd in made:
            os.close(fd)
        if isinstance(error, OSError) and error.errno != errno.EBADF:
            raise HostFailed(f"a descriptor cannot be copied: {error.strerror}", what="descriptors") from None
        raise InvalidValue(f"{fds} are not all open descriptors", field=field) from None
    return made
