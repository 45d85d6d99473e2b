"""Boot order: each device's own <boot order>, or what <os><boot dev> means for it."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.domain.guest import Guest

DISKS = {"hd": ("disk", "lun"), "cdrom": ("cdrom",), "fd": ("floppy",)}
"""Kinds of disk that each word of <boot dev> stands for."""


def boot_index(guest: Guest, device: Device) -> int | None:
    """QEMU's bootindex of a device, None when it is not booted from."""
    if not guest.os.boot:
        return device.boot_order
    places = {word: place for place, word in enumerate(guest.os.boot, 1)}
    return next((place for word, place in places.items() if first_of(guest, word) is device), None)


def first_of(guest: Guest, word: str) -> Device | None:
    """The device that a word of <boot dev> boots from: the first of its kind, and no other."""
    if word in DISKS:
        return next((disk for disk in guest.devices.disks if (disk.device or "disk") in DISKS[word]), None)
    return next(iter(guest.devices.interfaces), None)
