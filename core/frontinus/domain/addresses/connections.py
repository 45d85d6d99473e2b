"""Which devices are PCI devices, how each plugs in, and in which order they are given their places.

Facts: whether QEMU's device is conventional PCI or PCI Express. A transitional virtio device is conventional; the other
virtio models are whatever the machine's root bus is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from frontinus.domain.addresses.pci_topology import PCI, PCIE, Wish
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.character import Console
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.hostdev import Hostdev
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest

VIRTIO = "virtio"
"""Plug of a virtio device until the machine is known."""
CONTROLLERS: dict[str, dict[str | None, str | None]] = {
    "sata": {None: PCI},
    "ide": {None: PCI},
    "usb": {"none": None, "nec-xhci": PCIE, "qemu-xhci": PCIE, None: PCI},
    "scsi": {"ncr53c90": None, "virtio-scsi": VIRTIO, "virtio-non-transitional": VIRTIO, None: PCI},
    "nvme": {None: PCIE},
    "virtio-serial": {"virtio-transitional": PCI, None: VIRTIO},
}
"""By type and model; None stands for every other model."""
SOUNDS = frozenset({"es1370", "ac97", "ich6", "ich9"})
VIDEOS = {"virtio": VIRTIO, "bochs": PCIE, **dict.fromkeys(("vga", "cirrus", "vmvga", "qxl", "xen", "vbox"), PCI)}


def _virtio(model: str | None) -> str | None:
    return None if model == "none" else PCI if model == "virtio-transitional" else VIRTIO


def _interface(card: Interface) -> str | None:
    if card.type == "hostdev":
        return PCIE
    if card.model in ("usb-net", "ne2k_isa"):
        return None
    if card.model is None or card.model in ("e1000e", "igb"):
        return PCIE
    return _virtio(card.model) if card.model.startswith("virtio") else PCI


def _controller(controller: Controller) -> str | None:
    if controller.type == "pci":
        return None if controller.is_root else controller.model
    models = CONTROLLERS.get(controller.type, {})
    return models.get(controller.model, models.get(None))


def _hostdev(device: Hostdev) -> str | None:
    if device.type in ("pci", "mdev"):
        return PCIE if device.type == "pci" or device.model == "vfio-pci" else None
    return _virtio(device.model) if device.type == "scsi_host" else None


PLUGS: dict[str, Callable[[Any], str | None]] = {
    "controller": _controller,
    "filesystem": lambda device: _virtio(device.model),
    "interface": _interface,
    "sound": lambda device: PCI if device.model in SOUNDS else None,
    "disk": lambda device: _virtio(device.model) if device.bus == "virtio" else None,
    "hostdev": _hostdev,
    "memballoon": lambda device: _virtio(device.model),
    "rng": lambda device: _virtio(device.model),
    "watchdog": lambda device: PCI if device.model == "i6300esb" else None,
    "video": lambda device: VIDEOS.get(device.model or ""),
    "shmem": lambda device: PCI,
    "input": lambda device: _virtio(device.model) if device.bus == "virtio" else None,
    "serial": lambda device: PCI if device.target == "pci-serial" else None,
    "iommu": lambda device: {"virtio": VIRTIO, "amd": PCIE}.get(device.model),
    "vsock": lambda device: _virtio(device.model),
    "memory": lambda device: VIRTIO if device.model in ("virtio-pmem", "virtio-mem") else None,
    "crypto": lambda device: VIRTIO,
    "pstore": lambda device: PCI,
    "panic": lambda device: PCIE if device.model == "pvpanic" else None,
}
"""By kind of device: its plug, None for one that is not on PCI."""
INTEGRATED = frozenset({"iommu", "panic"})
"""Devices that firmware and guests look for on the root bus."""


def wish_of(device: Device, guest: Guest, caps: Capabilities, *, hotplug: bool = False) -> Wish | None:
    """How a device plugs in; None for one that is no PCI device."""
    read = PLUGS.get(device.tag)
    plug = read(device) if read is not None else None
    if plug is None:
        return None
    if isinstance(device, Controller) and device.type == "pci":
        return Wish(plug, auto=False, shares=plug == "pcie-root-port")
    if plug == VIRTIO and not caps.has_type("virtio-blk-pci-transitional"):
        plug = PCI
    if plug == VIRTIO or (plug == PCIE and not guest.is_q35):
        plug = PCIE if guest.is_q35 else PCI
    return Wish(plug, integrated=device.tag in INTEGRATED, hotplug=hotplug)


def placed_devices(guest: Guest) -> Iterator[Device]:
    """Every device with a place of its own: a console that is a second name of a serial port has none."""
    for device in guest.devices.all():
        if not (isinstance(device, Console) and device.is_serial):
            yield device


def placement_order(guest: Guest) -> Iterator[Device]:
    """PCI devices in the order in which they get the lowest places that are free. It is part of the guest's ABI."""
    devices = guest.devices
    yield from (c for c in devices.controllers if c.type == "pci")
    yield from devices.filesystems
    yield from (card for card in devices.interfaces if card.type != "hostdev")
    yield from devices.sounds
    yield from (c for c in devices.controllers if c.type != "pci" and not (c.type == "ide" and c.index == 0))
    yield from devices.disks
    yield from (card for card in devices.interfaces if card.type == "hostdev")
    yield from devices.hostdevs
    yield from (devices.memballoon,) if devices.memballoon is not None else ()
    yield from devices.rngs
    yield from devices.watchdogs
    yield from devices.videos
    yield from devices.shmems
    yield from devices.inputs
    yield from devices.serials
    yield from (device for device in (devices.iommu, devices.vsock) if device is not None)
    yield from devices.memories
    yield from devices.cryptos
    yield from devices.panics
    yield from (devices.pstore,) if devices.pstore is not None else ()
