"""The bytes of volumes: wiped, copied, received, sent; always in pieces, so that it can be told to stop."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from frontinus.api.errors import Cancelled, StorageFailed
from frontinus.linux.storage.devices import behind, discard, size_of
from frontinus.linux.storage.files import FILE_MODE, telling
from frontinus.linux.storage.notes import note, noted
from frontinus.ports.storage import Form, Progress
from frontinus.sparse import layout, spans
from frontinus.storage import wiping
from frontinus.storage.steps import Overwrite
from frontinus.wire import pieces

PIECE = 1 << 20
WAIT_MS = 500
"""How often a transfer that nobody feeds looks whether it is to stop."""
ZEROS = bytes(PIECE)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_KEEP_SIZE, _PUNCH_HOLE = 1, 2

Stop = threading.Event


def _check(stop: Stop) -> None:
    if stop.is_set():
        raise Cancelled("told to stop")


def overwrite(step: Overwrite) -> None:
    with telling(step.path):
        fd = os.open(step.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            size = _size(fd)
            length = min(abs(step.length), size)
            os.pwrite(fd, bytes(length), 0 if step.length > 0 else size - length)
            os.fsync(fd)
        finally:
            os.close(fd)


def _size(fd: int) -> int:
    status = os.fstat(fd)
    return size_of(fd) if stat.S_ISBLK(status.st_mode) else status.st_size


def wipe(path: str, algorithm: str, progress: Progress | None, stop: Stop) -> None:
    """Every pass is on the disk before the next begins."""
    with telling(path):
        fd = os.open(behind(path), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = _size(fd)
            if algorithm == "trim":
                _trim(fd, size)
                return
            written = [(0, size)] if stat.S_ISBLK(os.fstat(fd).st_mode) else list(spans(fd, 0, size))
            todo = wiping.passes(algorithm)
            total, done = sum(end - start for start, end in written) * len(todo), 0
            for pattern in todo:
                for start, end in written:
                    for at in range(start, end, PIECE):
                        _check(stop)
                        length = min(PIECE, end - at)
                        os.pwrite(fd, _filling(pattern, at, length), at)
                        done += length
                        if progress is not None:
                            progress(done, total)
                os.fsync(fd)
        finally:
            os.close(fd)


def _filling(pattern: bytes | None, at: int, length: int) -> bytes:
    if pattern is None:
        return os.urandom(length)
    shift = at % len(pattern)
    return (pattern * (length // len(pattern) + 2))[shift : shift + length]


def _trim(fd: int, size: int) -> None:
    if stat.S_ISBLK(os.fstat(fd).st_mode):
        discard(fd, size)
    else:
        os.ftruncate(fd, 0)
        os.ftruncate(fd, size)
    os.fsync(fd)


def stage(source: str, target: str, length: int, stop: Stop) -> None:
    """A sparse copy that shares its blocks where the file system can, with the format that is noted for the original.

    Raises StorageFailed for a link: the copy would take its place, and what it leads to may be anybody's.
    """
    with telling(source):
        if Path(source).is_symlink():
            leads = Path(source).readlink()
            raise StorageFailed(f"{source} is a link to {leads}, which is not overwritten through it", path=source)
        Path(target).unlink(missing_ok=True)
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            writing = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            try:
                size = os.fstat(reading).st_size
                os.ftruncate(writing, size)
                for start, end in spans(reading, 0, size):
                    _copy(reading, writing, max(start, length), end, stop)
                note(writing, **noted(reading))
            finally:
                os.close(writing)
        finally:
            os.close(reading)


def _copy(reading: int, writing: int, start: int, end: int, stop: Stop) -> None:
    while start < end:
        _check(stop)
        done = os.copy_file_range(reading, writing, min(16 * PIECE, end - start), start, start)
        if done == 0:
            return
        start += done


def receive(
    sock: socket.socket, path: str, offset: int, length: int, form: Form, progress: Progress, stop: Stop
) -> int:
    """Write what comes until the other side shuts down its half. Raises StorageFailed when it goes away instead."""
    with telling(path):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            end = min(_size(fd), offset + length) if length else _size(fd)
            at = offset
            stream = _incoming(sock, stop)
            for piece in _taken_apart(stream) if form == "pieces" else stream:
                size = piece if isinstance(piece, int) else len(piece)
                if at + size > end:
                    raise StorageFailed(
                        f"{path}: more was sent than the {end - offset} bytes that there is room for", path=path
                    )
                if isinstance(piece, int):
                    _clear(fd, at, size, stop)
                elif form != "sparse" or not _is_zero(piece) or not _punched(fd, at, size):
                    _write_all(fd, piece, at)
                at += size
                progress(at - offset, end - offset)
            os.fsync(fd)
            return at - offset
        finally:
            os.close(fd)


def _taken_apart(stream: Iterable[bytes]) -> Iterator[bytes | int]:
    reader = pieces.Reader()
    for data in stream:
        yield from reader.feed(data)
    if not reader.is_whole:
        raise StorageFailed("the sender ended within a piece")


def _clear(fd: int, at: int, length: int, stop: Stop) -> None:
    """A hole, or zeros where there can be none."""
    if not _punched(fd, at, length):
        for start in range(at, at + length, PIECE):
            _check(stop)
            _write_all(fd, ZEROS[: min(PIECE, at + length - start)], start)


def _incoming(sock: socket.socket, stop: Stop) -> Iterator[bytes]:
    for _ in _ready(sock, select.POLLIN, stop):
        try:
            data = sock.recv(PIECE)
        except BlockingIOError:
            continue
        if not data:
            if _is_gone(sock):
                raise StorageFailed("the sender went away before it had said that this is all")
            return
        yield data


def _is_gone(sock: socket.socket) -> bool:
    """Whether the other side has closed, or its process ended; one that shut down its side only waits for our word."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(what & select.POLLHUP for _, what in poll.poll(0))


def _ready(sock: socket.socket, what: int, stop: Stop) -> Iterator[None]:
    """Once each time that the socket is ready."""
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, what)
    while True:
        _check(stop)
        if poll.poll(WAIT_MS):
            yield


def _write_all(fd: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(fd, rest, at)
        rest, at = rest[done:], at + done


def _is_zero(data: bytes) -> bool:
    return data == ZEROS[: len(data)]


def _punched(fd: int, at: int, length: int) -> bool:
    """Make a hole, where the file system has holes (fallocate(2))."""
    return bool(_libc.fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, at, length) == 0)


def send(sock: socket.socket, path: str, offset: int, length: int, form: Form, progress: Progress, stop: Stop) -> int:
    """Send content until its end, or until nobody reads any more."""
    with telling(path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            end = min(_size(fd), offset + length) if length else _size(fd)
            ready = _ready(sock, select.POLLOUT, stop)
            at = offset
            for start, until, is_data in layout(fd, offset, end) if form == "pieces" else [(offset, end, True)]:
                if form == "pieces":
                    _send_all(sock, pieces.data_head(until - start) if is_data else pieces.hole(until - start), ready)
                at = (
                    _send_file(sock, fd, start, until, ready, lambda at: progress(at - offset, end - offset))
                    if is_data
                    else until
                )
                if at < until:
                    break
            sock.shutdown(socket.SHUT_WR)
            return at - offset
        finally:
            os.close(fd)


def _send_file(
    sock: socket.socket, fd: int, at: int, end: int, ready: Iterator[None], done: Callable[[int], None]
) -> int:
    """Where it ended: before the end, if the file does by now."""
    while at < end:
        next(ready)
        try:
            sent = os.sendfile(sock.fileno(), fd, at, min(PIECE, end - at))
        except BlockingIOError:
            continue
        if sent == 0:
            break
        at += sent
        done(at)
    return at


def _send_all(sock: socket.socket, data: bytes, ready: Iterator[None]) -> None:
    while data:
        next(ready)
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            continue
