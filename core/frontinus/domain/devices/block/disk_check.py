"""Every reason why a disk cannot be. Facts: what QEMU's drives and buses can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import DriveAddress, PciAddress, PlainAddress, UsbAddress
from frontinus.domain.devices.block.image_check import check_image
from frontinus.domain.devices.block.source_check import check_source
from frontinus.domain.devices.block.statistics import check_histograms
from frontinus.domain.devices.queues import check_threads
from frontinus.domain.devices.rules import lacks
from frontinus.domain.reasons import Lacking

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.devices.block.disk import Disk
    from frontinus.domain.guest import Guest

Reasons = Iterator[str]
MAX_LAYERS = 200
MOST_REQUESTS = 1024
"""Of a virtio queue: QEMU's VIRTQUEUE_MAX_SIZE."""
GEOMETRY = (("cylinders", "cyls", 65535), ("heads", "heads", 255), ("sectors", "secs", 255))
"""Numbers of a drive's geometry: field, attribute, the highest that QEMU takes."""
SMALLEST_BLOCK, LARGEST_BLOCK = 512, 2**21
DRIVES = frozenset({"ide", "fdc", "scsi", "sata", "nvme"})
"""Buses whose devices have a drive address."""
PREFIXES = {
    "disk": ("hd", "sd", "vd", "xvd", "ubd", "nvme"),
    "lun": ("hd", "sd", "vd", "xvd", "ubd"),
    "floppy": ("fd",),
}
FLAT_SCSI = frozenset({"lsilogic", "ncr53c90", "dc390", "am53c974"})
"""SCSI controllers whose units are SCSI ids, with no targets above."""
PLACES = {"nvme": {"unit": 255}, "fdc": {"unit": 1}, "sata": {"unit": 5}, "scsi": {"target": 255, "unit": 16383}}
"""The highest numbers on each bus; SCSI's are virtio's, the others have fewer."""
LAST_ID = 7
"""Of the units on a flat SCSI bus."""
MOST_TURNS = 65535
REMOVABLE = frozenset({"cdrom", "floppy"})
LOCAL = frozenset({"file", "block", "dir", "volume"})
"""Storage types that a startup policy can look at before the start."""
VIRTIO_ONLY = (
    "model", "queues", "queue_size", "ioeventfd", "event_idx", "driver_iommu", "driver_ats", "driver_packed",
    "driver_page_per_vq",
)  # fmt: skip
VIRTIO_PROPERTIES = {
    "queues": "num-queues", "queue_size": "queue-size", "driver_packed": "packed", "driver_page_per_vq": "page-per-vq",
    "driver_ats": "ats", "driver_iommu": "iommu_platform",
}  # fmt: skip
NOT_FOR_VHOST = (
    "cache", "error_policy", "rerror_policy", "io", "ioeventfd", "copy_on_read", "discard", "iothread", "detect_zeroes",
    "metadata_cache", "iotune", "backing_store", "encryption", "readonly", "shareable", "transient", "serial", "wwn",
    "vendor", "product", "auth", "cylinders", "translation", "logical_block", "physical_block", "threads", "throttles",
    "discard_no_unref", "intervals", "histograms", "discard_granularity",
)  # fmt: skip
"""What the process behind a vhost-user socket decides, not we."""


def check_disk(disk: Disk, guest: Guest, caps: Capabilities) -> Reasons:
    """Every reason, without naming the disk."""
    if not disk.target:
        yield "<target>: attribute 'dev' is missing"
        return
    yield from _target(disk)
    yield from _sources(disk, caps)
    yield from _device(disk)
    yield from _bus(disk, guest)
    yield from _geometry(disk)
    yield from _address(disk, guest)
    yield from _virtio(disk, guest, caps)
    yield from _access(disk, caps)
    yield from _identity(disk)
    yield from _blocks(disk)
    yield from _transient(disk, guest)
    yield from _throttles(disk, guest)
    if disk.iotune is not None:
        yield from disk.iotune.check()
        yield from _throttle_group(disk, guest)
    if disk.type == "vhostuser":
        yield from _vhost_user(disk, guest, caps)


def _target(disk: Disk) -> Reasons:
    target = disk.target or ""
    if disk.target_index < 0:
        yield f"<target>: '{target}' is not the name of a drive"
    elif re.search(r"\d$", target) and not target.startswith("nvme"):
        yield f"<target>: '{target}' is the name of a partition, not of a disk"
    prefixes = PREFIXES.get(disk.device)
    if prefixes and not target.startswith(prefixes):
        yield f"<target>: '{target}' is not the name of a {disk.device}"


def _sources(disk: Disk, caps: Capabilities) -> Reasons:
    if disk.driver not in (None, "qemu"):
        yield f"<driver>: name '{disk.driver}' is not supported, only qemu"
    if disk.is_empty and disk.device == "disk":
        yield "<source> is missing: only drives of removable media can be empty"
    if disk.source is not None and disk.source.auth is not None and disk.auth is not None:
        yield "<auth> stands both in <disk> and in <source>"
    if disk.source is not None and disk.source.encryption is not None and disk.encryption is not None:
        yield "<encryption> stands both in <disk> and in <source>"
    yield from _startup_policy(disk)
    store, depth = disk.backing_store, 0
    while store is not None and store.type is not None:
        depth += 1
        if store.format is None:
            yield "<backingStore>: <format> is missing"
        if store.source is None:
            yield "<backingStore>: <source> is missing"
        store = store.backing_store
    if depth >= MAX_LAYERS:
        yield f"<backingStore>: a chain of more than {MAX_LAYERS} images"
    top = disk.image()
    for image in top.chain() if top is not None else ():
        yield from check_image(image, caps, legacy=disk.bus == "sd")
    if top is None and disk.source is not None:
        yield from check_source(disk.source, disk.type)


def _startup_policy(disk: Disk) -> Reasons:
    policy = disk.source.startup_policy if disk.source is not None else None
    if policy is None:
        return
    if disk.type not in LOCAL:
        yield f"<source>: a startup policy is not for disks of type '{disk.type}'"
    if policy == "requisite" and disk.device not in REMOVABLE:
        yield "<source>: startup policy 'requisite' is only for cdrom and floppy"


def _device(disk: Disk) -> Reasons:
    if disk.device == "lun":
        yield from _lun(disk)
    else:
        if disk.source is not None and disk.source.reservations is not None:
            yield "<reservations> are only for device 'lun'"
        for name in ("rawio", "sgio"):
            if getattr(disk, name) is not None:
                yield f"'{name}' is only for device 'lun'"
    if disk.sgio == "unfiltered":
        yield "sgio 'unfiltered' is not supported"
    if disk.tray and disk.device not in REMOVABLE:
        yield "<target>: 'tray' is only for cdrom and floppy"
    if (disk.device == "floppy") != (disk.bus == "fdc"):
        yield f"<target>: a {disk.device} cannot be on bus '{disk.bus}'"
    if disk.device == "cdrom" and disk.bus in ("virtio", "sd", "nvme"):
        yield f"<target>: bus '{disk.bus}' has no removable media"
    if disk.copy_on_read and (disk.readonly or disk.device != "disk"):
        yield "<driver>: 'copy_on_read' is only for a disk that can be written"
    if disk.shareable and not disk.readonly and disk.format not in ("raw", None, ""):
        yield f"<shareable>: an image of format '{disk.format}' cannot be written by two guests"


def _lun(disk: Disk) -> Reasons:
    protocol = disk.source.protocol if disk.source is not None else None
    if disk.type == "network" and protocol != "iscsi":
        yield f"device 'lun' is not supported for protocol '{protocol}'"
    elif disk.type not in ("network", "block", "volume"):
        yield f"device 'lun' needs a block device, not type '{disk.type}'"
    if disk.format not in ("raw", None, ""):
        yield "device 'lun' has format 'raw'"
    if disk.source is not None and disk.source.slices:
        yield "device 'lun' has no slices"
    if disk.encryption is not None or (disk.source is not None and disk.source.encryption is not None):
        yield "device 'lun' cannot be encrypted"
    if disk.bus not in ("virtio", "scsi"):
        yield f"device 'lun' is not supported on bus '{disk.bus}'"
    for name in ("wwn", "vendor", "product"):
        if getattr(disk, name):
            yield f"<{name}> is the device's own for device 'lun'"
    if disk.serial and disk.bus == "scsi":
        yield "<serial> is the device's own for device 'lun' on bus 'scsi'"


def _bus(disk: Disk, guest: Guest) -> Reasons:
    bus = disk.bus
    if bus in ("xen", "uml"):
        yield Lacking(f"<target>: bus '{bus}' is not supported by this QEMU")
    if disk.readonly and disk.device == "disk" and bus in ("ide", "sata"):
        yield f"<readonly>: disks on bus '{bus}' cannot be read-only"
    if disk.removable is not None and bus != "usb" and (bus, disk.device) != ("scsi", "disk"):
        yield "<target>: 'removable' is only for bus 'usb', and for disks on bus 'scsi'"
    if disk.rotation_rate and (bus not in ("scsi", "ide", "sata") or disk.device != "disk"):
        yield "<target>: 'rotation_rate' is only for disks on bus scsi, ide or sata"
    if (disk.rotation_rate or 0) > MOST_TURNS:
        yield f"<target>: 'rotation_rate' is at most {MOST_TURNS}"
    if disk.wwn and bus not in ("ide", "scsi"):
        yield "<wwn> is only for bus ide and scsi"
    if (disk.vendor or disk.product) and bus != "scsi":
        yield "<vendor> and <product> are only for bus scsi"
    yield from _nvme(disk)
    if disk.serial and bus == "sd":
        yield "<serial> cannot be set on bus 'sd'"
    if bus == "usb" and any(c.type == "usb" and c.model == "none" for c in guest.devices.controllers):
        yield "<target>: bus 'usb' is disabled for this guest"


def _nvme(disk: Disk) -> Reasons:
    """A namespace has no name of its own, and QEMU reports its errors to the guest always."""
    if (disk.bus == "nvme") != (disk.target or "").startswith("nvme"):
        yield f"<target>: '{disk.target}' is not a name of bus '{disk.bus}'"
    if disk.bus != "nvme":
        return
    if disk.serial:
        yield "<serial> of bus 'nvme' is the controller's"
    if disk.error_policy or disk.rerror_policy:
        yield "<driver>: 'error_policy' cannot be set on bus 'nvme'"


def _geometry(disk: Disk) -> Reasons:
    if disk.cylinders and disk.bus in ("usb", "sd", "nvme"):
        yield f"<geometry> cannot be set on bus '{disk.bus}'"
    if disk.translation and disk.bus != "ide":
        yield f"<geometry>: a translation cannot be set on bus '{disk.bus}'"
    for name, word, most in GEOMETRY:
        if (getattr(disk, name) or 0) > most:
            yield f"<geometry>: '{word}' is at most {most}"


def _address(disk: Disk, guest: Guest) -> Reasons:
    address = disk.address
    if address is None or (isinstance(address, PlainAddress) and address.type == "unassigned"):
        return
    if disk.bus in DRIVES:
        if not isinstance(address, DriveAddress):
            yield f"<address>: type '{address.type}' is not for bus '{disk.bus}'"
            return
        yield from _drive(disk, address, guest)
    elif disk.bus == "usb" and not isinstance(address, UsbAddress):
        yield f"<address>: type '{address.type}' is not for bus 'usb'"
    elif disk.bus == "virtio" and not isinstance(address, PciAddress) and address.type != "virtio-mmio":
        yield f"<address>: type '{address.type}' is not for bus 'virtio'"


def _drive(disk: Disk, address: DriveAddress, guest: Guest) -> Reasons:
    owner = next((c for c in guest.devices.controllers if c.type == disk.bus and c.index == address.controller), None)
    if owner is not None and owner.model in FLAT_SCSI and address.target != 0:
        yield f"<address>: the target is 0 on a controller of model '{owner.model}'"
    if owner is not None and owner.model in FLAT_SCSI and address.unit > LAST_ID:
        yield f"<address>: the unit is at most {LAST_ID} on a controller of model '{owner.model}'"
    if disk.bus in ("ide", "fdc") and address.controller != 0:
        yield f"<address>: there is only one {disk.bus} controller"
    if disk.bus != "scsi" and address.target != 0:
        yield f"<address>: the target is 0 on bus '{disk.bus}'"
    if disk.bus != "ide" and address.bus != 0:
        yield f"<address>: a {disk.bus} controller has only bus 0"
    for name, most in PLACES.get(disk.bus or "", {}).items():
        if getattr(address, name) > most:
            yield f"<address>: on bus '{disk.bus}' the {name} is at most {most}"


def _virtio(disk: Disk, guest: Guest, caps: Capabilities) -> Reasons:
    if disk.bus != "virtio":
        for name in VIRTIO_ONLY:
            if getattr(disk, name) is not None:
                yield f"'{name.removeprefix('driver_')}' is only for bus 'virtio'"
        if disk.iothread or disk.threads:
            yield f"<driver>: an iothread is not possible on bus '{disk.bus}'"
        return
    probed = "virtio-blk-pci" in caps.properties
    for name, prop in VIRTIO_PROPERTIES.items():
        if getattr(disk, name) is not None and probed and not caps.has_property("virtio-blk-pci", prop):
            yield Lacking(f"<driver>: '{name.removeprefix('driver_')}' is not supported by this QEMU")
    size = disk.queue_size
    if size is not None and (size > MOST_REQUESTS or size < 2 or size & (size - 1)):
        yield f"<driver>: 'queue_size' is a power of two up to {MOST_REQUESTS}"
    if disk.iothread and not has_iothread(guest, disk.iothread):
        yield f"<driver>: there is no iothread {disk.iothread}"
    if disk.iothread and disk.threads:
        yield "<driver>: either one iothread, or <iothreads>"
    yield from check_threads(disk.threads, disk.queues, guest, caps, "virtio-blk-pci")


def has_iothread(guest: Guest, number: int) -> bool:
    """Whether the guest has an I/O thread of this number: listed by id, or one of those that are only counted."""
    listed = {thread.id for thread in guest.iothread_ids}
    uncounted = (guest.iothreads or 0) - len(listed)
    free = (n for n in range(1, len(listed) + max(uncounted, 0) + 1) if n not in listed)
    return number in listed or number in [n for n, _ in zip(free, range(uncounted), strict=False)]


def _access(disk: Disk, caps: Capabilities) -> Reasons:
    if disk.io == "native" and disk.cache not in ("none", "directsync"):
        yield "<driver>: io 'native' needs cache 'none' or 'directsync'"
    if disk.discard_no_unref is not None:
        if disk.format != "qcow2":
            yield "<driver>: 'discard_no_unref' is only for images of format qcow2"
        elif disk.discard_no_unref and disk.readonly:
            yield "<driver>: 'discard_no_unref' is for disks that can be written"
        elif not caps.has_schema("blockdev-add/arg-type/driver=qcow2/discard-no-unref"):
            yield Lacking("<driver>: 'discard_no_unref' is not supported by this QEMU")
    if disk.intervals and lacks(caps, "virtio-blk-pci", "stats-intervals"):
        yield Lacking("<driver>: <statistics> are not supported by this QEMU")
    yield from check_histograms(disk.histograms)
    if disk.histograms and not caps.has_command("block-latency-histogram-set"):
        yield Lacking("<driver>: <latency-histogram> is not supported by this QEMU")
    if disk.type == "vhostvdpa" and disk.cache not in (None, "none", "directsync"):
        yield "<driver>: a vhostvdpa disk needs cache 'none' or 'directsync'"
    if disk.dpofua is not None and (disk.bus != "scsi" or disk.device != "disk"):
        yield "<target>: 'dpofua' is only for disks on bus scsi"
    if disk.io == "io_uring" and not caps.has_schema("blockdev-add/arg-type/driver=file/aio=io_uring"):
        yield Lacking("<driver>: io 'io_uring' is not supported by this QEMU")


def _blocks(disk: Disk) -> Reasons:
    """QEMU's check_block_size."""
    for name, size in (("logical", disk.logical_block), ("physical", disk.physical_block)):
        if size and (not SMALLEST_BLOCK <= size <= LARGEST_BLOCK or size & (size - 1)):
            yield f"<blockio>: {name}_block_size {size} is not a power of two between {SMALLEST_BLOCK} and {LARGEST_BLOCK}"
    if disk.logical_block and disk.physical_block and disk.physical_block < disk.logical_block:
        yield "<blockio>: the physical block is smaller than the logical one"


def _identity(disk: Disk) -> Reasons:
    if disk.serial and not re.fullmatch(r"[A-Za-z0-9_ .+-]+", disk.serial):
        yield f"<serial>: '{disk.serial}' has characters other than letters, digits, spaces and _.+-"
    if disk.wwn and not re.fullmatch(r"(0x)?[0-9a-fA-F]{16}", disk.wwn):
        yield f"<wwn>: '{disk.wwn}' is not 16 hexadecimal digits"
    for name, text, longest in (("vendor", disk.vendor, 8), ("product", disk.product, 16)):
        if text and not re.fullmatch(rf"[ -~]{{1,{longest}}}", text):
            yield f"<{name}>: more than {longest} characters, or some that cannot be printed"


def _transient(disk: Disk, guest: Guest) -> Reasons:
    if disk.transient is None:
        return
    if disk.is_empty or disk.readonly or disk.type != "file" or disk.device != "disk":
        yield "<transient> needs a disk of type 'file' that can be written"
    if disk.transient.share_backing and disk.bus not in ("usb", "virtio", "scsi"):
        yield f"<transient>: a shared backing image is not possible on bus '{disk.bus}'"


def _throttle_group(disk: Disk, guest: Guest) -> Reasons:
    tune = disk.iotune
    if tune is None or not tune.group_name:
        return
    for other in guest.devices.disks:
        if other is not disk and other.iotune and other.iotune.group_name == tune.group_name and other.iotune != tune:
            yield f"<iotune>: disk '{other.target}' has other limits in the same group"


def _throttles(disk: Disk, guest: Guest) -> Reasons:
    known = {group.group_name for group in guest.throttle_groups}
    for one in disk.throttles:
        if one.group not in known:
            yield f"<throttlefilter>: there is no <throttlegroup> '{one.group}'"
    if disk.throttles and disk.iotune is not None:
        yield "<throttlefilters> and <iotune> exclude each other"
    if disk.throttles and (disk.is_empty or disk.device != "disk" or disk.bus == "sd"):
        yield "<throttlefilters> are for disks that have an image always"


def _vhost_user(disk: Disk, guest: Guest, caps: Capabilities) -> Reasons:
    if disk.bus != "virtio":
        yield "a vhostuser disk is on bus 'virtio'"
    if disk.snapshot != "no":
        yield "a vhostuser disk has no snapshots"
    for name in NOT_FOR_VHOST:
        if getattr(disk, name) not in (None, False, []):
            yield f"'{name}' is not supported for a vhostuser disk"
    if not caps.has_type("vhost-user-blk"):
        yield Lacking("vhostuser disks are not supported by this QEMU")
    if not has_shared_memory(guest):
        yield "a vhostuser disk needs shared memory: <access mode='shared'/> in <memoryBacking>, or in NUMA cells"


def has_shared_memory(guest: Guest) -> bool:
    """Whether another process can map all of the guest's memory."""
    backing = guest.memory_backing
    shared = backing is not None and backing.access == "shared"
    cells = guest.cpu.numa.cells if guest.cpu and guest.cpu.numa else []
    if cells:
        return all(cell.access == "shared" or (cell.access is None and shared) for cell in cells)
    return shared
