"""What the kinds share whose volumes are the LUNs of SCSI hosts, as the kernel shows them in sysfs and under by-path."""

from __future__ import annotations

import re

from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import Listing, PoolKind, block_volume, named
from frontinus.storage.steps import Appears, DevicesNamed, Found, Inspect, Look, Names, Read, Script, Write, ask
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
        yield from self._probed(host)
        yield DevicesNamed()
        volumes: list[Volume] = []
        stable: list[str] = yield Names(pool.path)
        links: dict[str, str] = {}
        for name in stable:
            path = f"{pool.path}/{name}"
            if re.search(r"-part\d+$", name) or (yield from ask(Look(path))) is None:  # a link to what is gone
                continue
            found: Found = yield Inspect(path)
            links.setdefault(found.path, path)
        for address in (yield from _units(host)):
            volume = yield from self._lun(address, links)
            volumes += [volume] if volume is not None else []
        total = sum(volume.capacity or 0 for volume in volumes)
        return Listing(total, total, 0, named(volumes))

    def _probed(self, host: int) -> Script[None]:
        """The scan has found the units; the kernel makes block devices of the disks a moment later."""
        for address in (yield from _units(host)):
            if (yield from _is_disk(address)):
                yield Appears(f"{SCSI_DEVICES}/{address}/block")

    def _lun(self, address: str, links: dict[str, str]) -> Script[Volume | None]:
        folder = f"{SCSI_DEVICES}/{address}"
        blocks: list[str] = yield Names(f"{folder}/block")
        if not (yield from _is_disk(address)) or not blocks:
            return None
        device = f"/dev/{blocks[0]}"
        found: Found = yield Inspect(device)
        bus, target, unit = address.split(":")[1:]
        serial = yield from ask(Read(f"{folder}/wwid"))
        key = serial.decode(errors="replace").strip() or links.get(found.path, device)
        volume = block_volume(found, f"unit:{int(bus)}:{int(target)}:{int(unit)}", key)
        volume.place.path = links.get(found.path, device)
        return volume


def _units(host: int) -> Script[list[str]]:
    """Addresses (host:bus:target:unit) of all that a host has, in their order."""
    names: list[str] = yield Names(SCSI_DEVICES)
    return sorted((name for name in names if re.fullmatch(rf"{host}:\d+:\d+:\d+", name)), key=_numbers)


def _is_disk(address: str) -> Script[bool]:
    kind: bytes = yield Read(f"{SCSI_DEVICES}/{address}/type")
    return kind.decode(errors="replace").strip() == DISK


def _numbers(address: str) -> tuple[int, ...]:
    return tuple(int(part) for part in address.split(":"))
