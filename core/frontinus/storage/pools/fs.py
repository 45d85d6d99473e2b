"""Pools of type fs: a file system of a block device, or in a file, mounted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from frontinus.api.errors import StorageFailed
from frontinus.storage.pool import Pool
from frontinus.storage.pools.mounts import MountedFiles
from frontinus.storage.pools.signatures import signature
from frontinus.storage.steps import (
    Found,
    Inspect,
    Look,
    MakeFolder,
    Need,
    Overwrite,
    Read,
    RemoveFolder,
    Run,
    Script,
    ask,
    tell,
)

MKFS_FORCE = {"xfs": ("-f",), "btrfs": ("-f",), "ext2": ("-F",), "ext3": ("-F",), "ext4": ("-F",), "ocfs2": ("-F",)}
"""How mkfs of a file system is told not to ask."""
HEAD = 1 << 17


class Fs(MountedFiles):
    name = "fs"
    needs = ("device", "path")
    source_formats = ("auto", "ext2", "ext3", "ext4", "ufs", "iso9660", "udf", "gfs", "gfs2", "vfat", "hfs+", "xfs", "ocfs2",
                      "vmfs", "btrfs")  # fmt: skip
    default_source_format = "auto"

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        if len(pool.origin.devices) > 1:
            yield "<source> of a pool of type 'fs': only one <device> is possible"
        for path in pool.device_paths:
            if not path.startswith("/"):
                yield f"<device>: '{path}' is not absolute"

    def mount_source(self, pool: Pool) -> str:
        return pool.device_paths[0]

    def is_same(self, pool: Pool, there: str) -> Script[bool]:
        """The same device by whatever name; a loop device stands for a file."""
        source = self.mount_source(pool)
        if not source.startswith("/dev/"):
            return there == source or there.startswith("/dev/loop")
        return there == source or (yield from _device(there)) == (yield from _device(source))

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        """Make the mount point; and a file system only when asked to, over nothing that is one already unless told so."""
        self._only(flags, ("no-overwrite", "overwrite"))
        yield MakeFolder(pool.path, pool.permissions)
        if "overwrite" not in flags and "no-overwrite" not in flags:
            return
        kind, device = pool.origin.format or "auto", self.mount_source(pool)
        if kind == "auto":
            raise StorageFailed(f"pool '{pool.name}': which file system to make is not said", path=device)
        if "no-overwrite" in flags:
            found = signature((yield from ask(Read(device, 0, HEAD))))
            if found:
                raise StorageFailed(f"pool '{pool.name}': {device} holds {found} already", path=device)
        yield Need((f"mkfs.{kind}",))
        yield Run((f"mkfs.{kind}", *MKFS_FORCE.get(kind, ()), device))

    def delete(self, pool: Pool) -> Script[None]:
        """Forget the file system: its first bytes go, then the mount point."""
        return tell(Overwrite(self.mount_source(pool), HEAD), RemoveFolder(pool.path))


def _device(name: str) -> Script[str]:
    """The device that a name stands for, as a link of udev's does."""
    if not name.startswith("/dev/") or (yield from ask(Look(name))) is None:
        return name
    found: Found = yield from ask(Inspect(name))
    return found.path
