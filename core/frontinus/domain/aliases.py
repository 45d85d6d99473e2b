"""Aliases: the name of a device while its guest runs, QEMU's id too. Users and their qemu:commandline know these names.

An alias that the user chose begins with ua- and stays; the others are given anew at each start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from frontinus.domain.controllers import find_controller
from frontinus.domain.devices.base import Device, DimmAddress, DriveAddress
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.memory import MemoryDevice
from frontinus.domain.guest import Guest

USER = "ua-"
COUNTED = {
    "filesystem": "fs", "sound": "sound", "video": "video", "hostdev": "hostdev", "redirdev": "redir",
    "input": "input", "parallel": "parallel", "serial": "serial", "channel": "channel", "console": "console",
    "hub": "hub", "shmem": "shmem", "smartcard": "smartcard", "watchdog": "watchdog", "memballoon": "balloon",
    "rng": "rng", "tpm": "tpm", "vsock": "vsock", "iommu": "iommu", "crypto": "crypto", "panic": "panic",
    "audio": "audio", "pstore": "pstore",
}  # fmt: skip
"""Kinds that are numbered. Leases, displays and NVRAM have no alias."""
BY_PLACE = frozenset(COUNTED) - {"filesystem", "hostdev", "rng"}
"""Kinds whose number is their place in the list, whether or not the user named those before."""
MODULES = {"dimm": "dimm", "nvdimm": "nvdimm", "virtio-pmem": "virtiopmem", "virtio-mem": "virtiomem", "sgx-epc": "epc"}
SCSI_WITHOUT_TARGET = frozenset({"lsilogic"})


def assign_aliases(guest: Guest) -> None:
    """Name every device that has no name yet."""
    devices = list(guest.devices.all())
    taken = {device.alias for device in devices if device.alias}
    places: Counter[str] = Counter()
    for device in devices:
        if device.alias is None:
            _name(guest, device, taken, places[device.tag])
        places[device.tag] += 1


def assign_alias(guest: Guest, device: Device) -> None:
    """Name one device that is plugged into a running guest: names of devices that are gone do not come back."""
    _name(guest, device, {other.alias for other in guest.devices.all() if other.alias})


def is_user_alias(alias: str | None) -> bool:
    """Whether the user chose this name."""
    return alias is not None and alias.startswith(USER)


def _name(guest: Guest, device: Device, taken: set[str], place: int | None = None) -> None:
    """By where it is, by its place among its kind, or by the number behind the highest in use."""
    fixed = FIXED.get(device.tag)
    device.alias = fixed(guest, device) if fixed is not None else None
    prefix = _prefix(device)
    if device.alias is None and prefix is not None:
        number = place if device.tag in BY_PLACE else None
        if number is None or f"{prefix}{number}" in taken:
            used = [int(name[len(prefix) :]) for name in taken if _is_numbered(name, prefix)]
            number = max(used, default=-1) + 1
        device.alias = f"{prefix}{number}"
    if device.alias is not None:
        taken.add(device.alias)


def _is_numbered(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name[len(prefix) :].isdecimal()


def _prefix(device: Any) -> str | None:
    if device.tag == "interface":
        return "hostdev" if device.type == "hostdev" else "net"
    if device.tag == "memory":
        return MODULES[device.model]
    return None if device.tag == "memballoon" and device.model == "none" else COUNTED.get(device.tag)


def _disk(guest: Guest, disk: Disk) -> str:
    place = disk.address
    if not isinstance(place, DriveAddress):
        return f"{disk.bus}-disk{disk.target_index}"
    if disk.bus == "scsi":
        controller = find_controller(guest, "scsi", place.controller)
        if controller is None or controller.model not in SCSI_WITHOUT_TARGET:
            return f"scsi{place.controller}-{place.bus}-{place.target}-{place.unit}"
    return f"{disk.bus}{place.controller}-{place.bus}-{place.unit}"


def _controller(guest: Guest, controller: Controller) -> str:
    """Controllers that are part of the machine have the names that QEMU's machines give them."""
    kind, index = controller.type, controller.index or 0
    if kind == "pci":
        return f"pcie.{index}" if controller.model == "pcie-root" else f"pci.{index}"
    if index == 0 and ((kind == "ide" and guest.is_i440fx) or (kind == "sata" and guest.is_q35)):
        return "ide"
    return "usb" if kind == "usb" and index == 0 else f"{kind}{index}"


def _module(guest: Guest, module: MemoryDevice) -> str | None:
    address = module.address
    return f"{MODULES[module.model]}{address.slot}" if isinstance(address, DimmAddress) else None


FIXED: dict[str, Callable[[Guest, Any], str | None]] = {"disk": _disk, "controller": _controller, "memory": _module}
"""Kinds whose name says where the device is."""
