"""The content of volumes between a file of the user's and the engine's socket."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from frontinus.api.descriptor import Descriptor
from frontinus.api.engine import Engine
from frontinus.api.errors import StorageFailed

PIECE = 1 << 18
BLOCK = 4096
DONE = b"\0"


async def upload(engine: Engine, descriptor: Descriptor, file: str) -> int:
    """Send a file (- for standard input) and wait until all is on disk. Raises StorageFailed with the job's reason."""
    sent, confirmed = await asyncio.to_thread(_upload, descriptor, file)
    if not confirmed:
        failed = [job for job in await engine.jobs() if job.kind == "upload" and job.error]
        raise StorageFailed(failed[-1].error if failed and failed[-1].error else "the upload ended early")
    return sent


def _upload(descriptor: Descriptor, file: str) -> tuple[int, bool]:
    with socket.socket(fileno=descriptor) as sock, _opened(file, "rb") as source:
        total = os.fstat(source.fileno()).st_size if file != "-" else 0
        sent = 0
        with bar(f"Uploading {file}", total) as step:
            try:
                while data := source.read(PIECE):
                    sock.sendall(data)
                    sent += len(data)
                    step(len(data))
                sock.shutdown(socket.SHUT_WR)
                return sent, sock.recv(1) == DONE
            except ConnectionError:
                return sent, False


async def download(descriptor: Descriptor, file: str, total: int, *, sparse: bool) -> int:
    """Write a volume's content to a file (- for standard output). `sparse`: zeros become holes."""
    return await asyncio.to_thread(_download, descriptor, file, total, sparse=sparse)


def _download(descriptor: Descriptor, file: str, total: int, *, sparse: bool) -> int:
    with socket.socket(fileno=descriptor) as sock, _opened(file, "wb") as target:
        got = 0
        with bar(f"Downloading to {file}", total) as step:
            while data := sock.recv(PIECE):
                got += len(data)
                step(len(data))
                if sparse and file != "-" and not any(data):
                    target.seek(len(data), os.SEEK_CUR)
                else:
                    target.write(data)
        if sparse and file != "-":
            target.truncate(got)
        return got


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
