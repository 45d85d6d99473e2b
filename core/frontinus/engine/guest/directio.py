"""A guest's state past the host's page cache: a thread carries it between a pipe and a file opened with O_DIRECT.

O_DIRECT takes whole blocks from aligned memory, which the hypervisor's stream is not made of.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from frontinus.api.errors import StorageFailed

CHUNK = 2**20
"""Bytes that are carried at once; a multiple of any block."""
BLOCK = 4096


@asynccontextmanager
async def writer(path: Path, fd: int) -> AsyncIterator[int]:
    """A descriptor whose bytes are written to the file from where `fd` stands. Raises StorageFailed.

    On the way out everything has been written, and `fd` stands behind it.
    """
    start = os.lseek(fd, 0, os.SEEK_CUR)
    file = await asyncio.to_thread(_open, path, os.O_WRONLY)
    source, sink = os.pipe2(os.O_CLOEXEC)
    task = asyncio.ensure_future(asyncio.to_thread(_carrying, lambda: _write(source, file, start), source, file))
    failed: BaseException | None = None
    try:
        yield sink
    except BaseException as error:
        failed = error
    os.close(sink)
    try:
        written = await task
    except OSError as error:  # of which the hypervisor noticed a broken pipe
        raise _failed(path, error) from failed
    if failed is not None:
        raise failed
    os.lseek(fd, start + written, os.SEEK_SET)


@asynccontextmanager
async def reader(path: Path, fd: int) -> AsyncIterator[int]:
    """A descriptor that gives the bytes of the file from where `fd` stands. Raises StorageFailed."""
    start = os.lseek(fd, 0, os.SEEK_CUR)
    file = await asyncio.to_thread(_open, path, os.O_RDONLY)
    source, sink = os.pipe2(os.O_CLOEXEC)
    task = asyncio.ensure_future(asyncio.to_thread(_carrying, lambda: _read(file, start, sink), sink, file))
    try:
        yield source
    finally:
        os.close(source)
        await asyncio.gather(task, return_exceptions=True)


def _open(path: Path, mode: int) -> int:
    try:
        return os.open(path, mode | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        raise _failed(path, error) from None


def _failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(f"cannot bypass the cache for '{path}': {error.strerror}", path=str(path))


def _carrying(work: Callable[[], int], *fds: int) -> int:
    try:
        return work()
    finally:
        for fd in fds:
            os.close(fd)


def _write(source: int, file: int, start: int) -> int:
    """Carry until the pipe ends; the last block is filled up, and the file cut to its length."""
    total = 0
    with mmap.mmap(-1, CHUNK) as buffer, memoryview(buffer) as view:
        while filled := _fill(source, view):
            whole = filled + -filled % BLOCK
            view[filled:whole] = bytes(whole - filled)
            done = 0
            while done < whole:
                done += os.pwritev(file, [view[done:whole]], start + total + done)
            total += filled
    os.ftruncate(file, start + total)
    return total


def _read(file: int, start: int, sink: int) -> int:
    total = 0
    with mmap.mmap(-1, CHUNK) as buffer, memoryview(buffer) as view, suppress(BrokenPipeError):
        while got := os.preadv(file, [view], start + total):
            sent = 0
            while sent < got:
                sent += os.write(sink, view[sent:got])
            total += got
    return total


def _fill(source: int, view: memoryview) -> int:
    """Read until the buffer is full or the pipe ends."""
    filled = 0
    while filled < CHUNK and (got := os.readv(source, [view[filled:]])):
        filled += got
    return filled
