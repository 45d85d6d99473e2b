"""Pools of type zfs: the volumes (zvols) of a ZFS pool, or below one of its file systems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from frontinus.api.errors import StorageFailed, Unsupported
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import Listing, PoolKind, named
from frontinus.storage.steps import Need, Run, Script, output, tell
from frontinus.storage.volume import Volume, VolumeTarget

NEW = ".frontinus-new"


class Zfs(PoolKind):
    name = "zfs"
    needs = ("name",)
    programs = ("zfs", "zpool")

    def implied_path(self, pool: Pool) -> str | None:
        return f"/dev/zvol/{pool.origin.name or pool.name}"

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        if (pool.origin.name or "").startswith("-"):
            yield f"<name>: '{pool.origin.name}' is no name of a ZFS pool"

    def start(self, pool: Pool) -> Script[None]:
        yield Need(self.programs, "zfs")
        yield from output("zfs", "list", "-H", "-p", "-o", "name", _name(pool))

    def is_active(self, pool: Pool) -> Script[bool]:
        try:
            yield from output("zfs", "list", "-H", "-p", "-o", "name", _name(pool))
        except (StorageFailed, Unsupported):
            return False
        return True

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        self._only(flags, ("overwrite", "no-overwrite"))
        if not pool.device_paths:
            raise StorageFailed(f"pool '{pool.name}': of which devices to make it is not said", path=pool.path)
        yield Need(self.programs)
        yield Run(("zpool", "create", *(["-f"] if "overwrite" in flags else []), _name(pool), *pool.device_paths))

    def delete(self, pool: Pool) -> Script[None]:
        return tell(Run(("zpool", "destroy", _name(pool))))

    def refresh(self, pool: Pool) -> Script[Listing]:
        text = yield from output("zfs", "get", "-H", "-p", "-o", "property,value", "used,available", _name(pool))
        figures = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
        used, free = int(figures.get("used", 0)), int(figures.get("available", 0))
        text = yield from output("zfs", "list", "-H", "-p", "-r", "-t", "volume", "-o", "name,volsize,refreservation,used",
                                 _name(pool))  # fmt: skip
        volumes = [zvol(pool, line.split("\t")) for line in text.splitlines() if line.count("\t") == 3]
        return Listing(used + free, used, free, named(one for one in volumes if not (one.name or "").endswith(NEW)))

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        yield from ()
        return f"{volume.name}{NEW}"

    def make(self, pool: Pool, volume: Volume, reserved: str) -> Script[str]:
        sparse = volume.allocation is not None and volume.allocation < (volume.capacity or 0)
        size = f"{-(-(volume.capacity or 0) // 1024)}K"
        yield Run(("zfs", "create", *(["-s"] if sparse else []), "-V", size, f"{_name(pool)}/{reserved}"))
        return f"{pool.path}/{reserved}"

    def unmake(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        return tell(Run(("zfs", "destroy", f"{_name(pool)}/{reserved}"), accept=(0, 1)))

    def settle(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        return tell(Run(("zfs", "rename", f"{_name(pool)}/{reserved}", f"{_name(pool)}/{volume.name}")))

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        return tell(Run(("zfs", "destroy", f"{_name(pool)}/{volume.name}")))

    def grow(self, pool: Pool, volume: Volume, size: int) -> Script[None]:
        return tell(Run(("zfs", "set", f"volsize={size}", f"{_name(pool)}/{volume.name}")))


def _name(pool: Pool) -> str:
    return pool.origin.name or pool.name or ""


def zvol(pool: Pool, row: Sequence[str]) -> Volume:
    """A row of name, size, reservation and used bytes."""
    name = row[0].rpartition("/")[2]
    path = f"{pool.path}/{row[0].removeprefix(_name(pool) + '/')}"
    size = int(row[1])
    allocation = size if row[2].isdigit() and int(row[2]) >= size else int(row[3])
    return Volume(
        type="block", name=name, key=path, capacity=size, allocation=allocation, target=VolumeTarget(path=path)
    )
