"""The <controller> device: PCI, USB, SCSI, IDE, SATA, floppy, virtio-serial and smartcard buses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, PciAddress, VirtioOptions
from frontinus.domain.devices.controller_check import (
    EXPANDERS,
    MODEL_NAMES,
    NVME_SERIAL,
    PORTS,
    ROOTS,
    USB_DEFAULT,
    check_controller,
)
from frontinus.domain.devices.queues import ThreadOfQueues
from frontinus.domain.reasons import within
from frontinus.xml import Size, many, xml
from frontinus.xml.codecs import Int, OnOff, UInt32, hexadecimal, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

TYPES = ("ide", "fdc", "scsi", "sata", "virtio-serial", "ccid", "usb", "pci", "xenbus", "isa", "nvme")
BYTE = integer(0, 255)
KIB = 1024
COMPANIONS = {"ich9-uhci1": 0, "ich9-uhci2": 2, "ich9-uhci3": 4}
"""USB 1 companions of ich9-ehci1: the first port of the master that each serves."""
USB2 = frozenset({"ich9-ehci1", *COMPANIONS})
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
    memory_reserve: int | None = xml("target/@memReserve", Int)
    node: int | None = xml("target/node", Int)
    queues: int | None = xml("driver/@queues", UInt32)
    cmd_per_lun: int | None = xml("driver/@cmd_per_lun", UInt32)
    max_sectors: int | None = xml("driver/@max_sectors", UInt32)
    ioeventfd: bool | None = xml("driver/@ioeventfd", OnOff)
    iothread: int | None = xml("driver/@iothread", UInt32)
    threads: list[ThreadOfQueues] = many("driver/iothreads/iothread", ThreadOfQueues)
    master_port: int | None = xml("master/@startport", UInt32, last=True)
    pcihole64: int | None = xml("pcihole64", Size(), last=True)
    serial: str | None = xml("serial", last=True)

    @property
    def is_companion(self) -> bool:
        """Whether this USB controller serves ports of another."""
        return self.master_port is not None

    @property
    def is_root(self) -> bool:
        """Whether this is the machine's own PCI bus."""
        return self.type == "pci" and self.model in ROOTS

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if self.index is None:
            assign_indexes(guest.devices.controllers)
            self.index = self.index or 0
        for name in ("queues", "cmd_per_lun", "max_sectors", "iothread"):
            setattr(self, name, getattr(self, name) or None)
        if self.type == "usb":
            self._complete_usb(guest, caps)
        elif self.type == "scsi" and self.model in (None, "auto"):
            self.model = next((model for model, name in SCSI_DEFAULTS if caps.has_type(name)), None)
        elif self.type == "pci":
            self._complete_pci(guest, caps)
        elif self.type == "nvme" and not self.serial and guest.uuid:
            self.serial = f"{guest.uuid.replace('-', '')[: NVME_SERIAL - 4]}{self.index or 0:04d}"

    def _complete_usb(self, guest: Guest, caps: Capabilities) -> None:
        """A model that is not named means the PIIX3's controller, whatever QEMU may come."""
        if self.model is None and caps.settles(guest.devices.emulator, guest.machine):
            self.model = USB_DEFAULT
        if self.master_port is None:
            self.master_port = COMPANIONS.get(self.model or "")
        if self.model == "none":
            self.address = None

    def _complete_pci(self, guest: Guest, caps: Capabilities) -> None:
        if self.model is None and self.index == 0:
            self.model = "pcie-root" if guest.is_q35 else "pci-root"
        names = MODEL_NAMES.get(self.model or "", ())
        if self.model_name is None and names:
            self.model_name = next((name for name in names if caps.has_type(name)), names[0])
        if self.pcihole64 is not None:
            self.pcihole64 = -(-self.pcihole64 // KIB) * KIB
        if self.model == "pci-bridge" and self.chassis_nr is None:
            self.chassis_nr = self.index
        if self.model in PORTS:
            self.chassis = self.index if self.chassis is None else self.chassis
        if self.model in EXPANDERS and self.bus_nr is None:
            self.bus_nr = free_bus_nr(guest.devices.controllers)
        self.settle()

    def settle(self) -> None:
        """Number the port of a PCI Express port by its address. To be called once the address is assigned."""
        address = self.address
        if self.model in PORTS and self.port is None and isinstance(address, PciAddress) and address.slot is not None:
            below_root = self.model == "pcie-root-port"
            self.port = (address.slot << 3 | (address.function or 0)) & 0xFF if below_root else address.slot

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        for reason in check_controller(self, guest, caps):
            yield within(f"{self.type} controller {self.index}", reason)


def assign_indexes(controllers: list[Controller]) -> None:
    """Give each controller without an index the lowest free one of its type.

    A USB 2 controller right behind another of its group joins it, unless the group has one of its model.
    """
    for place, controller in enumerate(controllers):
        if controller.index is None:
            group = _group(controllers[:place], controller) if controller.model in USB2 else None
            controller.index = _free_index(controllers, controller) if group is None else group


def _group(before: list[Controller], controller: Controller) -> int | None:
    last = next((other for other in reversed(before) if other.type == "usb"), None)
    if last is None or last.model not in USB2:
        return None
    taken = any(other.type == "usb" and other.index == last.index and other.model == controller.model
                for other in before)  # fmt: skip
    return None if taken else last.index


def _free_index(controllers: list[Controller], new: Controller) -> int:
    """The lowest index that no controller of the type has; the PCI bus with index 0 is the machine's own."""
    used = {controller.index for controller in controllers if controller.type == new.type}
    first = 1 if new.type == "pci" and new.model is not None and not new.is_root else 0
    return next(index for index in range(first, len(used) + 2) if index not in used)


def free_bus_nr(controllers: list[Controller]) -> int | None:
    """The number for a new expander's bus: two below the lowest in use, one for itself and one for its bridge."""
    lowest = min((controller.bus_nr for controller in controllers if controller.bus_nr is not None), default=256)
    return lowest - 2 if lowest > 2 else None


def arrange(controllers: list[Controller]) -> list[Controller]:
    """Controllers by type in order of appearance, of one type by index, masters before their companions."""
    types: dict[str, list[Controller]] = {}
    for controller in controllers:
        types.setdefault(controller.type, []).append(controller)
    return [c for group in types.values() for c in sorted(group, key=lambda c: (c.index or 0, c.is_companion))]
