"""A unix socket that carries frames and descriptors, without a thread and without blocking the loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from frontinus.api.errors import Disconnected, FrontinusError, InvalidValue
from frontinus.wire.frames import Unframer
from frontinus.wire.passing import MAX_FDS, Allowance, receive

CHUNK = 256 * 1024
HIGH_WATER = 1024 * 1024
"""Bytes waiting to be sent above which `drained` waits."""


class Channel:
    """Sends in order and calls `received` with each frame, `closed` once at the end.

    `serving`: the peer is a client, which may be hostile. None of its requests are taken while it leaves the answers to
    earlier ones lying, and its descriptors only within an `allowance`, never more than one frame has.
    """

    def __init__(self, sock: socket.socket, limit: int, received: Callable[[bytes], None], closed: Callable[[], None],
                 *, serving: bool = False, allowance: Allowance | None = None) -> None:  # fmt: skip
        sock.setblocking(False)
        self.sock = sock
        self._serving, self._allowance = serving, allowance
        self.fds: deque[int] = deque()
        self._received, self._closed = received, closed
        self._unframer = Unframer(limit)
        self._queue: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)
        self.open = True

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Queue a frame; its descriptors are closed here, once they have left or cannot leave. Raises Disconnected."""
        if not self.open:
            _close(fds)
            raise Disconnected("the connection is closed")
        was_idle = not self._queue
        self._queue.append((memoryview(data), fds))
        self._waiting += len(data)
        if was_idle:
            self._write()
        if self._waiting > HIGH_WATER:
            self._room.clear()
            if self._serving and self.open:
                self._loop.remove_reader(self.sock.fileno())

    async def drained(self) -> None:
        """Wait until the peer has taken enough for more to be sent."""
        await self._room.wait()
        if not self.open:
            raise Disconnected("the connection is closed")

    def close(self) -> None:
        """Close now; what was not sent is lost. Idempotent."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self.sock.fileno())
        self._loop.remove_writer(self.sock.fileno())
        _close(fd for _, fds in self._queue for fd in fds)
        self._queue.clear()
        came, self.fds = tuple(self.fds), deque()
        if self._allowance is None:
            _close(came)
        elif came:
            self._allowance.close(came)
        self.sock.close()
        self._room.set()
        self._closed()

    def take(self, count: int) -> list[int]:
        """The descriptors of the frame that was just received; whoever takes them closes them. Raises InvalidValue."""
        if not 0 <= count <= len(self.fds):
            raise InvalidValue(f"{count} descriptors were to come with a frame, {len(self.fds)} did", field="fds")
        return [self.fds.popleft() for _ in range(count)]

    def _readable(self) -> None:
        try:
            data = self._receive()
        except BlockingIOError:
            return
        except (OSError, FrontinusError):
            data = b""
        if not data:
            self.close()
            return
        try:
            for one in self._unframer.feed(data):
                self._received(one)
                if not self.open:
                    return
        except FrontinusError:
            self.close()

    def _receive(self) -> bytes:
        """What there is, its descriptors kept. Raises FrontinusError for a client that gives too many."""
        if self._serving and self._allowance is None:
            return self.sock.recv(CHUNK)  # the kernel drops descriptors that have no room in a message
        data, fds, cut = receive(self.sock, CHUNK)
        self.fds.extend(fds)
        if self._allowance is not None and fds:
            self._allowance.take(len(fds))
            if cut or len(self.fds) > MAX_FDS:
                raise InvalidValue("a frame has too many descriptors", field="fds")
        return data

    def _write(self) -> None:
        try:
            while self._queue:
                data, fds = self._queue[0]
                sent = socket.send_fds(self.sock, [data], list(fds)) if fds else self.sock.send(data)
                for fd in fds:
                    os.close(fd)
                self._waiting -= sent
                if sent < len(data):
                    self._queue[0] = (data[sent:], ())
                else:
                    self._queue.popleft()
        except BlockingIOError:
            self._loop.add_writer(self.sock.fileno(), self._write)
        except OSError:
            self.close()
            return
        else:
            self._loop.remove_writer(self.sock.fileno())
        if self._waiting <= HIGH_WATER and not self._room.is_set():
            self._room.set()
            if self._serving:
                self._loop.add_reader(self.sock.fileno(), self._readable)


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
