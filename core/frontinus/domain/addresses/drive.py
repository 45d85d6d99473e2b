"""Drive addresses: controller, bus, target, unit of disks that hang on an IDE, SATA, SCSI or floppy controller.

A disk's place follows from its target's name, so it never depends on the other disks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.base import Device, DriveAddress
from frontinus.domain.devices.block.disk import NAMESPACES
from frontinus.domain.guest import Guest

SCSI_UNITS = 7
"""Units of a SCSI controller that are given out; more can be named."""
PLACES = {"ide": (2, 2), "sata": (1, 6), "fdc": (1, 2), "scsi": (1, SCSI_UNITS), "nvme": (1, NAMESPACES)}
"""Buses of a controller, and units of a bus."""

Spot = tuple[int, int, int, int]


def assign_drives(guest: Guest) -> None:
    """Give disks and SCSI host devices their drive addresses. Raises InvalidXML for a place used twice."""
    disks = [disk for disk in guest.devices.disks if disk.bus in PLACES]
    for disk in disks:
        if disk.address is None and disk.target_index >= 0:
            buses, units = PLACES[disk.bus or ""]
            rest, unit = divmod(disk.target_index, units)
            controller, bus = divmod(rest, buses)
            disk.address = DriveAddress(controller=controller, bus=bus, target=0, unit=unit)
    _scsi_hostdevs(guest)
    _refuse_doubles(guest)


def _spot(device: Device) -> Spot | None:
    address = device.address
    if not isinstance(address, DriveAddress):
        return None
    return address.controller, address.bus, address.target, address.unit


def _scsi(guest: Guest) -> Iterator[Device]:
    yield from (disk for disk in guest.devices.disks if disk.bus == "scsi")
    yield from (device for device in guest.devices.hostdevs if device.type == "scsi")


def _scsi_hostdevs(guest: Guest) -> None:
    """The first unit that is free, on the lowest controller that has one."""
    taken = {_spot(device) for device in _scsi(guest)}
    spots = ((number // SCSI_UNITS, 0, 0, number % SCSI_UNITS) for number in count())
    for device in guest.devices.hostdevs:
        if device.type == "scsi" and device.address is None:
            controller, bus, target, unit = next(spot for spot in spots if spot not in taken)
            device.address = DriveAddress(controller=controller, bus=bus, target=target, unit=unit)


def _refuse_doubles(guest: Guest) -> None:
    seen: set[tuple[str, Spot]] = set()
    drives: list[tuple[str, Device]] = [(disk.bus or "", disk) for disk in guest.devices.disks]
    drives += [("scsi", device) for device in guest.devices.hostdevs if device.type == "scsi"]
    for bus, device in drives:
        spot = _spot(device)
        if spot is None:
            continue
        if (bus, spot) in seen:
            place = "controller {}, bus {}, target {}, unit {}".format(*spot)
            raise InvalidXML(f"<{device.tag}>: the {bus} address {place} is used twice", element=device.tag)
        seen.add((bus, spot))
