"""What all devices share: alias, boot order, address, and the options of virtio transports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.xml import Model, Variants, one, xml
from frontinus.xml.codecs import (
    Bare,
    CpuSet,
    Hex2,
    Hex4,
    HexFree,
    Int,
    OnOff,
    UInt32,
    YesNo,
    hexadecimal,
    integer,
    one_of,
)

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts


class Address(Model, tag="address"):
    """Where a device sits. Each kind has a class of its own below."""

    type: str = xml("@type", default="")


class PciAddress(Address, tag="address"):
    """A PCI or PCIe function; all None until assigned."""

    type: str = xml("@type", default="pci")
    domain: int | None = xml("@domain", Hex4)
    bus: int | None = xml("@bus", Hex2)
    slot: int | None = xml("@slot", Hex2)
    function: int | None = xml("@function", HexFree)
    multifunction: bool | None = xml("@multifunction", OnOff)
    zpci_uid: int | None = xml("zpci/@uid", Hex4)
    zpci_fid: int | None = xml("zpci/@fid", hexadecimal(8, 2**32 - 1))

    def fill(self) -> None:
        """Say all parts of a place: those that are left out are 0."""
        self.domain, self.bus, self.slot, self.function = (
            number or 0 for number in (self.domain, self.bus, self.slot, self.function)
        )

    @property
    def assigned(self) -> bool:
        return self.slot is not None or self.bus is not None


class DriveAddress(Address, tag="address"):
    """A unit on an IDE, SATA, SCSI or floppy controller."""

    type: str = xml("@type", default="drive")
    controller: int = xml("@controller", UInt32, default=0)
    bus: int = xml("@bus", UInt32, default=0)
    target: int = xml("@target", UInt32, default=0)
    unit: int = xml("@unit", UInt32, default=0)


class UsbAddress(Address, tag="address"):
    """A port, written 1.2.3 through hubs, on a USB controller."""

    type: str = xml("@type", default="usb")
    bus: int | None = xml("@bus", UInt32)
    port: str | None = xml("@port")


class VirtioSerialAddress(Address, tag="address"):
    type: str = xml("@type", default="virtio-serial")
    controller: int = xml("@controller", UInt32, default=0)
    bus: int = xml("@bus", UInt32, default=0)
    port: int | None = xml("@port", UInt32)


class CcidAddress(Address, tag="address"):
    type: str = xml("@type", default="ccid")
    controller: int = xml("@controller", UInt32, default=0)
    slot: int | None = xml("@slot", UInt32)


class IsaAddress(Address, tag="address"):
    type: str = xml("@type", default="isa")
    iobase: int | None = xml("@iobase", Bare)
    irq: int | None = xml("@irq", Bare)


class DimmAddress(Address, tag="address"):
    type: str = xml("@type", default="dimm")
    slot: int | None = xml("@slot", Int)
    base: int | None = xml("@base", Bare)


class ForeignAddress(Address, tag="address"):
    """A place on machines of s390 or POWER: known, and refused."""

    type: str = xml("@type", default="ccw")
    cssid: int | None = xml("@cssid", Hex2)
    ssid: int | None = xml("@ssid", HexFree)
    devno: int | None = xml("@devno", Hex4)
    reg: int | None = xml("@reg", hexadecimal(8))


class PlainAddress(Address, tag="address"):
    """An address kind that carries nothing more on x86_64 (unassigned, virtio-mmio, mdev...)."""

    type: str = xml("@type", default="unassigned")


ADDRESSES = Variants(
    "type",
    {
        "pci": PciAddress, "drive": DriveAddress, "usb": UsbAddress, "virtio-serial": VirtioSerialAddress,
        "ccid": CcidAddress, "isa": IsaAddress, "dimm": DimmAddress, "unassigned": PlainAddress,
        "virtio-mmio": PlainAddress, **dict.fromkeys(("ccw", "spapr-vio", "virtio-s390"), ForeignAddress),
    },
)  # fmt: skip


class Device(Model):
    """Base of every device. `alias` names it while the guest runs; one that the user chose starts with ua-."""

    boot_order: int | None = xml("boot/@order", integer(1, 2**31), needed=True, last=True)
    boot_loadparm: str | None = xml("boot/@loadparm", last=True)
    alias: str | None = xml("alias/@name", live=lambda name: not name.startswith("ua-"), last=True)
    acpi_index: int | None = xml("acpi/@index", UInt32, last=True)
    acpi_nodes: tuple[int, ...] | None = xml("acpi/@nodeset", CpuSet, last=True)
    address: Address | None = one("address", ADDRESSES, last=True)

    def forget(self, host: HostFacts) -> None:
        """Drop what only a run of the guest had: names of taps, paths of sockets, ports. A definition has none of it."""

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Fill in what the user left open (models, formats, MACs...), once, at define time. Addresses come later."""

    def prepare(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Fill in what is chosen anew at each start (paths of sockets), in the runtime copy. Aliases are there."""

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Every reason why this device cannot be, as text that names the attribute or element."""
        return iter(())


class Rom(Model, tag="rom"):
    """The option ROM of a PCI device: none at all, mapped or not, or another file."""

    enabled: bool | None = xml("@enabled", YesNo)
    bar: bool | None = xml("@bar", OnOff)
    file: str | None = xml("@file")


class VirtioOptions(Model):
    """Attributes of <driver> that every virtio device accepts."""

    driver_iommu: bool | None = xml("driver/@iommu", OnOff)
    driver_ats: bool | None = xml("driver/@ats", OnOff)
    driver_packed: bool | None = xml("driver/@packed", OnOff)
    driver_page_per_vq: bool | None = xml("driver/@page_per_vq", OnOff)


def no_virtio_options(device: VirtioOptions, who: str) -> Iterator[str]:
    """Reasons why a device that is not virtio cannot have the options of one."""
    for name, spec in VirtioOptions._specs.items():
        if getattr(device, name) is not None:
            yield f"{who}: <driver {spec.path.partition('@')[2]}=> is for virtio devices"


class SecurityLabel(Model, tag="seclabel"):
    """A label of one device or of the guest."""

    type: str | None = xml("@type", one_of("dynamic", "static", "none"))
    model: str | None = xml("@model")
    relabel: bool | None = xml("@relabel", YesNo)
    label_skip: bool | None = xml("@labelskip", YesNo, live=True)
    label: str | None = xml("label")
    image_label: str | None = xml("imagelabel", live=True)
    base_label: str | None = xml("baselabel")
