"""A unix socket of lines on the event loop: one write for many lines, descriptors beside a line, a limit of size."""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

CHUNK = 1 << 18
LIMIT = 64 << 20
"""Bytes of the longest line taken; QEMU's whole schema has a quarter of a megabyte."""


class Wire:
    """Lines in, lines out. `on_line` gets each line without its end; `on_end` the reason, once.

    Written on the socket itself, because asyncio's transports cannot pass descriptors.
    """

    def __init__(self, sock: socket.socket, on_line: Callable[[bytes], None], on_end: Callable[[str], None],
                 limit: int = LIMIT) -> None:  # fmt: skip
        sock.setblocking(False)
        self._socket = sock
        self._on_line = on_line
        self._on_end = on_end
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._parts: list[bytes] = []
        self._size = 0
        self.open = True
        self._loop.add_reader(sock, self._readable)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Queue bytes, with descriptors that go with their first byte and stay the caller's once this returns."""
        if not self.open:
            return
        if self._waiting:
            self._waiting.append((memoryview(data), [os.dup(fd) for fd in fds]))
            return
        sent = self._write(memoryview(data), fds)
        if sent < len(data):
            later = [] if sent else [os.dup(fd) for fd in fds]
            self._waiting.append((memoryview(data)[sent:], later))
            self._loop.add_writer(self._socket, self._writable)

    def close(self) -> None:
        """Close at once, without a word to `on_end`."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for _, fds in self._waiting:
            _close(fds)
        self._waiting.clear()

    def _end(self, reason: str) -> None:
        if self.open:
            self.close()
            self._on_end(reason)

    def _write(self, data: memoryview, fds: Sequence[int]) -> int:
        try:
            if not fds:
                return self._socket.send(data)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
            return self._socket.sendmsg([data], [rights])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(data)  # the other end is gone; reading will say so, after what it had still said

    def _writable(self) -> None:
        while self._waiting:
            data, fds = self._waiting[0]
            sent = self._write(data, fds)
            if not sent:
                return
            _close(fds)
            if sent < len(data):
                self._waiting[0] = (data[sent:], ())
                return
            self._waiting.popleft()
        self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            chunk = self._socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error.strerror or "the connection broke")
            return
        if not chunk:
            self._end("the connection was closed")
            return
        *lines, rest = chunk.split(b"\n")
        if lines and self._parts:
            lines[0] = b"".join([*self._parts, lines[0]])
            self._parts, self._size = [], 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        for line in lines:
            if self.open:  # a line may have made the owner close
                self._on_line(line)
        if self._size > self._limit:
            self._end(f"a message exceeds {self._limit} bytes")


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
