"""The <controller> device: PCI, USB, SCSI, IDE, SATA, floppy, virtio-serial and smartcard buses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.controller_check import ROOTS, check_controller
from frontinus.xml import Size, xml
from frontinus.xml.codecs import Int, OnOff, UInt32, hexadecimal, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

TYPES = ("ide", "fdc", "scsi", "sata", "virtio-serial", "ccid", "usb", "pci", "xenbus", "isa")
BYTE = integer(0, 255)
KIB = 1024
COMPANIONS = {"ich9-uhci1": 0, "ich9-uhci2": 2, "ich9-uhci3": 4}
"""USB 1 companions of ich9-ehci1: the first port of the master that each serves."""
SCSI_DEFAULTS = (("lsilogic", "lsi53c895a"), ("virtio-scsi", "virtio-scsi-pci"))
"""SCSI models for a controller that names none, by the type that QEMU must have."""


class Controller(Device, VirtioOptions, tag="controller"):
    """A <controller> element. `index` is what addresses refer to."""

    type: str = xml("@type", one_of(*TYPES), required=True)
    index: int | None = xml("@index", integer(0, 2**31 - 1))
    model: str | None = xml("@model")
    ports: int | None = xml("@ports", integer(0, 2**31 - 1))
    vectors: int | None = xml("@vectors", integer(0, 2**31 - 1))
    max_grant_frames: int | None = xml("@maxGrantFrames", UInt32)
    max_event_channels: int | None = xml("@maxEventChannels", UInt32)
    model_name: str | None = xml("model/@name")
    chassis_nr: int | None = xml("target/@chassisNr", BYTE)
    chassis: int | None = xml("target/@chassis", BYTE)
    port: int | None = xml("target/@port", hexadecimal(1, 255))
    bus_nr: int | None = xml("target/@busNr", BYTE)
    target_index: int | None = xml("target/@index", BYTE)
    hotplug: bool | None = xml("target/@hotplug", OnOff)
    node: int | None = xml("target/node", Int)
    queues: int | None = xml("driver/@queues", UInt32)
    cmd_per_lun: int | None = xml("driver/@cmd_per_lun", UInt32)
    max_sectors: int | None = xml("driver/@max_sectors", UInt32)
    ioeventfd: bool | None = xml("driver/@ioeventfd", OnOff)
    iothread: int | None = xml("driver/@iothread", UInt32)
    master_port: int | None = xml("master/@startport", UInt32, last=True)
    pcihole64: int | None = xml("pcihole64", Size(), last=True)

    @property
    def is_companion(self) -> bool:
        """Whether this USB controller serves ports of another."""
        return self.master_port is not None

    @property
    def is_root(self) -> bool:
        """Whether this is the machine's own PCI bus."""
        return self.type == "pci" and self.model in ROOTS

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        for name in ("queues", "cmd_per_lun", "max_sectors", "iothread"):
            setattr(self, name, getattr(self, name) or None)
        if self.type == "usb":
            self._complete_usb(caps)
        elif self.type == "scsi" and self.model in (None, "auto"):
            self.model = next((model for model, name in SCSI_DEFAULTS if caps.has_type(name)), None)
        elif self.type == "pci":
            self._complete_pci(guest)

    def _complete_usb(self, caps: Capabilities) -> None:
        if self.model is None and caps.has_type("piix3-usb-uhci"):
            self.model = "piix3-uhci"
        if self.master_port is None:
            self.master_port = COMPANIONS.get(self.model or "")
        if self.model == "none":
            self.address = None

    def _complete_pci(self, guest: Guest) -> None:
        if self.model is None and self.index == 0:
            self.model = "pcie-root" if guest.is_q35 else "pci-root"
        if self.pcihole64 is not None:
            self.pcihole64 = -(-self.pcihole64 // KIB) * KIB

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        for reason in check_controller(self, guest, caps):
            yield f"{self.type} controller {self.index}: {reason}"
