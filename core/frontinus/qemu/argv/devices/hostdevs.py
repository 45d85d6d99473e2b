"""Devices of the host that the guest gets: PCI, USB, SCSI, vhost-scsi and mediated ones."""

from __future__ import annotations

import re

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.devices.base import PlainAddress
from frontinus.domain.devices.block.image import Image
from frontinus.domain.devices.block.source import Source
from frontinus.domain.devices.hostdev import (
    ISCSI_PORT,
    Hostdev,
    MdevHostdev,
    PciHostdev,
    ScsiHostdev,
    UsbHostdev,
    VhostScsiHostdev,
)
from frontinus.domain.plan import VFIO_DRIVER, Handed, Label, OpenFile, Vfio
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.block import fdgroups
from frontinus.qemu.argv.block.blockdev import emit_node, emit_objects
from frontinus.qemu.argv.block.protocols import protocol_props
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.rom import rom_props
from frontinus.qemu.argv.virtio import virtio_driver

Props = dict[str, object]
RESETS = {"off": (False, None), "uninitialized": (True, False), "on": (True, True)}
"""QEMU's guest-reset and guest-resets-all for each word of guestReset."""
VHOST_SCSI = "/dev/vhost-scsi"
DEV_IOMMU, IOMMUFD = "/dev/iommu", "iommufd0"


def build(ctx: Context) -> None:
    """Emit every device of the host, and first what those share that are reached by iommufd."""
    if any(_by_iommufd(ctx, device) for device in ctx.guest.devices.hostdevs):
        _open_iommufd(ctx)
    for device in ctx.guest.devices.hostdevs:
        hostdev(ctx, device)


def plug(ctx: Context, device: Hostdev) -> None:
    """Emit one device of a running guest, and what it shares with others where it has none beside it."""
    others = (other for other in ctx.guest.devices.hostdevs if other is not device)
    if _by_iommufd(ctx, device) and not any(_by_iommufd(ctx, other) for other in others):
        _open_iommufd(ctx)
    hostdev(ctx, device)


def _by_iommufd(ctx: Context, device: Hostdev) -> bool:
    if not isinstance(device, PciHostdev) or isinstance(device.address, PlainAddress):
        return False
    return device.uses_iommufd(ctx.guest)


def _open_iommufd(ctx: Context) -> None:
    """The one object of a guest's devices, on a descriptor: the kernel's node is not for the guest's user to open."""
    group, fd = ctx.guest.iommufd_group, ctx.fd()
    if group is not None:
        fdgroups.modes(ctx, group, (), "iommufd")
        ctx.need(Handed(group, (fd,)))
    else:
        ctx.need(OpenFile(DEV_IOMMU, fd, device=True))
    ctx.props("object", {"qom-type": "iommufd", "id": IOMMUFD, "fd": str(fd)})


def hostdev(ctx: Context, device: Hostdev) -> None:
    """Emit one device of the host. Raises Unsupported for one that is not there, and for what containers have."""
    match device:
        case PciHostdev():
            pci(ctx, device)
        case UsbHostdev():
            usb(ctx, device)
        case ScsiHostdev():
            scsi(ctx, device)
        case VhostScsiHostdev():
            vhost_scsi(ctx, device)
        case MdevHostdev():
            mdev(ctx, device)
        case _:
            raise Unsupported(f"<hostdev> of type '{device.type}' in mode '{device.mode}' is not of this hypervisor")


def pci(ctx: Context, device: PciHostdev) -> None:
    """Emit a PCI function. One of address type "unassigned" is only taken from the host."""
    if device.source is None or device.driver not in (None, "vfio"):
        raise Unsupported("<hostdev> of type 'pci': only driver 'vfio' with an <address> of the host can be used")
    driver = device.variant or VFIO_DRIVER
    fd = ctx.fd() if _by_iommufd(ctx, device) else None
    ctx.need(Vfio(f"/sys/bus/pci/devices/{device.source}", bool(device.managed), driver, fd))
    if isinstance(device.address, PlainAddress):
        return
    ctx.props("device", {
        "driver": "vfio-pci-nohotplug" if device.ramfb else "vfio-pci",
        "host": str(device.source),
        "iommufd": IOMMUFD if fd is not None else None,
        "fd": str(fd) if fd is not None else None,
        "id": alias_of(device),
        "bootindex": device.boot_order,
        "display": ("on" if device.display else "off") if device.display is not None else None,
        "ramfb": True if device.ramfb else None,
        "failover_pair_id": device.teaming_persistent if device.teaming == "transient" else None,
        **address_props(ctx, device),
        **rom_props(device.rom),
    })  # fmt: skip
    alias = alias_of(device)
    for node in device.acpi_nodes or ():
        ctx.props(
            "object",
            {"qom-type": "acpi-generic-initiator", "id": f"{alias}-node{node}", "pci-dev": alias, "node": node},
        )


def usb(ctx: Context, device: UsbHostdev) -> None:
    """Emit a USB device. One that is missing, and may be, is there for the guest without anything behind it."""
    reset, resets_all = RESETS.get(device.guest_reset or "", (None, None))
    ctx.props("device", {
        "driver": "usb-host",
        **_usb_source(ctx, device),
        "id": alias_of(device),
        "bootindex": device.boot_order,
        "guest-reset": reset,
        "guest-resets-all": resets_all,
        **address_props(ctx, device),
    })  # fmt: skip


def _usb_source(ctx: Context, device: UsbHostdev) -> Props:
    """What tells QEMU which device it is; nothing for one that is missing and may be."""
    if device.vendor and ctx.host.now().usb is not None:
        found = device.matches(ctx.host)
        name = f"{device.vendor:04x}:{device.product or 0:04x}"
        if len(found) > 1:
            raise Unsupported(f"<hostdev>: the host has several USB devices {name}: <address> tells which")
        if not found and not (device.missing or (device.startup_policy == "requisite" and ctx.incoming)):
            raise Unsupported(f"<hostdev>: the host has no USB device {name}")
        if not found:
            return {}
    _refuse_twice(ctx, device)
    if not (device.bus or device.device):
        return {"vendorid": device.vendor, "productid": device.product}
    path = f"/dev/bus/usb/{device.bus or 0:03d}/{device.device or 0:03d}"
    ctx.need(Label(path))
    if ctx.caps.has_property("usb-host", "hostdevice"):
        return {"hostdevice": path}
    return {"hostbus": device.bus, "hostaddr": device.device}


def _refuse_twice(ctx: Context, device: UsbHostdev) -> None:
    """One device may be named in two ways: by what it is, and by where it is plugged in. Raises InvalidXML."""
    others = (other for other in ctx.guest.devices.hostdevs if isinstance(other, UsbHostdev) and other is not device)
    place = (device.bus, device.device)
    if any(place) and any((other.bus, other.device) == place for other in others):
        raise InvalidXML(
            f"<hostdev>: USB device {device.bus}:{device.device} is the guest's already", element="hostdev"
        )


def scsi(ctx: Context, device: ScsiHostdev) -> None:
    """Emit a SCSI logical unit: a node for the host's or the target's, then the guest's."""
    alias = alias_of(device)
    node = f"frontinus-{alias}-backend"
    emit_node(ctx, {**_scsi_source(ctx, device, node), "node-name": node, "read-only": device.readonly})
    ctx.props("device", {
        "driver": "scsi-generic",
        "drive": node,
        "id": alias,
        "bootindex": device.boot_order,
        **address_props(ctx, device, drive_bus="scsi"),
    })  # fmt: skip


def _scsi_source(ctx: Context, device: ScsiHostdev, node: str) -> Props:
    if device.protocol == "iscsi":
        hosts = [host.clone(port=host.port or ISCSI_PORT) for host in device.hosts]
        source = Source(protocol="iscsi", name=device.name, hosts=hosts, initiator=device.initiator)
        image = Image(node, "network", "raw", source, read_only=device.readonly, auth=device.auth)
        return protocol_props(ctx.host, image, emit_objects(ctx, image, node, node))
    path = scsi_generic(ctx, device)
    ctx.need(Label(path, readonly=device.readonly, shared=device.shareable))
    return {"driver": "host_device", "filename": path}


def scsi_generic(ctx: Context, device: ScsiHostdev) -> str:
    """The node of the generic SCSI driver for a unit of an adapter. Raises Unsupported for one that is not there."""
    number = re.fullmatch(r"scsi_host(\d+)", device.adapter or "")
    if number is None:
        raise InvalidXML(f"<adapter>: '{device.adapter}' is not of the form scsi_host0", element="adapter")
    place = f"{number[1]}:{device.bus or 0}:{device.target or 0}:{device.unit or 0}"
    there = ctx.host.now().scsi_generic
    name = there.get(place) or there.get("*")
    if name is None:
        raise Unsupported(f"<hostdev>: the host has no SCSI device {place}")
    return f"/dev/{name}"


def vhost_scsi(ctx: Context, device: VhostScsiHostdev) -> None:
    """Emit a target of the host's kernel; its end there is opened for QEMU."""
    fd = ctx.fd()
    ctx.need(OpenFile(VHOST_SCSI, fd, device=True))
    ctx.props("device", {
        "driver": virtio_driver(ctx, "vhost-scsi", device, device.model),
        "wwpn": device.wwpn,
        "vhostfd": str(fd),
        "id": alias_of(device),
        **address_props(ctx, device),
    })  # fmt: skip


def mdev(ctx: Context, device: MdevHostdev) -> None:
    """Emit a mediated device. Nothing is shown unless it is asked for; a framebuffer makes it impossible to unplug."""
    path = f"/sys/bus/mdev/devices/{device.uuid}"
    ctx.need(Vfio(path, managed=False))
    shows = ctx.caps.has_property("vfio-pci", "display")
    ctx.props("device", {
        "driver": "vfio-pci-nohotplug" if device.ramfb else "vfio-pci",
        "id": alias_of(device),
        "sysfsdev": path,
        "display": ("on" if device.display else "off") if shows else None,
        "ramfb": True if device.ramfb else None,
        "bootindex": device.boot_order,
        **address_props(ctx, device),
    })  # fmt: skip
