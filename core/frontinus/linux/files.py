"""Files of a guest: opened for it, filled with a secret, or copied from a template."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed, StorageFailed
from frontinus.domain.plan import CopyOnce, EmptyFile, OpenFile, SecretFile
from frontinus.durable import sync_folder
from frontinus.linux import images
from frontinus.linux.failing import failing
from frontinus.linux.folders import make_way
from frontinus.linux.setup import Maker, Setup, Undo, is_below, text

KEY_BYTES = 32
CHUNK = 1 << 30


class OpenFiles(Maker[OpenFile]):
    """Opens files that QEMU gets as descriptors. What was opened stays: a log outlives its guest."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots

    def make(self, resource: OpenFile, records: list[Undo], setup: Setup) -> None:
        path = Path(resource.path)
        with failing("open", resource.path):
            if not resource.device and is_below(resource.path, self._roots):
                make_way(path.parent, setup)
            fd = os.open(path, _flags(path, resource), resource.mode)
            os.set_blocking(fd, True)
        setup.fds[resource.fd] = fd


def _flags(path: Path, resource: OpenFile) -> int:
    """QEMU takes a descriptor of a set only if its access mode is the one that it would open the file with itself.

    What would be written over, or made, is not what a link leads to: its folder may be another user's.
    """
    always = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK  # a pipe that nobody reads must refuse and not wait
    with contextlib.suppress(OSError):
        if stat.S_ISCHR(path.stat().st_mode):
            return always | os.O_RDWR
    if resource.device:
        return always | os.O_WRONLY
    return always | os.O_NOFOLLOW | os.O_WRONLY | os.O_CREAT | (os.O_APPEND if resource.append else os.O_TRUNC)


class SecretFiles(Maker[SecretFile]):
    """Writes secrets that only the guest's user can read."""

    kinds = ("file",)

    def intend(self, resource: SecretFile, setup: Setup) -> list[Undo]:
        return [] if setup.is_inside(resource.path) else [{"kind": "file", "path": resource.path}]

    def make(self, resource: SecretFile, records: list[Undo], setup: Setup) -> None:
        path = Path(resource.path)
        data = secrets.token_bytes(KEY_BYTES) if resource.data is None else resource.data
        with failing("write the secret", resource.path):
            path.unlink(missing_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
            try:
                os.write(fd, data)
                setup.give(fd)
            finally:
                os.close(fd)

    def undo(self, record: Mapping[str, object]) -> None:
        Path(text(record, "path")).unlink(missing_ok=True)


class Copies(Maker[CopyOnce]):
    """Makes a file from a template if it is not there. It stays: a variable store is as lasting as a disk.

    What is taken back is a copy that broke off.
    """

    kinds = ("copy",)

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots
        self._turn = threading.Lock()

    def intend(self, resource: CopyOnce, setup: Setup) -> list[Undo]:
        if not os.path.lexists(resource.target) and not Path(resource.source).is_file():
            raise HostFailed(
                f"there is no template {resource.source} to make {resource.target} from", what=resource.source
            )
        target = Path(resource.target)
        return [] if target.exists() else [{"kind": "copy", "path": str(_unfinished(target))}]

    def make(self, resource: CopyOnce, records: list[Undo], setup: Setup) -> None:
        target = Path(resource.target)
        if target.exists():
            return
        with failing("make", f"{target} from {resource.source}"):
            if is_below(resource.target, self._roots):
                make_way(target.parent, setup)
            with self._turn:  # two guests may want the same one at once
                if resource.source_format == resource.format:
                    copy(Path(resource.source), target)
                else:
                    convert(resource)

    def undo(self, record: Mapping[str, object]) -> None:
        with self._turn:
            Path(text(record, "path")).unlink(missing_ok=True)


class EmptyFiles(Maker[EmptyFile]):
    """Makes files that are not there. They stay: what the guest keeps in one is as lasting as a disk."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots

    def make(self, resource: EmptyFile, records: list[Undo], setup: Setup) -> None:
        path = Path(resource.path)
        with failing("make", resource.path), contextlib.suppress(FileExistsError):
            if is_below(resource.path, self._roots):
                make_way(path.parent, setup)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            sync_folder(path.parent)


def _unfinished(target: Path) -> Path:
    """What a copy is called until it is whole."""
    return target.with_name(f".{target.name}.new")


def convert(resource: CopyOnce) -> None:
    """Make an image of another format than its template's, first where nobody else can reach. Raises HostFailed."""
    with tempfile.TemporaryDirectory(prefix="frontinus-") as folder:
        made = Path(folder, "image")
        made.touch()
        source = images.plain(resource.source)
        try:
            images.run(["convert", "-q", "-f", resource.source_format, "-O", resource.format, "--", source, str(made)],
                       str(made), [resource.source])  # fmt: skip
        except StorageFailed as error:
            raise HostFailed(f"cannot make {resource.target}: {error.message}", what=resource.target) from None
        copy(made, Path(resource.target))


def copy(source: Path, target: Path) -> None:
    """Copy a file durably; it has its name only when it is whole. A target that came meanwhile is kept."""
    temporary = _unfinished(target)
    temporary.unlink(missing_ok=True)  # of a copy that broke off, or another user's
    try:
        with source.open("rb") as template:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                while os.sendfile(fd, template.fileno(), None, CHUNK):
                    pass
                os.fsync(fd)
            finally:
                os.close(fd)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)
