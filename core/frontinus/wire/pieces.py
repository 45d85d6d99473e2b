"""Content in pieces, so that holes need not be sent: before each piece stands its length, of a hole negative, in eight bytes.

Whoever reads does not learn where content is zero by itself; a hole is what a file system tells of one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEAD = struct.Struct(">q")


def data_head(length: int) -> bytes:
    """What stands before `length` bytes of data."""
    return HEAD.pack(length)


def hole(length: int) -> bytes:
    """`length` bytes of zeros."""
    return HEAD.pack(-length)


class Reader:
    """Takes a stream apart, however it is cut."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0

    def feed(self, data: bytes) -> Iterator[bytes | int]:
        """What there is of data, and the lengths of holes, in their order."""
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left, at = self._left - len(piece), at + len(piece)
                yield piece
                continue
            more = data[at : at + HEAD.size - len(self._head)]
            self._head += more
            at += len(more)
            if len(self._head) == HEAD.size:
                (length,) = HEAD.unpack(self._head)
                self._head.clear()
                self._left = max(length, 0)
                if length < 0:
                    yield -length

    @property
    def is_whole(self) -> bool:
        """Whether the stream may end here: not within a piece."""
        return not self._left and not self._head
