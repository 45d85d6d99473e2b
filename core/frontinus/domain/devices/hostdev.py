"""The <hostdev> device: a device of the host, given to the guest. One class for each kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from frontinus.domain.devices.base import Device, DriveAddress, Rom
from frontinus.domain.devices.block.credentials import Auth, check_auth
from frontinus.domain.devices.block.source import Host
from frontinus.domain.devices.netparts import Ip, Route
from frontinus.domain.devices.rules import VIRTIO_MODELS, has_usb, lacks, placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import Flag, Model, Variants, many, one, xml
from frontinus.xml.codecs import Hex2, Hex4, HexFree, Int, OnOff, UInt32, Uuid, YesNo, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts, UsbDevice

STARTUP = ("mandatory", "requisite", "optional")
ISCSI_PORT = 3260


class Hostdev(Device, tag="hostdev"):
    """What all kinds share. `managed`: the engine takes the device from the host's driver, and gives it back."""

    mode: str = xml("@mode", one_of("subsystem", "capabilities"), default="subsystem")
    type: str = xml("@type")
    managed: bool | None = xml("@managed", YesNo)
    model: str | None = xml("@model")
    sgio: str | None = xml("@sgio", one_of("filtered", "unfiltered"))
    rawio: bool | None = xml("@rawio", YesNo)
    startup_policy: str | None = xml("source/@startupPolicy", one_of(*STARTUP))
    teaming: str | None = xml("teaming/@type", one_of("persistent", "transient"), needed=True)
    teaming_persistent: str | None = xml("teaming/@persistent")
    rom: Rom | None = one("rom", Rom, last=True)

    ADDRESSES: ClassVar[tuple[str, ...]] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """What names the device on the host: two that are the same cannot be in one guest."""
        return ()

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if self.managed is None and self.mode == "subsystem":
            self.managed = False

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        name = f"<hostdev> of type '{self.type}'"
        if self.mode == "capabilities":
            yield f"{name}: mode 'capabilities' is of containers"
            return
        yield from placed(name, self.address, *self.ADDRESSES)
        yield from self._check_foreign(name)
        same = [other for other in guest.devices.hostdevs if other.identity == self.identity and self.identity]
        if len(same) > 1 and same[0] is self:
            yield f"{name}: the same device of the host is there twice"
        yield from self.check_kind(name, guest, caps)

    def _check_foreign(self, name: str) -> Iterator[str]:
        """Attributes that are of other kinds."""
        if self.startup_policy is not None and self.type != "usb":
            yield f"{name}: 'startupPolicy' is for USB devices"
        if self.type != "scsi" and (self.sgio is not None or self.rawio is not None):
            yield f"{name}: 'sgio' and 'rawio' are for SCSI devices"
        if self.model is not None and self.type not in ("mdev", "scsi_host"):
            yield f"{name} has no model"
        if self.rom is not None and "pci" not in self.ADDRESSES:
            yield f"{name}: <rom> is for PCI devices"
        if self.teaming is not None:
            if self.type != "pci":
                yield f"{name}: <teaming> is for PCI devices"
            if self.teaming != "transient" or not self.teaming_persistent:
                yield f"{name}: <teaming> is of type 'transient' and names its persistent partner"

    def check_kind(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons of one kind."""
        return iter(())


class HostPciAddress(Model, tag="address"):
    """A PCI function of the host."""

    domain: int = xml("@domain", Hex4, default=0)
    bus: int = xml("@bus", Hex2, default=0)
    slot: int = xml("@slot", Hex2, default=0)
    function: int = xml("@function", HexFree, default=0)

    def __str__(self) -> str:
        """As the kernel and QEMU write it."""
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function:x}"


class ShownHostdev(Hostdev):
    """A device that may show a picture. `ramfb`: the firmware's framebuffer until it is driven."""

    display: bool | None = xml("@display", OnOff)
    ramfb: bool | None = xml("@ramfb", OnOff)

    def _check_display(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.display is not None and lacks(caps, "vfio-pci", "display"):
            yield Lacking(f"{name}: 'display' is not supported by this QEMU")
        if self.display and not guest.devices.graphics:
            yield f"{name}: display='on' needs a <graphics> device"
        if self.ramfb and not self.display:
            yield f"{name}: ramfb='on' needs display='on'"
        with_ramfb = [other for other in guest.devices.hostdevs if isinstance(other, ShownHostdev) and other.ramfb]
        if len(with_ramfb) > 1 and with_ramfb[0] is self:
            yield f"{name}: only one can have 'ramfb'"


class PciHostdev(ShownHostdev, tag="hostdev"):
    """A PCI function. `variant`: the host's driver that hands it to guests, where that is not the general one."""

    type: str = xml("@type", default="pci")
    driver: str | None = xml("driver/@name", one_of("kvm", "vfio", "xen"))
    variant: str | None = xml("driver/@model")
    iommufd: bool | None = xml("driver/@iommufd", YesNo)
    write_filtering: bool | None = xml("source/@writeFiltering", YesNo)
    source: HostPciAddress | None = one("source/address", HostPciAddress)

    ADDRESSES = ("pci", "unassigned")

    @property
    def identity(self) -> tuple[object, ...]:
        return ("pci", str(self.source))

    def uses_iommufd(self, guest: Guest) -> bool:
        """Whether it is reached by iommufd and not by a container of VFIO: its own wish goes before the guest's."""
        return bool(guest.iommufd if self.iommufd is None else self.iommufd)

    def check_kind(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.source is None:
            yield f"{name}: <address> of the host's device is missing"
        elif not (self.source.domain or self.source.bus or self.source.slot):
            yield f"{name}: {self.source} is the host's own bridge"
        elif self.source.slot > 31 or self.source.function > 7 or self.source.bus > 255:
            yield f"{name}: the host can have no device {self.source}"
        if self.driver not in (None, "vfio"):
            yield f"{name}: driver '{self.driver}' does not exist any more, only 'vfio'"
        if not caps.has_type("vfio-pci"):
            yield Lacking(f"{name} is not supported by this QEMU")
        if self.write_filtering is not None:
            yield f"{name}: 'writeFiltering' is not of this hypervisor"
        if self.variant is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", self.variant):
            yield f"{name}: driver model '{self.variant}' is no name of a kernel's driver"
        yield from self._check_nodes(name, guest, caps)
        if self.uses_iommufd(guest) and not knows_iommufd(caps):
            yield Lacking(f"{name}: iommufd='yes' is not supported by this QEMU, only VFIO's own containers")
        yield from self._check_display(name, guest, caps)

    def _check_nodes(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """The guest's NUMA nodes for the memory that a device has itself."""
        if self.acpi_nodes is None:
            return
        beyond = [node for node in self.acpi_nodes if node >= len(guest.cells)]
        if beyond or not self.acpi_nodes:
            yield f"{name}: <acpi nodeset> names no node of the guest, or one that it has not"
        if not caps.has_type("acpi-generic-initiator"):
            yield Lacking(f"{name}: <acpi nodeset> is not supported by this QEMU")


def knows_iommufd(caps: Capabilities) -> bool:
    """Whether a QEMU reaches devices by iommufd: since 9.0, where it was built in."""
    return caps.has_schema("object-add/arg-type/qom-type=iommufd") and caps.has_property("vfio-pci", "iommufd")


class UsbHostdev(Hostdev, tag="hostdev"):
    """A USB device, named by vendor and product, by its place, or by both. `missing`: it was not there at the start."""

    type: str = xml("@type", default="usb")
    guest_reset: str | None = xml("source/@guestReset", one_of("off", "uninitialized", "on"))
    missing: bool | None = xml("source/@missing", YesNo, live=True)
    vendor: int | None = xml("source/vendor/@id", Hex4)
    product: int | None = xml("source/product/@id", Hex4)
    bus: int | None = xml("source/address/@bus", integer(0, 2**31))
    device: int | None = xml("source/address/@device", integer(0, 2**31))

    ADDRESSES = ("usb",)

    @property
    def identity(self) -> tuple[object, ...]:
        return ("usb", self.vendor, self.product, self.bus, self.device)

    def matches(self, host: HostFacts) -> list[UsbDevice]:
        """The host's devices that are meant: by vendor and product, and among several by place."""
        found = [
            there for there in host.now().usb or () if (there.vendor, there.product) == (self.vendor, self.product)
        ]
        if len(found) > 1 and self.bus is not None:
            found = [there for there in found if (there.bus, there.device) == (self.bus, self.device)]
        return found

    def prepare(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if not self.vendor or host.now().usb is None:
            return
        found = self.matches(host)
        if len(found) == 1:
            self.bus, self.device = found[0].bus, found[0].device
        elif not found and self.startup_policy == "optional":
            self.missing = True

    def check_kind(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if (self.vendor is None) != (self.product is None):
            yield f"{name}: <vendor> and <product> are needed together"
        if self.vendor == 0:
            yield f"{name}: <vendor> is not 0"
        if (self.bus is None) != (self.device is None):
            yield f"{name}: <address> needs bus and device"
        if not self.vendor and not (self.bus or self.device):
            yield f"{name}: <source> needs <vendor> and <product>, or <address>"
        if not has_usb(guest):
            yield f"{name}: the guest has no USB"
        if self.guest_reset is not None and lacks(caps, "usb-host", "guest-resets-all"):
            yield Lacking(f"{name}: 'guestReset' is not supported by this QEMU")


class ScsiHostdev(Hostdev, tag="hostdev"):
    """A SCSI logical unit, of an adapter of the host or of an iSCSI target."""

    type: str = xml("@type", default="scsi")
    protocol: str | None = xml("source/@protocol", one_of("adapter", "iscsi"))
    name: str | None = xml("source/@name")
    adapter: str | None = xml("source/adapter/@name")
    bus: int | None = xml("source/address/@bus", UInt32)
    target: int | None = xml("source/address/@target", UInt32)
    unit: int | None = xml("source/address/@unit", Int)
    hosts: list[Host] = many("source/host", Host)
    auth: Auth | None = one("source/auth", Auth)
    initiator: str | None = xml("source/initiator/iqn/@name")
    readonly: bool = xml("readonly", Flag)
    shareable: bool = xml("shareable", Flag)

    ADDRESSES = ("drive",)

    @property
    def identity(self) -> tuple[object, ...]:
        if self.protocol == "iscsi":
            return ("iscsi", self.name, *((host.name, host.port) for host in self.hosts))
        return ("scsi", self.adapter, self.bus, self.target, self.unit)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        super().complete(guest, caps, host)
        if self.protocol == "adapter":
            self.protocol = None
        if self.protocol == "iscsi" and self.name and "/" not in self.name:
            self.name += "/0"

    def check_kind(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.sgio == "unfiltered":
            yield f"{name}: the kernel has no unfiltered SG_IO any more"
        if self.protocol == "iscsi":
            yield from self._check_iscsi(name)
        else:
            if not self.adapter:
                yield f"{name}: <source> needs an <adapter>"
            if None in (self.bus, self.target, self.unit):
                yield f"{name}: <address> of <source> needs bus, target and unit"
        yield from self._check_place(name, guest)

    def _check_iscsi(self, name: str) -> Iterator[str]:
        if not self.name:
            yield f"{name}: <source> needs the 'name' of the iSCSI target"
        if len(self.hosts) != 1 or not self.hosts[0].name:
            yield f"{name}: an iSCSI target has exactly one <host>"
        if self.auth is not None:
            yield from check_auth(self.auth)
            if self.auth.secret_type != "iscsi":
                yield f"{name}: the secret of <auth> is of type 'iscsi', not '{self.auth.secret_type}'"

    def _check_place(self, name: str, guest: Guest) -> Iterator[str]:
        """A logical unit that another device has."""
        if not isinstance(self.address, DriveAddress):
            return
        if self.address.bus:
            yield f"{name}: a SCSI controller has bus 0 alone"
        disks = [disk for disk in guest.devices.disks if getattr(disk, "bus", None) == "scsi"]
        for other in (*disks, *guest.devices.hostdevs):
            if other is not self and other.address == self.address:
                yield f"{name}: its address is that of another <{other.tag}>"
                return


class VhostScsiHostdev(Hostdev, tag="hostdev"):
    """A target of the host's kernel (vhost-scsi)."""

    type: str = xml("@type", default="scsi_host")
    model: str | None = xml("@model", one_of(*VIRTIO_MODELS))
    protocol: str | None = xml("source/@protocol", one_of("vhost"))
    wwpn: str | None = xml("source/@wwpn")

    ADDRESSES = ("pci",)

    @property
    def identity(self) -> tuple[object, ...]:
        return ("vhost", self.wwpn)

    def check_kind(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.protocol is None:
            yield f"{name}: <source> needs 'protocol'"
        if not re.fullmatch(r"naa\.[0-9a-fA-F]{16}", self.wwpn or ""):
            yield f"{name}: 'wwpn' is naa. and 16 hexadecimal digits"
        if self.boot_order is not None:
            yield f"{name}: booting from it is not possible"
        if not caps.has_type("vhost-scsi-pci"):
            yield Lacking(f"{name} is not supported by this QEMU")


class MdevHostdev(ShownHostdev, tag="hostdev"):
    """A mediated device: a part of a device of the host."""

    type: str = xml("@type", default="mdev")
    model: str = xml("@model", one_of("vfio-pci", "vfio-ccw", "vfio-ap"), required=True)
    uuid: str | None = xml("source/address/@uuid", Uuid)

    ADDRESSES = ("pci",)

    @property
    def identity(self) -> tuple[object, ...]:
        return ("mdev", self.uuid)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        super().complete(guest, caps, host)
        known = self.model == "vfio-pci" and caps.has_property("vfio-pci", "display")
        if self.display is None and known and caps.settles(guest.devices.emulator, guest.machine):
            self.display = False

    def check_kind(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.uuid is None:
            yield f"{name}: <address> of <source> needs 'uuid'"
        if self.model != "vfio-pci":
            yield f"{name}: model '{self.model}' exists on s390 alone"
        if not caps.has_type("vfio-pci"):
            yield Lacking(f"{name} is not supported by this QEMU")
        if self.boot_order is not None:
            yield f"{name}: booting from it is not possible"
        yield from self._check_display(name, guest, caps)


class CapabilityHostdev(Hostdev, tag="hostdev"):
    """What a container would be given: known, and refused here."""

    mode: str = xml("@mode", one_of("capabilities"), required=True)
    block: str | None = xml("source/block")
    char: str | None = xml("source/char")
    interface: str | None = xml("source/interface")
    ips: list[Ip] = many("ip", Ip)
    routes: list[Route] = many("route", Route)


HOSTDEVS = Variants(
    "type",
    {
        "pci": PciHostdev, "usb": UsbHostdev, "scsi": ScsiHostdev, "scsi_host": VhostScsiHostdev, "mdev": MdevHostdev,
        "storage": CapabilityHostdev, "misc": CapabilityHostdev, "net": CapabilityHostdev,
    },
)  # fmt: skip
