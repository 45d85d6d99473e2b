"""A device's address as QEMU's properties: the bus it is plugged into and its place on it."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.base import (
    CcidAddress,
    Device,
    DimmAddress,
    DriveAddress,
    IsaAddress,
    PciAddress,
    UsbAddress,
    VirtioSerialAddress,
)
from frontinus.domain.devices.controller import Controller
from frontinus.qemu.argv.context import Context

BUILT_IN = {"pci-root": "pci.0", "pcie-root": "pcie.0"}
"""Names that QEMU itself gives to the buses of the machine: an alias cannot change them."""
SCSI_BY_UNIT = frozenset({"lsilogic", "ncr53c90", "dc390", "am53c974"})
"""SCSI controllers of one flat bus: the unit is the SCSI id, there are no LUNs behind it."""

Props = dict[str, object]


def address_props(ctx: Context, device: Device, *, drive_bus: str = "scsi") -> Props:
    """The properties of a device's address; empty for a device without one. `drive_bus`: that of a drive address.

    Raises InvalidXML when the controller that the address names does not exist.
    """
    address = device.address
    if isinstance(address, PciAddress):
        return _pci(ctx, device, address)
    if isinstance(address, DriveAddress):
        return drive_props(ctx, address, drive_bus)
    if isinstance(address, UsbAddress):
        return {"bus": f"{controller_alias(ctx, 'usb', address.bus or 0)}.0", "port": address.port}
    if isinstance(address, VirtioSerialAddress):
        alias = controller_alias(ctx, "virtio-serial", address.controller)
        return {"bus": f"{alias}.{address.bus}", "nr": address.port}
    if isinstance(address, CcidAddress):
        return {"bus": f"{controller_alias(ctx, 'ccid', address.controller)}.0"}
    if isinstance(address, IsaAddress):
        return {"iobase": address.iobase, "irq": address.irq or None}
    if isinstance(address, DimmAddress):
        return {"slot": address.slot, "addr": address.base or None}
    return {}


def _pci(ctx: Context, device: Device, address: PciAddress) -> Props:
    place = f"0x{address.slot or 0:x}" + (f".0x{address.function:x}" if address.function else "")
    return {
        "bus": pci_bus(ctx, address.bus or 0),
        "multifunction": address.multifunction,
        "addr": place,
        "acpi-index": device.acpi_index or None,
    }


def pci_bus(ctx: Context, index: int) -> str:
    """QEMU's name of the PCI bus that a controller provides."""
    controller = find_controller(ctx, "pci", index)
    return BUILT_IN.get(controller.model or "") or alias_of(controller)


def drive_props(ctx: Context, address: DriveAddress, bus: str) -> Props:
    """Where a drive sits on its IDE, SATA, floppy or SCSI controller."""
    if bus == "fdc":
        return {"unit": address.unit}
    if bus == "ide":
        built_in = ctx.guest.is_i440fx
        alias = "ide" if built_in else controller_alias(ctx, "ide", address.controller)
        return {"bus": f"{alias}.{address.bus}", "unit": address.unit}
    if bus == "sata":
        built_in = ctx.guest.is_q35 and address.controller == 0
        alias = "ide" if built_in else controller_alias(ctx, "sata", address.controller)
        return {"bus": f"{alias}.{address.unit}"}
    if bus == "nvme":
        return {"bus": controller_alias(ctx, "nvme", address.controller), "nsid": address.unit + 1}
    controller = find_controller(ctx, "scsi", address.controller)
    if controller.model in SCSI_BY_UNIT:
        return {"bus": f"{alias_of(controller)}.{address.bus}", "scsi-id": address.unit}
    return {
        "bus": f"{alias_of(controller)}.0",
        "channel": address.bus,
        "scsi-id": address.target,
        "lun": address.unit,
    }


def find_controller(ctx: Context, kind: str, index: int) -> Controller:
    """The controller of a kind and index. Of a USB controller and its companions the first is the master."""
    for controller in ctx.guest.devices.controllers:
        if controller.type == kind and (controller.index or 0) == index:
            return controller
    raise InvalidXML(f"there is no {kind} controller with index {index}", element="controller")


def controller_alias(ctx: Context, kind: str, index: int) -> str:
    """The alias of the controller of a kind and index."""
    return alias_of(find_controller(ctx, kind, index))


def alias_of(device: Device) -> str:
    """A device's alias, which preparation has assigned."""
    if device.alias is None:
        raise InvalidXML(f"<{device.tag}> has no alias: the guest was not prepared", element=device.tag)
    return device.alias
