"""A file system in memory that knows what a loss of power leaves: of a file what was fsynced, of names those whose folder was.

`python losing.py MOUNTPOINT RECORD` mounts it (FUSE). Once the attribute `user.record` is set on its root, everything is taken
for durable, and from then on each change is a moment at which power may be lost. On unmount, RECORD has what each moment leaves:

- `strict`: what was fsynced and no more.
- `names`: all names, sizes and attributes, but of content only what was fsynced: a rename that overtook the data.
- `all`: everything, as when the engine alone is killed.

What QEMU's tools do passes through it like what the engine does. An order of writes within one file that a disk turns around
is not tried.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import stat
import sys
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import mfusepy

RECORD = "user.record"
EVERY = 8
"""Of writes to content one in so many is a moment; of all other changes each."""


class Kept(NamedTuple):
    """One file or folder of an image."""

    mode: int
    uid: int
    gid: int
    content: bytes
    attributes: tuple[tuple[str, bytes], ...]


Image = dict[str, Kept]


@dataclass(eq=False)
class Node:
    """A file or folder. `synced` and `synced_names`: what is durable of it."""

    mode: int
    uid: int = 0
    gid: int = 0
    content: bytearray = field(default_factory=bytearray)
    attributes: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, Node] = field(default_factory=dict)
    synced: Kept | None = None
    synced_names: dict[str, Node] = field(default_factory=dict)
    changed: int = field(default_factory=time.time_ns)
    frozen: Kept | None = None

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def touch(self) -> None:
        self.changed, self.frozen = time.time_ns(), None

    def now(self) -> Kept:
        if self.frozen is None:
            attributes = tuple(sorted(self.attributes.items()))
            self.frozen = Kept(self.mode, self.uid, self.gid, bytes(self.content), attributes)
        return self.frozen

    def overtaken(self) -> Kept:
        """The size and attributes of now, with the content that is durable."""
        now, then = self.now(), self.synced.content if self.synced is not None else b""
        return Kept(now.mode, now.uid, now.gid, then[: len(now.content)].ljust(len(now.content), b"\0"), now.attributes)


class Losing(mfusepy.Operations):  # type: ignore[misc]
    use_ns = True

    def __init__(self, record: str) -> None:
        self.root = Node(stat.S_IFDIR | 0o755)
        self.record, self.recording, self.writes = record, False, 0
        self.moments: dict[str, tuple[str, str, Image]] = {}

    # --- what is durable

    def sync_all(self, node: Node) -> None:
        node.synced, node.synced_names = node.now(), dict(node.names)
        for below in node.names.values():
            self.sync_all(below)

    def moment(self, what: str) -> None:
        if not self.recording:
            return
        for variant in ("strict", "names", "all"):
            image: Image = {}
            self._walk(self.root, "", variant, image)
            key = hashlib.sha256(repr(sorted(image.items())).encode()).hexdigest()
            self.moments.setdefault(key, (variant, what, image))

    def _walk(self, node: Node, path: str, variant: str, image: Image) -> None:
        for name, below in (node.synced_names if variant == "strict" else node.names).items():
            place = f"{path}/{name}"
            empty = Kept(below.mode, below.uid, below.gid, b"", ())
            kept = {"strict": below.synced or empty, "names": below.overtaken(), "all": below.now()}[variant]
            image[place] = kept
            if below.is_folder:
                self._walk(below, place, variant, image)

    def destroy(self, path: str) -> None:
        self.moment("end")
        with open(self.record, "wb") as file:  # noqa: PTH123
            plain = [(variant, what, {path: tuple(kept) for path, kept in image.items()})
                     for variant, what, image in self.moments.values()]  # fmt: skip
            pickle.dump(plain, file)

    # --- names

    def _node(self, path: str) -> Node:
        node = self.root
        for name in filter(None, path.split("/")):
            if name not in node.names:
                raise mfusepy.FuseOSError(errno.ENOENT)
            node = node.names[name]
        return node

    def _parent(self, path: str) -> tuple[Node, str]:
        folder, _, name = path.rpartition("/")
        return self._node(folder), name

    def _add(self, path: str, mode: int) -> None:
        parent, name = self._parent(path)
        uid, gid, _ = mfusepy.fuse_get_context()
        parent.names[name] = Node(mode, uid, gid)
        parent.touch()
        self.moment(f"make {path}")

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._add(path, stat.S_IFREG | stat.S_IMODE(mode))
        return 0

    def mkdir(self, path: str, mode: int) -> None:
        self._add(path, stat.S_IFDIR | stat.S_IMODE(mode))

    def unlink(self, path: str) -> None:
        self._node(path)
        parent, name = self._parent(path)
        del parent.names[name]
        parent.touch()
        self.moment(f"unlink {path}")

    def rmdir(self, path: str) -> None:
        if self._node(path).names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self.unlink(path)

    def rename(self, old: str, new: str) -> None:
        node = self._node(old)
        parent, name = self._parent(new)
        parent.names[name] = node
        before, name = self._parent(old)
        del before.names[name]
        self.moment(f"rename {old} {new}")

    def link(self, target: str, source: str) -> None:
        parent, name = self._parent(target)
        parent.names[name] = self._node(source)
        self.moment(f"link {target}")

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self._node(path).names]

    # --- content

    def open(self, path: str, flags: int) -> int:
        self._node(path)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._node(path).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        node = self._node(path)
        if len(node.content) < offset:
            node.content.extend(bytes(offset - len(node.content)))
        node.content[offset : offset + len(data)] = data
        node.touch()
        self.writes += 1
        if self.writes % EVERY == 0:
            self.moment(f"write {path}")
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        node = self._node(path)
        del node.content[length:]
        node.content.extend(bytes(length - len(node.content)))
        node.touch()
        self.moment(f"truncate {path}")

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        self.moment(f"before fsync {path}")
        node = self._node(path)
        node.synced = node.now()
        self.moment(f"fsync {path}")

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        node = self._node(path)
        node.synced, node.synced_names = node.now(), dict(node.names)
        self.moment(f"fsyncdir {path}")

    # --- attributes

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        node = self._node(path)
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), node.changed)
        return {"st_mode": node.mode, "st_uid": node.uid, "st_gid": node.gid, "st_size": len(node.content),
                "st_nlink": 2 if node.is_folder else 1, "st_blocks": -(-len(node.content) // 512), **times}  # fmt: skip

    def chmod(self, path: str, mode: int) -> None:
        node = self._node(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        node.touch()

    def chown(self, path: str, uid: int, gid: int) -> None:
        node = self._node(path)
        node.uid = node.uid if uid in (-1, 2**32 - 1) else uid
        node.gid = node.gid if gid in (-1, 2**32 - 1) else gid
        node.touch()

    def utimens(self, path: str, times: Any = None) -> None:
        self._node(path).touch()

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> None:
        if path == "/" and name == RECORD:
            self.sync_all(self.root)
            self.recording = True
            return
        node = self._node(path)
        node.attributes[name] = bytes(value)
        node.touch()
        self.moment(f"note {path}")

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        found = self._node(path).attributes.get(name)
        if found is None:
            raise mfusepy.FuseOSError(errno.ENODATA)
        return found

    def listxattr(self, path: str) -> list[str]:
        return list(self._node(path).attributes)

    def removexattr(self, path: str, name: str) -> None:
        self._node(path).attributes.pop(name, None)

    def statfs(self, path: str) -> dict[str, int]:
        return {
            "f_bsize": 4096,
            "f_frsize": 4096,
            "f_blocks": 1 << 18,
            "f_bfree": 1 << 17,
            "f_bavail": 1 << 17,
            "f_namemax": 255,
        }


def moments(record: str) -> list[tuple[str, str, Image]]:
    """What a run has recorded: the variant, the change, and the image, each image once."""
    with open(record, "rb") as file:  # noqa: PTH123
        found = pickle.load(file)
    return [(variant, what, {path: Kept(*kept) for path, kept in image.items()}) for variant, what, image in found]


def lay_out(image: Image, folder: str) -> None:
    """Make a real folder have what an image has, and nothing else."""
    for path, kept in sorted(image.items()):
        place = folder + path
        if stat.S_ISDIR(kept.mode):
            os.makedirs(place, exist_ok=True)  # noqa: PTH103
        else:
            with open(place, "wb") as file:  # noqa: PTH123
                file.write(kept.content)
        os.chmod(place, stat.S_IMODE(kept.mode))  # noqa: PTH101
        os.chown(place, kept.uid, kept.gid)
        for name, value in kept.attributes:
            os.setxattr(place, name, value)


if __name__ == "__main__":
    mfusepy.FUSE(
        Losing(sys.argv[2]),
        sys.argv[1],
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
        fsname="losing",
    )
