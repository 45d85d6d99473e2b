"""A file system in memory that records all that happens to it, for what a loss of power would leave (`support.lost`).

`python -m support.losing MOUNTPOINT RECORD` mounts it (FUSE). Once the attribute `user.record` is set on its root, everything is
taken for durable, and from then on each change is recorded; `user.mark` puts a mark among them. On unmount, RECORD is written.
What QEMU and its tools do passes through it like what the engine does.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import pickle
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mfusepy

from support.lost import ROOT, Change, Cut, Disk, Kept, Make, Mark, Name, Node, Note, Own, Record, Rename, Sync, Write
from support.mounts import unmount

RECORD, MARK = "user.record", "user.mark"
HIDDEN = ".fuse_hidden"
"""What libfuse renames a file to that is removed while it is open: a name that no other file system would have."""


@contextlib.contextmanager
def mounted(folder: Path, record: Path) -> Iterator[None]:
    """The folder on this file system; when this ends, the record is written."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-m", "support.losing", folder, record], env=environment) as process:
        try:
            while not os.path.ismount(folder):
                assert process.poll() is None
                time.sleep(0.01)
            yield
        finally:
            unmount(folder)
            process.wait(300)


def begin(folder: Path) -> None:
    """Take all that is there for durable, and record from now on."""
    os.setxattr(folder, RECORD, b"1")


def mark(folder: Path, text: str) -> None:
    os.setxattr(folder, MARK, text.encode())


class Losing(mfusepy.Operations):  # type: ignore[misc]
    use_ns = True

    def __init__(self, record: str) -> None:
        self.disk, self.record = Disk(), record
        self.start: bytes | None = None
        self.changes: list[Change] = []
        self.numbers = itertools.count(ROOT + 1)
        self.changed: dict[int, int] = {}
        self.hidden: dict[str, int] = {}

    def happen(self, change: Change, *nodes: int) -> None:
        """`nodes`: whose times change."""
        self.disk.apply(change)
        if self.start is not None:
            self.changes.append(change)
        for number in nodes:
            self.changed[number] = time.time_ns()

    def destroy(self, path: str) -> None:
        Record(self.start or pickle.dumps(self.disk), [*self.changes, Change("end")]).save(self.record)

    # --- names

    def _number(self, path: str) -> int:
        number = self.hidden.get(path, ROOT)
        for name in filter(None, path.split("/")) if path not in self.hidden else ():
            names = self.disk.nodes[number].names
            if name not in names:
                raise mfusepy.FuseOSError(errno.ENOENT)
            number = names[name]
        return number

    def _node(self, path: str) -> Node:
        return self.disk.nodes[self._number(path)]

    def _name(self, path: str, node: int | None) -> Name:
        folder, _, name = path.rpartition("/")
        return Name(self._number(folder), name, node)

    def _add(self, path: str, mode: int) -> None:
        uid, gid, _ = mfusepy.fuse_get_context()
        name = self._name(path, next(self.numbers))
        self.happen(
            Make(f"make {path}", name.node or 0, Kept(mode, uid, gid, b"", ()), name), name.folder, name.node or 0
        )

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._add(path, stat.S_IFREG | stat.S_IMODE(mode))
        return 0

    def mkdir(self, path: str, mode: int) -> None:
        self._add(path, stat.S_IFDIR | stat.S_IMODE(mode))

    def mknod(self, path: str, mode: int, dev: int) -> int:
        self._add(path, mode)
        return 0

    def unlink(self, path: str) -> None:
        if self.hidden.pop(path, None) is None:
            self._number(path)
            name = self._name(path, None)
            self.happen(Rename(f"unlink {path}", (name,)), name.folder)

    def rmdir(self, path: str) -> None:
        if self._node(path).names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self.unlink(path)

    def rename(self, old: str, new: str) -> None:
        number = self._number(old)
        if new.rpartition("/")[2].startswith(HIDDEN):
            self.unlink(old)
            self.hidden[new] = number
            return
        names = (self._name(new, number), self._name(old, None))
        self.happen(Rename(f"rename {old} {new}", names), names[0].folder, names[1].folder)

    def link(self, target: str, source: str) -> None:
        name = self._name(target, self._number(source))
        self.happen(Rename(f"link {target}", (name,)), name.folder)

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self._node(path).names]

    # --- content

    def open(self, path: str, flags: int) -> int:
        self._number(path)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._node(path).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        number = self._number(path)
        self.happen(Write(f"write {path} at {offset}", number, offset, bytes(data)), number)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        number = self._number(path)
        self.happen(Cut(f"truncate {path} to {length}", number, length), number)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        self.happen(Sync(f"fsync {path}", self._number(path)))

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        self.happen(Sync(f"fsyncdir {path}", self._number(path)))

    # --- attributes

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        number = self._number(path)
        node, size = self.disk.nodes[number], len(self.disk.nodes[number].content)
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), self.changed.get(number, 0))
        return {"st_mode": node.mode, "st_uid": node.uid, "st_gid": node.gid, "st_size": size,
                "st_nlink": 2 if node.is_folder else 1, "st_blocks": -(-size // 512), **times}  # fmt: skip

    def chmod(self, path: str, mode: int) -> None:
        number, node = self._number(path), self._node(path)
        mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        self.happen(Own(f"chmod {path}", number, mode, node.uid, node.gid), number)

    def chown(self, path: str, uid: int, gid: int) -> None:
        number, node = self._number(path), self._node(path)
        uid = node.uid if uid in (-1, 2**32 - 1) else uid
        gid = node.gid if gid in (-1, 2**32 - 1) else gid
        self.happen(Own(f"chown {path}", number, node.mode, uid, gid), number)

    def utimens(self, path: str, times: Any = None) -> None:
        self.changed[self._number(path)] = time.time_ns()

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> None:
        if path == "/" and name == RECORD:
            self.disk.sync_all()
            self.start = pickle.dumps(self.disk)
        elif path == "/" and name == MARK:
            self.happen(Mark(bytes(value).decode()))
        else:
            self.happen(Note(f"note {path}", self._number(path), name, bytes(value)), self._number(path))

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        found = self._node(path).attributes.get(name)
        if found is None:
            raise mfusepy.FuseOSError(errno.ENODATA)
        return found

    def listxattr(self, path: str) -> list[str]:
        return list(self._node(path).attributes)

    def removexattr(self, path: str, name: str) -> None:
        self.happen(Note(f"note {path}", self._number(path), name, None), self._number(path))

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 18, "f_bfree": 1 << 17, "f_bavail": 1 << 17,
                "f_namemax": 255}  # fmt: skip


if __name__ == "__main__":
    mfusepy.FUSE(
        Losing(sys.argv[2]),
        sys.argv[1],
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
        fsname="losing",
        allow_other=True,  # who may do what is not looked at: access lists would not count
    )
