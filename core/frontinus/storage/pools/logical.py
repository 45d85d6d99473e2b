"""Pools of type logical: the logical volumes of an LVM volume group. Reports are asked for as JSON (lvmreport(7))."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from frontinus.api.errors import StorageFailed, Unsupported
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import FoundSource, Listing, PoolKind, SourceSpec, named
from frontinus.storage.pools.signatures import signature
from frontinus.storage.steps import Need, Overwrite, Own, Read, Run, Script, ask, output, tell
from frontinus.storage.volume import BackingStore, Extent, ExtentDevice, Volume, VolumeTarget

REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix")
COLUMNS = "lv_name,origin,lv_uuid,devices,seg_size_pe,vg_extent_size,lv_size,origin_size,lv_attr,pool_lv"
NEW = ".frontinus-new"
PREALLOCATED = 512 * 1024
PARTS = frozenset("tTdDeiIlpv")
"""First letters of `lv_attr` (lvs(8)) of what volumes are made of: pools and their data, images, logs. The fifth is "-" for one
that is not active, and so no device."""


class Logical(PoolKind):
    name = "logical"
    source_formats = ("unknown", "lvm2")
    default_source_format = "lvm2"
    programs = ("vgchange", "lvs", "vgs")

    def complete(self, pool: Pool) -> None:
        super().complete(pool)
        pool.origin.name = pool.origin.name or pool.name
        if pool.target is not None:
            pool.target.path = self.implied_path(pool)

    def implied_path(self, pool: Pool) -> str | None:
        return f"/dev/{pool.origin.name or pool.name}"

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        if (pool.origin.name or "").startswith("-") or "/" in (pool.origin.name or ""):
            yield f"<name>: '{pool.origin.name}' is no name of a volume group"

    def check_volume(self, pool: Pool, volume: Volume) -> Iterator[str]:
        yield from super().check_volume(pool, volume)
        if (volume.name or "").startswith("-"):
            yield f"<name>: '{volume.name}' is no name of a logical volume"

    def start(self, pool: Pool) -> Script[None]:
        yield Need(self.programs)
        yield Run(("vgchange", "-aly", _group(pool)))

    def stop(self, pool: Pool) -> Script[None]:
        return tell(Run(("vgchange", "-aln", _group(pool))))

    def is_active(self, pool: Pool) -> Script[bool]:
        try:
            text = yield from output("vgs", *REPORT, "-o", "vg_name", _group(pool))
        except (StorageFailed, Unsupported):
            return False
        return bool(rows(text, "vg"))

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        self._only(flags, ("no-overwrite", "overwrite"))
        yield Need(("pvcreate", "vgcreate"))
        devices = pool.device_paths
        if not devices:
            raise StorageFailed(f"pool '{pool.name}': of which devices to make the group is not said", path=pool.path)
        for device in devices:
            found = signature((yield from ask(Read(device, 0, 1 << 17))))
            if found and "overwrite" not in flags:
                raise StorageFailed(f"pool '{pool.name}': {device} holds {found} already", path=device)
        made: list[str] = []
        try:
            for device in devices:
                yield Overwrite(device, PREALLOCATED)
                yield Run(("pvcreate", "--yes", device))
                made.append(device)
            yield Run(("vgcreate", _group(pool), *devices))
        except BaseException:
            for device in made:
                yield Run(("pvremove", device), accept=(0, 5))
            raise

    def delete(self, pool: Pool) -> Script[None]:
        yield Run(("vgremove", "-f", _group(pool)))
        for device in pool.device_paths:
            yield Run(("pvremove", device), accept=(0, 5))

    def refresh(self, pool: Pool) -> Script[Listing]:
        text = yield from output("vgs", *REPORT, "-o", "vg_size,vg_free", _group(pool))
        sizes = rows(text, "vg")
        if not sizes:
            raise StorageFailed(f"pool '{pool.name}': there is no volume group '{_group(pool)}'", path=pool.path)
        capacity, free = int(sizes[0]["vg_size"]), int(sizes[0]["vg_free"])
        text = yield from output("lvs", *REPORT, "-o", COLUMNS, _group(pool))
        return Listing(capacity, capacity - free, free, named(volumes(rows(text, "lv"), pool.path)))

    def find_sources(self, spec: SourceSpec) -> Script[list[FoundSource]]:
        yield Need(("pvs",))
        text = yield from output("pvs", *REPORT, "-o", "pv_name,vg_name")
        groups: dict[str, list[str]] = {}
        for row in rows(text, "pv"):
            if row["vg_name"]:
                groups.setdefault(row["vg_name"], []).append(row["pv_name"])
        return [FoundSource(devices=devices, name=name, format="lvm2") for name, devices in groups.items()]

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        """A new logical volume has another name until it is whole."""
        yield from ()
        return f"{volume.name}{NEW}"

    def make(self, pool: Pool, volume: Volume, reserved: str) -> Script[str]:
        name = reserved
        size = f"{-(-(volume.capacity or 0) // 1024)}K"
        base = ("lvcreate", "--yes", "--name", name)
        if volume.backing is not None and volume.backing.path:
            yield Run((*base, "-L", size, "-s", volume.backing.path))
        elif volume.allocation is not None and volume.allocation < (volume.capacity or 0):
            allocated = f"{max(1, -(-volume.allocation // 1024))}K"
            yield Run((*base, "-L", allocated, "--virtualsize", size, "--type", "snapshot", _group(pool)))
        else:
            yield Run((*base, "--wipesignatures", "y", "-L", size, _group(pool)))
        return f"{pool.path}/{name}"

    def unmake(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        return tell(Run(("lvremove", "-f", f"{_group(pool)}/{reserved}"), accept=(0, 5)))

    def settle(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        yield Run(("lvrename", _group(pool), reserved, volume.name or ""))
        if volume.place.permissions is not None:
            yield Own(self.volume_path(pool, volume.name or ""), volume.place.permissions)

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        return tell(Run(("lvremove", "-f", volume.path)))

    def grow(self, pool: Pool, volume: Volume, size: int) -> Script[None]:
        return tell(Run(("lvresize", "-f", "-L", f"{size}b", volume.path)))


def _group(pool: Pool) -> str:
    return pool.origin.name or pool.name or ""


def rows(text: str, kind: str) -> list[dict[str, str]]:
    """The rows of a JSON report. Raises StorageFailed for text that is none."""
    try:
        found = json.loads(text)["report"][0][kind]
        return [{str(name): str(value) for name, value in row.items()} for row in found]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise StorageFailed(f"the report of LVM makes no sense: {error}") from None


def volumes(report: Sequence[Mapping[str, str]], folder: str) -> list[Volume]:
    """The logical volumes of a report that has a row for each segment. Pools, hidden, inactive and unfinished ones are none."""
    found: dict[str, Volume] = {}
    for row in report:
        name, attributes = row["lv_name"], row["lv_attr"]
        if attributes[:1] in PARTS or attributes[4:5] == "-" or name.startswith("[") or name.endswith(NEW):
            continue
        if name not in found:
            origin = row.get("origin") or ""
            found[name] = Volume(
                type="block", name=name, key=row["lv_uuid"], capacity=_capacity(row), allocation=0,
                target=VolumeTarget(path=f"{folder}/{name}"),
                backing=BackingStore(path=f"{folder}/{origin}") if origin and origin[0] != "[" else None,
            )  # fmt: skip
        size = int(row["seg_size_pe"]) * int(row["vg_extent_size"])
        found[name].allocation = (found[name].allocation or 0) + size
        found[name].extents += _extents(row["devices"], size, int(row["vg_extent_size"]))
    return list(found.values())


def _capacity(row: Mapping[str, str]) -> int:
    """The size of the device. Of a snapshot, `lv_size` is the room for what differs; the device is as big as its origin."""
    own = row["lv_attr"][:1] not in "sS"
    return int(row["lv_size"] if own else row.get("origin_size") or row["lv_size"])


def _extents(devices: str, size: int, unit: int) -> Iterator[ExtentDevice]:
    """Where a segment lies: DEVICE(FIRST EXTENT), one a stripe."""
    parts = [part.rstrip(")").rpartition("(") for part in devices.split(",") if part.endswith(")")]
    for path, _, first in parts:
        if first.isdigit():
            start = int(first) * unit
            yield ExtentDevice(path=path, extents=[Extent(start=start, end=start + size // len(parts))])
