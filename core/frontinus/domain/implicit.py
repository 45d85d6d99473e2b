"""Devices that a definition need not name: what every machine of its kind has, and what other devices hang on."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.api.errors import InvalidXML
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.controllers import add_controller
from frontinus.domain.devices.audio import default_audio
from frontinus.domain.devices.base import CcidAddress, Device, DriveAddress, VirtioSerialAddress
from frontinus.domain.devices.input import Input
from frontinus.domain.devices.memballoon import Memballoon
from frontinus.domain.devices.video import default_video
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts

Q35_USB = (("qemu-xhci", "qemu-xhci"), ("nec-xhci", "nec-usb-xhci"), ("ich9-ehci1", "ich9-usb-ehci1"))
"""USB models for q35, the best first, by the type that QEMU must have."""
COMPANIONS = ("ich9-uhci1", "ich9-uhci2", "ich9-uhci3")
ISA_ONLY = "isapc"
LAST_CONTROLLER = 255
"""Of those that are added because a drive is on them: they are all there, from the first on."""
DRIVES = ("scsi", "fdc", "ide", "sata", "nvme")


def add_machine_devices(guest: Guest, caps: Capabilities, host: HostFacts) -> None:
    """Root bus, USB, the chipset's SATA, keyboard and mouse, balloon. To be completed with the user's own devices."""
    _add_hostdev_scsi(guest, caps, host)
    if guest.is_q35:
        _add_q35_usb(guest, caps, host)
        add_controller(guest, caps, host, "sata", 0)
        add_controller(guest, caps, host, "pci", 0, "pcie-root")
    elif guest.machine != ISA_ONLY:
        add_controller(guest, caps, host, "usb", 0)
        add_controller(guest, caps, host, "pci", 0, "pci-root")
    devices = guest.devices
    for kind in ("mouse", "keyboard"):
        if not any(device.type == kind and device.bus in ("ps2", None) for device in devices.inputs):
            devices.inputs.append(Input(type=kind, bus="ps2"))
    if devices.memballoon is None and guest.machine != ISA_ONLY:
        devices.memballoon = Memballoon(model="virtio")
    audio = default_audio(guest, host)
    if audio is not None:
        devices.audios.append(audio)


def _add_hostdev_scsi(guest: Guest, caps: Capabilities, host: HostFacts) -> None:
    """The SCSI controller of host devices comes before the machine's own devices, those of disks after them."""
    wanted = any(device.type == "scsi" for device in guest.devices.hostdevs)
    if wanted and not any(controller.type == "scsi" for controller in guest.devices.controllers):
        add_controller(guest, caps, host, "scsi", 0)


def _add_q35_usb(guest: Guest, caps: Capabilities, host: HostFacts) -> None:
    model = next((model for model, name in Q35_USB if caps.has_type(name)), None)
    if model is None or any(c.type == "usb" and not c.index for c in guest.devices.controllers):
        return
    add_controller(guest, caps, host, "usb", 0, model)
    if model == "ich9-ehci1":
        devices = guest.devices
        master = next(c for c in devices.controllers if c.model == model)
        companions = [master.clone(model=name) for name in COMPANIONS]
        at = devices.controllers.index(master) + 1
        devices.controllers[at:at] = companions
        for companion in companions:
            companion.complete(guest, caps, host)


def add_needed_devices(guest: Guest, caps: Capabilities, host: HostFacts) -> None:
    """Controllers that devices hang on, and a display adapter for a display. Drives must have their addresses."""
    for kind in DRIVES:
        on_bus: list[Device] = [disk for disk in guest.devices.disks if disk.bus == kind]
        if kind == "scsi":
            on_bus += [device for device in guest.devices.hostdevs if device.type == "scsi"]
        used = [d.address.controller for d in on_bus if isinstance(d.address, DriveAddress)]
        if max(used, default=0) > LAST_CONTROLLER:
            raise InvalidXML(
                f"<address>: {kind} controller {max(used)}: the last is {LAST_CONTROLLER}", element="address"
            )
        like = next((c.model for c in guest.devices.controllers if c.type == kind), None)
        for index in range(max(used, default=-1) + 1):
            add_controller(guest, caps, host, kind, index, like)
    for kind, device in _port_devices(guest):
        address = device.address
        index = address.controller if isinstance(address, (VirtioSerialAddress, CcidAddress)) else 0
        add_controller(guest, caps, host, kind, index)
    if video := default_video(guest):
        guest.devices.videos.append(video)
        video.complete(guest, caps, host)


def _port_devices(guest: Guest) -> Iterator[tuple[str, Device]]:
    """Devices on a port of a controller, with its type."""
    devices = guest.devices
    yield from (("virtio-serial", channel) for channel in devices.channels if channel.target == "virtio")
    yield from (("virtio-serial", console) for console in devices.consoles if console.target == "virtio")
    yield from (("ccid", card) for card in devices.smartcards)
