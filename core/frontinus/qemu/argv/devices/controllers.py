"""The controllers family of the command line: PCI buses, then what is plugged into them."""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.controller_check import USB_DEFAULT, USB_TYPES
from frontinus.domain.devices.queues import PROPERTY, mapping
from frontinus.qemu.argv.address import Props, address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props

ORDER = ("pci", "usb", "scsi", "ide", "sata", "nvme", "virtio-serial")
"""PCI first: the others sit on it. Smartcard readers come behind USB hubs, the floppy controller with its disks."""
SCSI_DRIVERS = {
    "lsilogic": "lsi", "lsisas1068": "mptsas1068", "lsisas1078": "megasas", "vmpvscsi": "pvscsi", "dc390": "dc390",
    "am53c974": "am53c974",
}  # fmt: skip
ROOT_HOLES = {"pci-root": "i440FX-pcihost", "pcie-root": "q35-pcihost"}
"""QEMU's device that keeps the size of the 64-bit PCI hole."""
KIB = 1024


def build(ctx: Context) -> None:
    """Emit all controllers but smartcard readers."""
    for controller in ctx.guest.devices.controllers:
        if controller.is_root and controller.pcihole64 is not None:
            device = ROOT_HOLES[controller.model or ""]
            ctx.text("global", f"{device}.pci-hole64-size={controller.pcihole64 // KIB}K")
    for kind in ORDER:
        for controller in ordered(ctx, kind):
            if controller.is_root and controller.hotplug is not None and controller.model == "pci-root":
                ctx.text("global", f"PIIX4_PM.acpi-root-pci-hotplug={'on' if controller.hotplug else 'off'}")
            if not is_built_in(ctx, controller):
                ctx.props("device", controller_props(ctx, controller))


def build_ccid(ctx: Context) -> None:
    """Emit smartcard readers, which may sit behind USB hubs."""
    for controller in ordered(ctx, "ccid"):
        ctx.props("device", controller_props(ctx, controller))


def ordered(ctx: Context, kind: str) -> list[Controller]:
    """The controllers of a kind, masters before their companions, buses before what is on them: QEMU must know what others
    refer to."""
    found = [controller for controller in ctx.guest.devices.controllers if controller.type == kind]
    if kind == "pci":
        return _buses_first(found)
    return sorted(found, key=lambda controller: controller.is_companion)


def _buses_first(controllers: Sequence[Controller]) -> list[Controller]:
    """In their order, but each behind the bus that it is on, which may have been added later."""
    by_index = {controller.index: controller for controller in controllers}
    placed: dict[int | None, Controller] = {}
    for controller in controllers:
        above: list[Controller] = []
        at: Controller | None = controller
        while at is not None and at.index not in placed and at not in above:
            above.append(at)
            at = by_index.get(at.address.bus) if isinstance(at.address, PciAddress) else None
        placed |= {one.index: one for one in reversed(above)}
    return list(placed.values())


def is_built_in(ctx: Context, controller: Controller) -> bool:
    """Whether the machine has this controller by itself, or it stands for the absence of one."""
    if controller.type == "usb":
        return controller.model == "none"
    if controller.type == "pci":
        return controller.is_root
    first = (controller.index or 0) == 0
    return first and (
        controller.type == "ide" and ctx.guest.is_i440fx or controller.type == "sata" and ctx.guest.is_q35
    )


def controller_props(ctx: Context, controller: Controller) -> Props:
    """The device of one controller. Raises InvalidXML for one that has none here."""
    build_props = {"pci": _pci, "usb": _usb, "scsi": _scsi, "virtio-serial": _virtio_serial, "nvme": _nvme}.get(
        controller.type
    )
    if build_props is not None:
        props = build_props(ctx, controller)
    elif controller.type in ("sata", "ccid"):
        props = {"driver": "ahci" if controller.type == "sata" else "usb-ccid", "id": alias_of(controller)}
    else:
        raise InvalidXML(f"<controller> of type '{controller.type}': this machine has none", element="controller")
    return props | address_props(ctx, controller)


def _pci(ctx: Context, controller: Controller) -> Props:
    model = controller.model or ""
    own: Props = {}
    if model == "pci-bridge":
        own = {"chassis_nr": controller.chassis_nr}
    elif model in ("pci-expander-bus", "pcie-expander-bus"):
        own = {"bus_nr": controller.bus_nr, "numa_node": controller.node}
    elif model in ("pcie-root-port", "pcie-switch-downstream-port"):
        own = {"port": controller.port, "chassis": controller.chassis, "hotplug": controller.hotplug}
    if controller.memory_reserve is not None:
        own["mem-reserve"] = controller.memory_reserve * KIB
    return {"driver": controller.model_name, **own, "id": alias_of(controller)}


def _usb(ctx: Context, controller: Controller) -> Props:
    driver = USB_TYPES.get(controller.model or USB_DEFAULT)
    if driver is None:
        raise InvalidXML(f"<controller> of type 'usb': unknown model '{controller.model}'", element="controller")
    props: Props = {"driver": driver, "p2": controller.ports, "p3": controller.ports}
    if not controller.is_companion:
        return props | {"id": alias_of(controller)}
    master = next((c for c in ctx.guest.devices.controllers
                   if c.type == "usb" and c.index == controller.index and not c.is_companion), None)  # fmt: skip
    if master is None:
        raise InvalidXML(f"<controller>: USB companion {controller.index} has no master", element="controller")
    return props | {"masterbus": f"{alias_of(master)}.0", "firstport": controller.master_port}


def _scsi(ctx: Context, controller: Controller) -> Props:
    driver = SCSI_DRIVERS.get(controller.model or "")
    if driver is not None:
        return {"driver": driver, "id": alias_of(controller)}
    return {
        "driver": virtio_driver(ctx, "virtio-scsi", controller, controller.model),
        **virtio_props(controller),
        "iothread": f"iothread{controller.iothread}" if controller.iothread else None,
        PROPERTY: mapping(controller.threads),
        "id": alias_of(controller),
        "num_queues": controller.queues,
        "cmd_per_lun": controller.cmd_per_lun,
        "max_sectors": controller.max_sectors,
        "ioeventfd": controller.ioeventfd,
    }


def _nvme(ctx: Context, controller: Controller) -> Props:
    return {"driver": "nvme", "id": alias_of(controller), "serial": controller.serial}


def _virtio_serial(ctx: Context, controller: Controller) -> Props:
    return {
        "driver": virtio_driver(ctx, "virtio-serial", controller, controller.model),
        **virtio_props(controller),
        "id": alias_of(controller),
        "max_ports": controller.ports,
        "vectors": controller.vectors,
    }
