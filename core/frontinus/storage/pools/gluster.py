"""Pools of type gluster: the files of a Gluster volume, or of a folder in it, which QEMU opens through libgfapi.

This host reaches them by a mount of the engine's own, which no definition names: it lists them, and works on them as on files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from frontinus.domain.usedplaces import remote_place
from frontinus.storage.pool import Pool, PoolTarget
from frontinus.storage.pools.base import Listing
from frontinus.storage.pools.files import file_volume, is_folder
from frontinus.storage.pools.mounts import MountedFiles
from frontinus.storage.pools.netfs import bad_hosts, bracketed
from frontinus.storage.steps import Found, MakeFolder, Need, RemoveFolder, RoundUp, RunPlace, Script, tell
from frontinus.storage.volume import Volume

TYPES = {"file": "network", "dir": "netdir"}
"""What a file or folder is for a guest."""
SECTOR = 512


class Gluster(MountedFiles):
    name = "gluster"
    volume_type = "network"
    needs: ClassVar[tuple[str, ...]] = ("host", "name")
    programs: ClassVar[tuple[str, ...]] = ("mount", "mount.glusterfs")

    # The definition

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        yield from bad_hosts(pool)
        if any("\n" in part for part in (pool.origin.name or "", pool.origin.dir or "")):
            yield "<source>: this is no volume of a Gluster server"

    def complete_volume(self, pool: Pool, volume: Volume) -> None:
        super().complete_volume(pool, volume)
        if is_folder(volume):
            volume.type = "netdir"

    def identity(self, pool: Pool) -> tuple[object, ...]:
        return (self.name, pool.origin.hosts[0].name, pool.origin.name, _folder(pool))

    # The mount

    def mount_source(self, pool: Pool) -> str:
        return f"{bracketed(pool.origin.hosts[0].name)}:/{pool.origin.name}"

    def mount_argv(self, pool: Pool) -> tuple[str, ...]:
        more = ":".join(host.name for host in pool.origin.hosts[1:])
        options = [*self.mount_options(pool), "direct-io-mode=1", *([f"backup-volfile-servers={more}"] if more else [])]
        return ("mount", "-o", ",".join(options), "-t", "glusterfs", self.mount_source(pool), pool.path)

    def needed(self, pool: Pool) -> Need:
        return Need(self.programs, "fuse")

    def _mounted(self, pool: Pool, folder: str = "") -> Script[Pool]:
        """The pool with the place of its mount, or of a folder there."""
        place: str = yield RunPlace(f"gluster-{pool.uuid}")
        return pool.clone(target=PoolTarget(path=f"{place}{folder}"))

    def _here(self, pool: Pool) -> Script[Pool]:
        """The pool with the place of its files."""
        return (yield from self._mounted(pool, _folder(pool)))

    def start(self, pool: Pool) -> Script[None]:
        mount = yield from self._mounted(pool)
        yield self.needed(mount)
        yield MakeFolder(mount.path)
        yield from super().start(mount)

    def stop(self, pool: Pool) -> Script[None]:
        mount = yield from self._mounted(pool)
        yield from super().stop(mount)
        yield RemoveFolder(mount.path)

    def is_active(self, pool: Pool) -> Script[bool]:
        mount = yield from self._mounted(pool)
        return (yield from super().is_active(mount))

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        """What the server has is the server's, here and when a pool is deleted."""
        self._only(flags, ())
        return tell()

    def refresh_again(self, pool: Pool, listing: Listing) -> Script[Listing]:
        here = yield from self._here(pool)
        return (yield from super().refresh_again(here, listing))

    def refresh_one(self, pool: Pool, listing: Listing, name: str) -> Script[Listing]:
        here = yield from self._here(pool)
        return (yield from super().refresh_one(here, listing, name))

    # Volumes

    def shown(self, pool: Pool, found: Found) -> Volume:
        """By the address that QEMU takes."""
        volume, host = file_volume(found), pool.origin.hosts[0]
        port = f":{host.port}" if host.port else ""
        address = f"gluster://{bracketed(host.name)}{port}/{pool.origin.name}{_folder(pool)}/{found.name}"
        return volume.clone(type=TYPES.get(volume.type or ""), key=address, target=volume.place.clone(path=address))

    def names(self, pool: Pool, volume: Volume) -> set[tuple[str, ...]]:
        return {remote_place("gluster", f"{pool.origin.name}{_folder(pool)}/{volume.name}")}

    def reach(self, pool: Pool, volume: Volume) -> Script[Volume]:
        here = yield from self._here(pool)
        path = self.volume_path(here, volume.name or "")
        kind = "dir" if is_folder(volume) else "file"
        return volume.clone(type=kind, key=path, target=volume.place.clone(path=path))

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        here = yield from self._here(pool)
        return (yield from super().reserve(here, volume))

    def settle(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        """QEMU's driver for Gluster cannot read the last bytes of an image that does not end with a sector."""
        here = yield from self._here(pool)
        if not is_folder(volume) and volume.format != "raw":
            yield RoundUp(reserved, SECTOR)
        yield from super().settle(here, volume, reserved)

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        found = yield from self.reach(pool, volume)
        yield from super().remove(pool, found)


def _folder(pool: Pool) -> str:
    """The folder in the volume: "" for its top, else one that begins with a slash."""
    clean = "/".join(part for part in (pool.origin.dir or "").split("/") if part)
    return f"/{clean}" if clean else ""
