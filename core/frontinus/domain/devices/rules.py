"""Rules that several devices share: each yields reasons, or answers a question about the guest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Address, Device, PciAddress, Rom, VirtioOptions
from frontinus.domain.reasons import Lacking

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest

MOST_INDEX = 16383
"""Of ACPI's indexes of devices: QEMU's ONBOARD_INDEX_MAX."""
BOOTABLE = ("disk", "interface", "hostdev", "redirdev", "filesystem")
VIRTIO_MODELS = ("virtio", "virtio-transitional", "virtio-non-transitional")


def virtio_options(options: VirtioOptions, caps: Capabilities) -> Iterator[str]:
    """What this QEMU's virtio transport lacks; virtio-blk-pci stands for all in a probe."""
    wanted = {
        "iommu": ("iommu_platform", options.driver_iommu),
        "ats": ("ats", options.driver_ats),
        "packed": ("packed", options.driver_packed),
        "page_per_vq": ("page-per-vq", options.driver_page_per_vq),
    }
    for attribute, (name, value) in wanted.items():
        if value is not None and lacks(caps, "virtio-blk-pci", name):
            yield Lacking(f"<driver>: '{attribute}' is not supported by this QEMU")


def lacks(caps: Capabilities, type_name: str, name: str) -> bool:
    """Whether a type was probed and has no such property."""
    return type_name in caps.properties and not caps.has_property(type_name, name)


def acpi_index(device: Device, caps: Capabilities) -> Iterator[str]:
    """The index by which a guest names a PCI device of its own."""
    if device.acpi_index and not isinstance(device.address, PciAddress):
        yield f"<{device.tag}>: <acpi index> is for PCI devices"
    if device.acpi_nodes is not None and not (device.tag == "hostdev" and getattr(device, "type", None) == "pci"):
        yield f"<{device.tag}>: <acpi nodeset> is for PCI devices of the host"
    if (device.acpi_index or 0) > MOST_INDEX:
        yield f"<{device.tag}>: <acpi index> is at most {MOST_INDEX}"
    if device.acpi_index and lacks(caps, "virtio-blk-pci", "acpi-index"):
        yield Lacking(f"<{device.tag}>: <acpi index> is not supported by this QEMU")


def boot(device: Device) -> Iterator[str]:
    """A place in the order in which devices are tried, where the firmware tries none."""
    if device.boot_order is not None and device.tag not in BOOTABLE:
        yield f"<{device.tag}>: <boot order> is for {', '.join(f'<{tag}>' for tag in BOOTABLE)}"
    if device.boot_loadparm is not None:
        yield f"<{device.tag}>: <boot loadparm> is of s390 alone"


def rom(device: Device) -> Iterator[str]:
    """An option ROM that is switched off, and yet described."""
    wish = getattr(device, "rom", None)
    if isinstance(wish, Rom) and wish.enabled is False and (wish.bar is not None or wish.file is not None):
        yield "<rom enabled='no'> has neither bar nor file"


def placed(device: str, address: Address | None, *kinds: str) -> Iterator[str]:
    """An address of another kind than the device can have; without kinds the device has no address."""
    if address is not None and address.type not in kinds:
        wanted = f"is of type {' or '.join(kinds)}" if kinds else "cannot be given"
        yield f"{device}: its address {wanted}, not '{address.type}'" if kinds else f"{device}: its address {wanted}"


def has_usb(guest: Guest) -> bool:
    """Whether the guest has a USB controller, or gets the default one."""
    controllers = [c for c in guest.devices.controllers if getattr(c, "type", None) == "usb"]
    return not controllers or any(c.model != "none" for c in controllers)


def shared_memory(guest: Guest, caps: Capabilities, user: str) -> Iterator[str]:
    """A process beside QEMU reads the guest's memory, so all of it must be shared."""
    general = guest.memory_backing.access if guest.memory_backing else None
    cells = guest.cpu.numa.cells if guest.cpu and guest.cpu.numa else []
    machine = caps.canonical_machine(guest.machine)
    if not cells and machine is not None and machine.default_ram_id is None:
        yield f"{user} needs shared memory: this machine type needs NUMA nodes for it"
    elif any((access or general) != "shared" for access in ([cell.access for cell in cells] or [None])):
        yield f"{user} needs shared memory: <memoryBacking> with <access mode='shared'/>"
