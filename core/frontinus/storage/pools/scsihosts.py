"""What the kinds share whose volumes are the LUNs of SCSI hosts, as the kernel shows them in sysfs and under by-path."""

from __future__ import annotations

import re

from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import Listing, PoolKind, block_volume
from frontinus.storage.steps import Found, Inspect, Names, Read, Script, Write, ask
from frontinus.storage.volume import Volume

BY_PATH = "/dev/disk/by-path"
SCSI_HOSTS = "/sys/class/scsi_host"
SCSI_DEVICES = "/sys/bus/scsi/devices"
DISK = "0"
"""Peripheral device type of disks (SPC-4, table 138)."""


class ScsiLuns(PoolKind):
    """Base of scsi and iscsi."""

    def luns(self, pool: Pool, host: int) -> Script[Listing]:
        """The disks of a SCSI host: asked to look again, then what the kernel found."""
        yield Write(f"{SCSI_HOSTS}/host{host}/scan", "- - -")
        volumes: list[Volume] = []
        stable: list[str] = yield Names(pool.path)
        links: dict[str, str] = {}
        for name in stable:
            found: Found = yield Inspect(f"{pool.path}/{name}")
            if not re.search(r"-part\d+$", name):
                links.setdefault(found.path, f"{pool.path}/{name}")
        names: list[str] = yield Names(SCSI_DEVICES)
        for address in sorted((n for n in names if re.fullmatch(rf"{host}:\d+:\d+:\d+", n)), key=_numbers):
            volume = yield from self._lun(address, links)
            volumes += [volume] if volume is not None else []
        total = sum(volume.capacity or 0 for volume in volumes)
        return Listing(total, total, 0, volumes)

    def _lun(self, address: str, links: dict[str, str]) -> Script[Volume | None]:
        folder = f"{SCSI_DEVICES}/{address}"
        kind: bytes = yield Read(f"{folder}/type")
        blocks: list[str] = yield Names(f"{folder}/block")
        if kind.decode(errors="replace").strip() != DISK or not blocks:
            return None
        device = f"/dev/{blocks[0]}"
        found: Found = yield Inspect(device)
        bus, target, unit = address.split(":")[1:]
        serial = yield from ask(Read(f"{folder}/wwid"))
        key = serial.decode(errors="replace").strip() or links.get(found.path, device)
        volume = block_volume(found, f"unit:{int(bus)}:{int(target)}:{int(unit)}", key)
        volume.place.path = links.get(found.path, device)
        return volume


def _numbers(address: str) -> tuple[int, ...]:
    return tuple(int(part) for part in address.split(":"))
