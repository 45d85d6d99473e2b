"""The content of volumes between a file of the user's and the engine's socket."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from frontinus.api.descriptor import Descriptor
from frontinus.api.engine import Engine
from frontinus.api.errors import StorageFailed
from frontinus.sparse import layout
from frontinus.wire import pieces

PIECE = 1 << 18
DONE = b"\0"


async def upload(engine: Engine, descriptor: Descriptor, file: str, *, sparse: bool) -> int:
    """Send a file (- for standard input) and wait until all is on disk. Raises StorageFailed with the job's reason.

    `sparse`: the descriptor takes pieces, and of holes only the length is sent.
    """
    sent, confirmed = await asyncio.to_thread(_upload, descriptor, file, sparse=sparse)
    if not confirmed:
        failed = [job for job in await engine.jobs() if job.kind == "upload" and job.error]
        raise StorageFailed(failed[-1].error if failed and failed[-1].error else "the upload ended early")
    return sent


def _upload(descriptor: Descriptor, file: str, *, sparse: bool) -> tuple[int, bool]:
    with socket.socket(fileno=descriptor) as sock, _opened(file, "rb") as source:
        total = os.fstat(source.fileno()).st_size if file != "-" else 0
        sent = 0
        with bar(f"Uploading {file}", total) as step:
            try:
                for piece in _pieces(source, total) if sparse else _blocks(source):
                    size = piece if isinstance(piece, int) else len(piece)
                    if sparse:
                        sock.sendall(pieces.hole(size) if isinstance(piece, int) else pieces.data_head(size))
                    if not isinstance(piece, int):
                        sock.sendall(piece)
                    sent += size
                    step(size)
                sock.shutdown(socket.SHUT_WR)
                return sent, sock.recv(1) == DONE
            except ConnectionError:
                return sent, False


def _blocks(source: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """So many bytes, or all that come."""
    while data := source.read(PIECE if length is None else min(PIECE, length)):
        length = None if length is None else length - len(data)
        yield data


def _pieces(source: BinaryIO, total: int) -> Iterator[bytes | int]:
    """Data, and the lengths of holes: those of the file, or blocks of zeros of what is no file."""
    if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        for data in _blocks(source):
            yield data if any(data) else len(data)
        return
    for start, end, is_data in layout(source.fileno(), 0, total):
        if is_data:
            source.seek(start)
            yield from _blocks(source, end - start)
        else:
            yield end - start


async def download(engine: Engine, descriptor: Descriptor, file: str, total: int, *, sparse: bool) -> int:
    """Write a volume's content to a file (- for standard output). `sparse`: it comes in pieces; holes stay holes.

    Raises StorageFailed with the job's reason where less came than was looked for and the job did not come to its end.
    """
    got = await asyncio.to_thread(_download, descriptor, file, total, sparse=sparse)
    if got < total:
        ended = [job for job in await engine.jobs() if job.kind == "download" and job.ended is not None]
        last = max(ended, key=lambda job: job.ended or 0, default=None)
        if last is None or last.state != "completed":
            why = last.error if last is not None else None
            raise StorageFailed(why or f"the download ended early: {got} bytes of {total} came", path=file)
    return got


def _download(descriptor: Descriptor, file: str, total: int, *, sparse: bool) -> int:
    reader = pieces.Reader()
    with socket.socket(fileno=descriptor) as sock, _opened(file, "wb") as target:
        got = 0
        with bar(f"Downloading to {file}", total) as step:
            while data := sock.recv(PIECE):
                for piece in reader.feed(data) if sparse else [data]:
                    size = piece if isinstance(piece, int) else len(piece)
                    _put(target, piece, seeks=file != "-")
                    got += size
                    step(size)
        if not reader.is_whole:
            raise StorageFailed("the download ended early")
        if sparse and file != "-":
            target.truncate(got)
        return got


def _put(target: BinaryIO, piece: bytes | int, *, seeks: bool) -> None:
    if not isinstance(piece, int):
        target.write(piece)
    elif seeks:
        target.seek(piece, os.SEEK_CUR)
    else:
        while piece > 0:
            target.write(bytes(min(piece, PIECE)))
            piece -= PIECE


@contextmanager
def _opened(file: str, mode: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer if "r" in mode else sys.stdout.buffer
        return
    try:
        handle = Path(file).open(mode)  # noqa: SIM115
    except OSError as error:
        raise StorageFailed(f"cannot open '{file}': {error.strerror}", path=file) from None
    with handle:
        yield handle  # type: ignore[misc]


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for bytes, where a person sees it; what it yields is told of each piece."""
    if not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        row = progress.add_task(title, total=total or None)
        yield lambda size: progress.update(row, advance=size)
