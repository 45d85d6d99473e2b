"""Pools of type disk: the partitions of a device. Where the kernel makes no devices of them, loop devices stand in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from frontinus.api.errors import StorageFailed, Unsupported
from frontinus.storage import partitions
from frontinus.storage.partitions import Partition, Table
from frontinus.storage.parts import Permissions
from frontinus.storage.pool import Extent as FreeExtent
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import Listing, PoolKind, named
from frontinus.storage.pools.signatures import signature
from frontinus.storage.steps import (
    AttachLoop,
    DetachLoop,
    DevicesNamed,
    Look,
    Need,
    Overwrite,
    Read,
    Run,
    Script,
    ask,
    tell,
)
from frontinus.storage.volume import Extent, ExtentDevice, Volume, VolumeTarget

LABELS = {"dos": "dos", "gpt": "gpt", "unknown": "dos"}
"""sfdisk's names of the tables that we make."""
CODES = {"none": "linux", "linux": "linux", "fat16": "6", "fat32": "c", "linux-swap": "swap", "linux-lvm": "lvm",
         "linux-raid": "raid", "extended": "extended"}  # fmt: skip
SFDISK = ("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--lock=yes")


class Disk(PoolKind):
    name = "disk"
    needs = ("device",)
    source_formats = ("unknown", "dos", "dvh", "gpt", "mac", "bsd", "pc98", "sun", "lvm2")
    default_source_format = "unknown"
    volume_formats = ("none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid", "extended")
    default_volume_format = "none"
    programs = ("sfdisk", "partx")

    def implied_path(self, pool: Pool) -> str | None:
        return pool.path or "/dev"

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        if len(pool.origin.devices) > 1:
            yield "<source> of a pool of type 'disk': only one <device> is possible"
        for path in pool.device_paths:
            if not path.startswith("/"):
                yield f"<device>: '{path}' is not absolute"

    def start(self, pool: Pool) -> Script[None]:
        yield Need(self.programs)
        yield from self._table(pool)
        yield from _tell_kernel(pool)

    def is_active(self, pool: Pool) -> Script[bool]:
        try:
            yield from self._table(pool)
        except StorageFailed:
            return False
        return True

    def stop(self, pool: Pool) -> Script[None]:
        """Let go of the loop devices that stood in for partitions."""
        for partition in (yield from self._table(pool)).partitions:
            yield DetachLoop(_device(pool), partition.start)

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        self._only(flags, ("no-overwrite", "overwrite"))
        yield Need(self.programs)
        label = LABELS.get(pool.origin.format or "unknown")
        if label is None:
            raise Unsupported(f"tables of format '{pool.origin.format}' cannot be made, only {', '.join(LABELS)}")
        found = signature((yield from ask(Read(_device(pool), 0, 1 << 17))))
        if found and "overwrite" not in flags:
            raise StorageFailed(f"pool '{pool.name}': {_device(pool)} holds {found} already", path=_device(pool))
        yield Run((*SFDISK, "--wipe=always", _device(pool)), f"label: {label}\n")

    def delete(self, pool: Pool) -> Script[None]:
        yield DevicesNamed()  # udev may still be looking at one
        yield Run(("partx", "--delete", _device(pool)), accept=(0, 1))
        yield from tell(Overwrite(_device(pool), partitions.ALIGNMENT), Overwrite(_device(pool), -partitions.TABLE))

    def refresh(self, pool: Pool) -> Script[Listing]:
        table = yield from self._table(pool)
        spans = partitions.free(table)
        pool.origin.devices[0].free = [FreeExtent(start=start, end=end) for start, end in spans]
        volumes = []
        for partition in table.partitions:
            volumes.append((yield from self._volume(pool, partition)))
        size = table.last - table.first
        available = sum(end - start for start, end in spans)
        return Listing(size, size - available, available, named(volumes))

    def _table(self, pool: Pool) -> Script[Table]:
        """The table as it is on the device now. Raises StorageFailed for none, or a broken one."""
        device = _device(pool)
        place = yield from ask(Look(device))
        if place is None:
            raise StorageFailed(f"pool '{pool.name}': there is no {device}", path=device)
        head: bytes = yield Read(device, 0, partitions.TABLE)
        try:
            table = partitions.parse(head, place.size)
        except ValueError as error:
            raise StorageFailed(f"pool '{pool.name}': {device}: {error}", path=device) from None
        if table is None:
            raise StorageFailed(f"pool '{pool.name}': {device} has no partition table; build the pool", path=device)
        logical: list[Partition] = []
        for extended in [p for p in table.partitions if p.kind == "extended"]:
            logical += yield from self._logical(device, extended)
        return replace(table, partitions=(*table.partitions, *logical))

    def _logical(self, device: str, extended: Partition) -> Script[list[Partition]]:
        found: list[Partition] = []
        at: int | None = extended.start
        while at is not None and at < extended.end and len(found) < partitions.MAX_LOGICAL:
            sector: bytes = yield Read(device, at, partitions.SECTOR)
            one, at = partitions.next_logical(sector, extended.start, at, 5 + len(found))
            found += [one] if one is not None else []
        return found

    def _volume(self, pool: Pool, partition: Partition) -> Script[Volume]:
        name = self._partition_name(pool, partition.number)
        path = yield from self._reach(pool, partition)
        place = yield from ask(Look(path))
        permissions = Permissions(mode=place.mode, owner=place.owner, group=place.group) if place else None
        kind = "extended" if partition.kind == "extended" else "none"
        return Volume(
            type="block", name=name, key=f"{pool.path}/{name}", capacity=partition.size, allocation=partition.size,
            extents=[ExtentDevice(path=_device(pool), extents=[Extent(start=partition.start, end=partition.end)])],
            target=VolumeTarget(path=path, format=kind, permissions=permissions),
        )  # fmt: skip

    def _reach(self, pool: Pool, partition: Partition) -> Script[str]:
        """The partition's device: the kernel's, or a loop device where there is none."""
        usual = f"{pool.path}/{self._partition_name(pool, partition.number)}"
        place = yield from ask(Look(usual))
        if (place is not None and place.kind == "block") or partition.kind == "extended":
            return usual
        loop: str = yield AttachLoop(_device(pool), partition.start, partition.size)
        return loop

    def _partition_name(self, pool: Pool, number: int) -> str:
        device = pool.origin.devices[0]
        base = device.path.rpartition("/")[2]
        separated = device.part_separator if device.part_separator is not None else base[-1:].isdigit()
        return f"{base}{'p' if separated else ''}{number}"

    def volume_path(self, pool: Pool, name: str) -> str:
        return f"{pool.path}/{name}"

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        """A partition has no name but its number: a new volume gets the name of the number that is next."""
        spot = partitions.place((yield from self._table(pool)), volume.capacity or 0)
        if spot is None:
            raise StorageFailed(f"pool '{pool.name}': no free part of {_device(pool)} has {volume.capacity} bytes",
                                path=_device(pool))  # fmt: skip
        volume.name = self._partition_name(pool, spot[0])
        return ":".join(map(str, spot))

    def make(self, pool: Pool, volume: Volume, reserved: str) -> Script[str]:
        number, start, size = map(int, reserved.split(":"))
        sector = partitions.SECTOR
        code = CODES[volume.format or "none"]
        line = f"{number} : start={start // sector}, size={size // sector}, type={code}\n"
        yield Run((*SFDISK, "--append", "--wipe-partitions=never", _device(pool)), line)
        yield from _tell_kernel(pool)
        return (yield from self._reach(pool, Partition(number, start, size)))

    def unmake(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        number, start, size = map(int, reserved.split(":"))
        table = yield from self._table(pool)
        if Partition(number, start, size) in table.partitions:
            yield from self._delete(pool, number, start)

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        """Take the partition out of the table."""
        match = re.search(r"(\d+)$", volume.name or "")
        number = int(match[1]) if match else 0
        one = next((p for p in (yield from self._table(pool)).partitions if p.number == number), None)
        if one is not None:
            yield from self._delete(pool, number, one.start)

    def _delete(self, pool: Pool, number: int, start: int) -> Script[None]:
        """The kernel forgets it first, which it refuses for one that is in use."""
        yield DetachLoop(_device(pool), start)
        place = yield from ask(Look(f"{pool.path}/{self._partition_name(pool, number)}"))
        if place is not None and place.kind == "block":
            yield from _forget(pool, number)
        yield Run((*SFDISK, "--delete", _device(pool), str(number)))


def _tell_kernel(pool: Pool) -> Script[None]:
    """Have the kernel know the partitions as the table has them, and udev name their devices.

    sfdisk would do that only for a disk of which no partition is in use; partx tells what differs (BLKPG).
    """
    yield Run(("partx", "--update", _device(pool)), accept=(0, 1))
    yield DevicesNamed()


def _forget(pool: Pool, number: int) -> Script[None]:
    """Have the kernel forget a partition. Raises StorageFailed for one that is in use; partx does not say why."""
    yield DevicesNamed()  # udev may still be looking at it
    try:
        yield Run(("partx", "--delete", "--nr", str(number), _device(pool)))
    except StorageFailed as error:
        raise StorageFailed(
            f"partition {number} of {_device(pool)} is in use: {error.message}", path=_device(pool)
        ) from None


def _device(pool: Pool) -> str:
    return pool.device_paths[0]
