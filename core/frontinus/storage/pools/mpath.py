"""Pools of type mpath: all multipath devices of the host, by dmsetup."""

from __future__ import annotations

from frontinus.api.errors import StorageFailed, Unsupported
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import Listing, PoolKind, block_volume, named
from frontinus.storage.steps import DevicesNamed, Found, Inspect, Look, Need, Script, ask, output

FOLDER = "/dev/mapper"


class Mpath(PoolKind):
    name = "mpath"
    programs = ("dmsetup",)

    def implied_path(self, pool: Pool) -> str | None:
        return pool.path or FOLDER

    def start(self, pool: Pool) -> Script[None]:
        yield Need(self.programs)
        yield from output("dmsetup", "ls", "--target", "multipath")

    def is_active(self, pool: Pool) -> Script[bool]:
        try:
            yield from output("dmsetup", "ls", "--target", "multipath")
        except (StorageFailed, Unsupported):
            return False
        return True

    def refresh(self, pool: Pool) -> Script[Listing]:
        volumes = []
        names = maps_of((yield from output("dmsetup", "ls", "--target", "multipath")))
        yield DevicesNamed()
        for name in names:
            if (yield from ask(Look(f"{FOLDER}/{name}"))) is None:  # gone meanwhile
                continue
            found: Found = yield Inspect(f"{FOLDER}/{name}")
            volume = block_volume(found, name, f"{FOLDER}/{name}")
            volume.place.path = f"{FOLDER}/{name}"
            volumes.append(volume)
        total = sum(volume.capacity or 0 for volume in volumes)
        return Listing(total, total, 0, named(volumes))


def maps_of(text: str) -> list[str]:
    """Names of lines like: mpatha (254:0), or none of "No devices found"."""
    return [line.split("\t")[0].split(" (")[0] for line in text.splitlines() if "(" in line]
