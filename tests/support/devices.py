"""One device at a time: a guest around it, its completion, its checks, and what it is on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.definition import parse_guest
from frontinus.domain.devices.base import Device
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.mock.capabilities import capabilities
from frontinus.qemu.argv.context import Context

TYPES = """
virtio-9p-pci-transitional virtio-rng-pci-transitional virtio-balloon-pci-transitional virtio-input-host-pci
vhost-user-fs-device vhost-scsi-pci vhost-scsi-pci-non-transitional vfio-pci usb-hub ib700 pvpanic pvpanic-pci acpi-erst
ivshmem ivshmem-plain ivshmem-doorbell virtio-pmem-pci virtio-mem-pci sgx-epc ccid-card-emulated ccid-card-passthru
acpi-generic-initiator cryptodev-backend-builtin cryptodev-backend-lkcf memory-backend-epc
"""
PROPERTIES = {
    "virtio-blk-pci": ("iommu_platform", "ats", "packed", "page-per-vq", "acpi-index"),
    "virtio-balloon-device": ("deflate-on-oom", "free-page-reporting"),
    "vhost-user-fs-device": ("bootindex",),
    "usb-host": ("hostdevice", "guest-resets-all"),
    "vfio-pci": ("display",),
    "nvdimm": ("unarmed",),
    "memory-backend-file": ("align", "pmem", "reserve"),
    "virtio-mem-pci": ("prealloc",),
    "virtio-iommu-pci": ("boot-bypass", "aw-bits", "granule"),
    "amd-iommu": ("intremap", "device-iotlb", "pt", "xtsup", "dma-translation", "pci-id"),
    "intel-iommu": ("intremap", "caching-mode", "eim", "device-iotlb", "aw-bits", "dma-translation"),
}
CAPS = replace(
    capabilities(),
    types=capabilities().types | frozenset(TYPES.split()),
    properties={kind: dict.fromkeys(names, "bool") for kind, names in PROPERTIES.items()},
    options={"fsdev": frozenset({"multidevs"})},
    tpm_models=frozenset({"tpm-tis", "tpm-crb"}),
    tpm_types=frozenset({"passthrough", "emulator"}),
)
"""An emulator that has everything."""
OLD = replace(CAPS, types=frozenset(), properties={k: {} for k in PROPERTIES}, options={}, tpm_models=frozenset(),
              tpm_types=frozenset())  # fmt: skip
"""An emulator that has nothing."""
HOST = HostFacts(paths=Paths(state="/state", log="/log", shmem="/state"))
CONTROLLERS = """
<controller type='pci' index='0' model='pci-root'/>
<controller type='usb' index='0' model='qemu-xhci'><alias name='usb'/></controller>
<controller type='scsi' index='0' model='virtio-scsi'><alias name='scsi0'/></controller>
<controller type='ccid' index='0'><alias name='ccid0'/></controller>
"""
PCI = "<address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>"
PORT = "<address type='usb' bus='0' port='2'/>"


def guest_with(devices: str, *, machine: str = "pc-i440fx-7.2", head: str = "", caps: Capabilities = CAPS,
               host: HostFacts = HOST, controllers: str = CONTROLLERS) -> Guest:  # fmt: skip
    """A guest with these devices, each completed; `head` stands before <devices>."""
    guest = parse_guest(f"""
        <domain type='qemu'><name>demo</name><uuid>9a1f2f4e-5a0e-4a0e-8a3e-0123456789ab</uuid>
        <memory unit='MiB'>512</memory>{head}<os><type arch='x86_64' machine='{machine}'>hvm</type></os>
        <devices>{controllers}{devices}</devices></domain>
    """)
    for device in guest.devices.all():
        if device.tag != "controller":
            device.complete(guest, caps, host)
    return guest


def only(guest: Guest) -> Device:
    """The first device that is no controller."""
    return next(device for device in guest.devices.all() if device.tag != "controller")


def emitted(device: str, emit: Callable[[Context, Any], None], alias: str, *, host: HostFacts = HOST,
            caps: Capabilities = CAPS, **guest: Any) -> tuple[list[tuple[str, object]], list[object]]:  # fmt: skip
    """What one device is on the command line, and the resources that it needs."""
    context = Context(guest_with(device, caps=caps, host=host, **guest), caps, host, "/folder")
    found = only(context.guest)
    found.alias = alias
    found.prepare(context.guest, caps, host)
    emit(context, found)
    return [(item.option, item.value) for item in context.items], list(context.resources)


def reasons(device: str, *, caps: Capabilities = CAPS, **guest: Any) -> str:
    """Why a guest's devices cannot be, in one text."""
    built = guest_with(device, caps=caps, **guest)
    devices = (found for found in built.devices.all() if found.tag != "controller")
    return "\n".join(reason for found in devices for reason in found.check(built, caps))
