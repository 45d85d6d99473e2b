"""The file of a saved guest: a header with its definition, then the hypervisor's own stream.

Layout: 16 bytes magic, 8 bytes big-endian length of a JSON header, the header, zeros up to a multiple of 4096, the stream.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from frontinus.api.errors import StorageFailed
from frontinus.durable import make_folder, sync_folder

MAGIC = b"Frontinus save1\n"
UNFINISHED = b"Frontinus save0\n"
BLOCK = 4096
MAX_HEADER = 16 * 2**20


class Header(msgspec.Struct, kw_only=True):
    """`xml` is the running guest's; `cpu` the <cpu> that was asked for, where the guest has another."""

    xml: str
    running: bool
    uuid: str
    name: str
    cpu: str = ""


def create(path: Path, header: Header) -> int:
    """A descriptor on a new, still unfinished file, placed where the stream starts. Raises StorageFailed."""
    body = msgspec.json.encode(header)
    start = len(MAGIC) + 8 + len(body)
    try:
        make_folder(path.parent, 0o777)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, UNFINISHED + len(body).to_bytes(8, "big") + body + bytes(-start % BLOCK))
        except OSError:
            os.close(fd)
            remove(path)
            raise
    except OSError as error:
        raise StorageFailed(f"cannot write '{path}': {error.strerror}", path=str(path)) from None
    return fd


def finish(fd: int, path: Path) -> None:
    """Everything is written: make it and its name durable, then say so. Raises OSError."""
    os.fsync(fd)
    sync_folder(path.parent)
    os.pwrite(fd, MAGIC, 0)
    os.fsync(fd)


def open_saved(path: Path) -> tuple[int, Header]:
    """A descriptor at the start of the stream, and the header. Raises StorageFailed for what is no finished save."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not make us wait
    except OSError as error:
        raise StorageFailed(f"cannot open '{path}': {error.strerror}", path=str(path)) from None
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            raise StorageFailed(f"'{path}' is a pipe", path=str(path))
        os.set_blocking(fd, True)
        return fd, _header(fd, path)
    except BaseException:
        os.close(fd)
        raise


def _header(fd: int, path: Path) -> Header:
    start = os.read(fd, len(MAGIC) + 8)
    length = int.from_bytes(start[len(MAGIC) :], "big")
    if start.startswith(UNFINISHED):
        raise StorageFailed(f"'{path}' was not written to its end", path=str(path))
    if not start.startswith(MAGIC) or length > MAX_HEADER:
        raise StorageFailed(f"'{path}' is no saved guest", path=str(path))
    try:
        header = msgspec.json.decode(os.read(fd, length), type=Header)
    except msgspec.MsgspecError as error:
        raise StorageFailed(f"'{path}' has a damaged header: {error}", path=str(path)) from None
    end = len(start) + length
    os.lseek(fd, end + -end % BLOCK, os.SEEK_SET)
    return header


def rewrite(path: Path, header: Header) -> None:
    """Replace the header of a finished save. The stream is copied: a crash leaves the old file or the new. Raises StorageFailed."""
    old, _ = open_saved(path)
    beside = path.with_name(f".{path.name}.new")
    try:
        new = create(beside, header)
        try:
            _copy(old, new)
            finish(new, beside)
        finally:
            os.close(new)
        beside.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageFailed(f"cannot write '{path}': {error.strerror}", path=str(path)) from None
    finally:
        os.close(old)
        remove(beside)


def _copy(old: int, new: int) -> None:
    """What is left of one file to the end of the other, in the kernel where it can."""
    while os.copy_file_range(old, new, 2**30):
        pass


def remove(path: Path) -> None:
    """Remove a save durably; absent is fine."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def rename(path: Path, new: Path) -> None:
    """Give a save another name durably; absent is fine."""
    with suppress(FileNotFoundError):
        path.rename(new)
        sync_folder(new.parent)


def is_finished(path: Path) -> bool:
    """Whether a save was written to its end; False too where there is none."""
    try:
        fd, _ = open_saved(path)
    except StorageFailed:
        return False
    os.close(fd)
    return True
