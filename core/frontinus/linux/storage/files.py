"""Files and folders of pools: looked at, made, given their names and owners. All of it blocks."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from frontinus.api.errors import AlreadyExists, StorageFailed, Unsupported
from frontinus.durable import make_folder as make_folder_durably
from frontinus.durable import sync_folder
from frontinus.linux.storage.devices import behind, device_size
from frontinus.linux.storage.notes import note, noted
from frontinus.storage.parts import Permissions
from frontinus.storage.steps import (
    Allocate,
    Declare,
    Look,
    MakeFolder,
    Mounted,
    Note,
    Own,
    Place,
    Reflink,
    Remove,
    RemoveFolder,
    RoundUp,
    Settle,
    Space,
)

FOLDER_MODE, FILE_MODE = 0o711, 0o600
"""What nobody chose: a folder that others can only pass, a file for its owner."""

_libc = ctypes.CDLL(None, use_errno=True)
FICLONE = 0x40049409
"""Request of linux/fs.h."""
_AT_FDCWD, _NOREPLACE = -100, 1
KINDS = {stat.S_IFREG: "file", stat.S_IFBLK: "block", stat.S_IFDIR: "dir"}


@contextlib.contextmanager
def telling(path: str | Path) -> Iterator[None]:
    """Put the kernel's refusals into words."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror or error}", path=str(path)) from None


def place_of(status: os.stat_result, path: str) -> Place:
    """What stat says, and of a block device its size."""
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
    size = device_size(path) if kind == "block" else status.st_size
    allocation = size if kind == "block" else status.st_blocks * 512
    return Place(kind, size, allocation, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def look(step: Look) -> Place | None:
    with telling(step.path):
        try:
            return place_of(os.stat(step.path), step.path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return None


def space(step: Space) -> tuple[int, int]:
    with telling(step.path):
        found = os.statvfs(step.path)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def mounted(step: Mounted) -> str | None:
    """What the last line of mountinfo for this place says (proc_pid_mountinfo(5))."""
    found = None
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if _unquoted(before.split(" ")[4]) == step.path:
            found = _unquoted(after.split(" ")[1])
    return found


def _unquoted(word: str) -> str:
    """Blanks and the like stand there as three octal digits."""
    for code in (b"\\040", b"\\011", b"\\012", b"\\134"):
        word = word.replace(code.decode(), chr(int(code[1:], 8)))
    return word


def make_folder(step: MakeFolder) -> None:
    path = Path(step.path)
    with telling(path):
        if step.new and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        make_folder_durably(path, FOLDER_MODE)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)  # what is there and no folder is refused
        _give(step.path, step.permissions, FOLDER_MODE if step.new else None)


def remove_folder(step: RemoveFolder) -> None:
    with telling(step.path), contextlib.suppress(FileNotFoundError):
        Path(step.path).rmdir()


def remove(step: Remove) -> None:
    path = Path(step.path)
    with telling(path), contextlib.suppress(FileNotFoundError):
        if step.tree and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        sync_folder(path.parent)


def own(step: Own) -> None:
    with telling(step.path):
        _give(step.path, step.permissions, None)


def _give(path: str, permissions: Permissions, mode: int | None) -> None:
    chosen = permissions.mode if permissions.mode is not None else mode
    if chosen is not None:
        os.chmod(path, chosen)  # noqa: PTH101
    if permissions.owner is not None or permissions.group is not None:
        owner = permissions.owner if permissions.owner is not None else -1
        group = permissions.group if permissions.group is not None else -1
        os.chown(path, owner, group)


def allocate(step: Allocate) -> None:
    with telling(step.path):
        fd = os.open(step.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            os.ftruncate(fd, step.size)
            if step.allocated:
                os.posix_fallocate(fd, 0, step.allocated)
        finally:
            os.close(fd)


def round_up(step: RoundUp) -> None:
    with telling(step.path):
        size = os.stat(step.path).st_size  # noqa: PTH116
        os.truncate(step.path, -(-size // step.unit) * step.unit)


def reflink(step: Reflink) -> None:
    with telling(step.path):
        source = os.open(step.source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fd = os.open(step.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            try:
                fcntl.ioctl(fd, FICLONE, source)
            except OSError as error:
                if error.errno in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY):
                    raise Unsupported(f"{step.path}: this file system cannot share blocks with {step.source}") from None
                raise
            finally:
                os.close(fd)
        finally:
            os.close(source)


def settle(step: Settle) -> None:
    """Owner, mode, format, content and name become durable in this order; the name comes last."""
    with telling(step.path):
        fd = os.open(step.temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _give(step.temporary, step.permissions, None)
            if step.format != "dir":
                note(fd, format=step.format, secret=step.secret)
            os.fsync(fd)
        finally:
            os.close(fd)
        move_new(step.temporary, step.path)
        sync_folder(Path(step.path).parent)


def note_secret(step: Note) -> None:
    with telling(step.path):
        fd = os.open(behind(step.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            note(fd, secret=step.secret)
            os.fsync(fd)
        finally:
            os.close(fd)


def declare(step: Declare) -> None:
    with telling(step.path):
        fd = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if "format" not in noted(fd):
                note(fd, format=step.format)
                os.fsync(fd)
        finally:
            os.close(fd)


def move_new(source: str, target: str) -> None:
    """Rename to a name that is free. Raises AlreadyExists."""
    moved = _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _NOREPLACE) == 0
    code = 0 if moved else ctypes.get_errno()
    if code == errno.EEXIST or (code in (errno.EINVAL, errno.ENOSYS) and os.path.lexists(target)):
        raise AlreadyExists(f"{target} is there already", volume=target)
    if code in (errno.EINVAL, errno.ENOSYS):  # a file system that cannot promise it
        Path(source).rename(target)
    elif code:
        raise OSError(code, os.strerror(code), target)


def replace(staged: str, path: str) -> None:
    """Let a staged file take another's place, with the owner, mode and noted format that the other has."""
    with telling(path):
        before = os.stat(path)  # noqa: PTH116
        fd = os.open(staged, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fchmod(fd, stat.S_IMODE(before.st_mode))
            os.fchown(fd, before.st_uid, before.st_gid)
            os.fsync(fd)
        finally:
            os.close(fd)
        Path(staged).replace(path)
        sync_folder(Path(path).parent)
