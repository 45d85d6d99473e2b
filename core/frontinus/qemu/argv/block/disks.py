"""The disks family of the command line: each disk's graph of nodes and its device.

`disk_items` and `medium_items` are the same for one disk of a running guest.
"""

from __future__ import annotations

from dataclasses import replace

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.block.image import Image, resolved
from frontinus.domain.devices.block.source import Source
from frontinus.domain.devices.queues import PROPERTY, mapping
from frontinus.domain.plan import Helper, Overlay
from frontinus.qemu.argv.address import Props, address_props, alias_of
from frontinus.qemu.argv.block.blockdev import (
    CACHES,
    Access,
    emit_chain,
    emit_managed_reservations,
    emit_node,
    format_node,
    format_props,
    reservations_socket,
    storage_props,
)
from frontinus.qemu.argv.block.drive import emit_drive
from frontinus.qemu.argv.block.protocols import Objects
from frontinus.qemu.argv.boot import boot_index
from frontinus.qemu.argv.context import Context, Item
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props

OF_BUS = {"usb": "usb-storage", "fdc": "floppy", "nvme": "nvme-ns"}
"""QEMU's device on buses that have one for every kind of disk."""
ERROR_POLICIES = {"enospace": "enospc"}
THROTTLES = {
    f"{way}_{rate}_sec{suffix}": f"{short}{part}{end}"
    for rate, short in (("bytes", "bps"), ("iops", "iops"))
    for way, part in (("total", ""), ("read", "_rd"), ("write", "_wr"))
    for suffix, end in (("", ""), ("_max", "_max"), ("_max_length", "_max_length"))
} | {"size_iops_sec": "iops_size"}
"""The arguments of block_set_io_throttle, by element of <iotune>."""
WORDS = {"zone": "zap"}
"""QEMU's word for requests of a kind where it is another: it knows of zones their being appended to."""
GROUP_LIMITS = {
    f"{way}_{rate}_sec{suffix}": f"{short}-{way}{end}"
    for rate, short in (("bytes", "bps"), ("iops", "iops"))
    for way in ("total", "read", "write")
    for suffix, end in (("", ""), ("_max", "-max"), ("_max_length", "-max-length"))
} | {"size_iops_sec": "iops-size"}
"""The members of QEMU's ThrottleLimits, by element of <throttlegroup>."""
NESTED_LIMITS = "object-add/arg-type/qom-type=throttle-group/limits"
"""Before 6.0 a command line could say no structure: each limit was a property of its own."""


def build(ctx: Context) -> None:
    """Emit all disks: what they share first, then each with its images."""
    disks = ctx.guest.devices.disks
    _throttle_groups(ctx)
    if any(_manages_reservations(disk) for disk in disks):
        _reservations(ctx)
    _floppy_controller(ctx)
    for disk in disks:
        _emit(ctx, disk)


def emit_disk(ctx: Context, disk: Disk) -> None:
    """Emit one disk of a running guest, and the helper for reservations if no other disk shares it."""
    if _manages_reservations(disk):
        others = (other for other in ctx.guest.devices.disks if other is not disk)
        if not any(_manages_reservations(other) for other in others):
            _reservations(ctx)
    _emit(ctx, disk)


def _reservations(ctx: Context) -> None:
    socket = reservations_socket(ctx)
    ctx.need(Helper("pr-helper0", ("/usr/bin/qemu-pr-helper", "-k", socket), socket, privileged=True))
    emit_managed_reservations(ctx)


def _emit(ctx: Context, disk: Disk) -> None:
    """Nodes, device, limits. An SD card is its -drive alone."""
    image = image_of(ctx, disk)
    if disk.bus == "sd":
        emit_drive(ctx, disk, image, access(disk))
        return
    if image is not None and disk.transient:
        emit_transient(ctx, disk, image)
    else:
        backend: Props = {}
        if disk.type == "vhostuser":
            backend["chardev"] = _vhost_user(ctx, disk)
        elif image is not None:
            backend["drive"] = _medium(ctx, disk, image)
        ctx.props("device", device_props(ctx, disk, backend))
    if image is not None:
        _throttle(ctx, disk)
        _histograms(ctx, disk)


def image_of(ctx: Context, disk: Disk) -> Image | None:
    """The disk's images with volumes resolved; None for a drive without medium."""
    image = disk.image()
    found = resolved(image, ctx.host.pools) if image is not None else None
    if found is not None and disk.device == "lun" and found.type not in ("block", "network"):
        raise Unsupported(f"disk '{disk.target}': device 'lun' needs a block device, and its volume is a {found.type}")
    return found


def disk_items(ctx: Context, disk: Disk) -> list[Item]:
    """What one disk adds to a running guest, in order: objects and nodes, the device last. The guest has the disk."""
    scratch = replace(ctx, items=[])
    emit_disk(scratch, disk)
    return scratch.items


def medium_items(ctx: Context, disk: Disk) -> tuple[list[Item], str | None]:
    """A new medium for a drive: its objects and nodes, and the top node's name for blockdev-insert-medium.

    None for the name: the drive is left empty.
    """
    scratch = replace(ctx, items=[])
    image = image_of(ctx, disk)
    return scratch.items, _medium(scratch, disk, image) if image is not None else None


def access(disk: Disk) -> Access:
    """How a disk uses its images. A disk that others write too is not cached, one of vDPA cannot be."""
    direct = disk.type == "vhostvdpa" or (disk.shareable and not disk.readonly)
    cache = disk.cache or ("none" if direct else None)
    return Access(cache, disk.io, disk.discard, disk.detect_zeroes, disk.discard_no_unref, floppy=disk.device == "floppy",
                  removable=disk.device == "cdrom" and disk.format == "raw", shared=disk.shareable)  # fmt: skip


def _medium(ctx: Context, disk: Disk, image: Image) -> str:
    top = emit_chain(ctx, image, access(disk))
    if disk.copy_on_read:
        reader = f"frontinus-CoR-{disk.target}"
        emit_node(ctx, {"driver": "copy-on-read", "node-name": reader, "file": top, "discard": "unmap"})
        top = reader
    for number, one in enumerate(reversed(disk.throttles)):
        gate = f"frontinus-throttle-{disk.target}-{number}"
        emit_node(ctx, {"driver": "throttle", "node-name": gate, "throttle-group": group_id(one.group), "file": top})
        top = gate
    return top


def group_id(name: str | None) -> str:
    """QEMU's name of a throttle group."""
    return f"throttle-{name}"


def _throttle_groups(ctx: Context) -> None:
    nested = ctx.caps.has_schema(NESTED_LIMITS)
    for group in ctx.guest.throttle_groups:
        limits = {GROUP_LIMITS[name]: value for name, value in group.limits().items()}
        said = {"limits": limits} if nested else {f"x-{name}": value for name, value in limits.items()}
        ctx.props("object", {"qom-type": "throttle-group", "id": group_id(group.group_name), **said})


def emit_transient(ctx: Context, disk: Disk, image: Image) -> None:
    """Emit a disk whose image stays as it is: what the guest writes goes to an overlay, put on top by QMP.

    An image that others may use meanwhile is never opened for writing: then the device comes by QMP too.
    """
    if image.source.fdgroup is not None:
        raise Unsupported(
            f"disk '{disk.target}': <transient> makes an overlay on an image, which takes its path: not its fdgroup"
        )
    path, use = image.source.local_path or "", access(disk)
    shared = bool(disk.transient and disk.transient.share_backing)
    base = replace(image, read_only=True) if shared else image
    top = Image(f"frontinus-t{disk.target}", "file", "qcow2", Source(file=f"{path}.TRANSIENT-{ctx.guest.name}"))
    drive = _medium(ctx, disk, base)
    ctx.need(Overlay(top.source.file or "", path, image.format))
    ctx.command("blockdev-add", **dropped(storage_props(ctx, top, use, Objects())))
    layer = dropped(format_props(top, use, Objects()))
    if shared:
        ctx.command("blockdev-add", **layer, backing=drive)
        ctx.command("device_add", **dropped(device_props(ctx, disk, {"drive": format_node(top)})))
        return
    ctx.props("device", device_props(ctx, disk, {"drive": drive}))
    ctx.command("blockdev-add", **layer, backing=None)
    ctx.command("blockdev-snapshot", node=drive, overlay=format_node(top))


def dropped(props: Props) -> Props:
    """Properties without those that are left open."""
    return {name: value for name, value in props.items() if value is not None}


def _manages_reservations(disk: Disk) -> bool:
    image = disk.image()
    layers = image.chain() if image is not None else ()
    return any(layer.source.reservations and layer.source.reservations.managed for layer in layers)


def _vhost_user(ctx: Context, disk: Disk) -> str:
    """The socket on which another process serves the disk."""
    source = disk.source
    if source is None or not source.path:
        raise InvalidXML("<source> of a vhostuser disk: a path is needed", element="source")
    chardev = f"chr-vu-{alias_of(disk)}"
    reconnect = source.reconnect_timeout if source.reconnect else 0 if source.reconnect is False else None
    ctx.props("chardev", {"backend": "socket", "id": chardev, "path": source.path, "reconnect": reconnect})
    return chardev


def _floppy_controller(ctx: Context) -> None:
    """Boot order of floppies is set on their controller, which newer machines have only when it is asked for."""
    floppies = [disk for disk in ctx.guest.devices.disks if disk.bus == "fdc"]
    if not floppies:
        return
    order: Props = {}
    for disk in floppies:
        letter = "B" if getattr(disk.address, "unit", 0) else "A"
        order[f"bootindex{letter}"] = boot_index(ctx.guest, disk)
    if ctx.guest.is_q35:
        ctx.props("device", {"driver": "isa-fdc", **order})
        return
    for name, place in order.items():
        if place is not None:
            ctx.text("global", f"isa-fdc.{name}={place}")


def device_props(ctx: Context, disk: Disk, backend: Props) -> Props:
    """The device that the guest sees. `backend`: the drive's node, or the socket of vhost-user."""
    return {
        **_driver(ctx, disk),
        **address_props(ctx, disk, drive_bus=disk.bus or ""),
        "device_id": _scsi_name(disk),
        "share-rw": True if disk.shareable else None,
        **backend,
        "id": alias_of(disk),
        "bootindex": boot_index(ctx.guest, disk) if disk.device != "floppy" else None,
        "logical_block_size": disk.logical_block,
        "physical_block_size": disk.physical_block,
        "discard_granularity": disk.discard_granularity,
        "wwn": int(disk.wwn, 16) if disk.wwn else None,
        "rotation_rate": disk.rotation_rate,
        "dpofua": disk.dpofua,
        "migrate-pr": _migrates(disk),
        "stats-intervals": [one.interval for one in disk.intervals] or None,
        "vendor": disk.vendor,
        "product": disk.product,
        "removable": bool(disk.removable) if disk.bus == "usb" else disk.removable,
        "write-cache": _write_cache(disk),
        "cyls": disk.cylinders,
        "heads": disk.heads,
        "secs": disk.sectors,
        "bios-chs-trans": disk.translation,
        "serial": _serial(disk),
        **_error_policies(disk),
    }


def _migrates(disk: Disk) -> bool | None:
    """Whether reservations move with the guest."""
    reservations = disk.source.reservations if disk.source is not None else None
    return reservations.migration if reservations is not None and disk.bus == "scsi" else None


def _driver(ctx: Context, disk: Disk) -> Props:
    removable = disk.device == "cdrom"
    if disk.bus in ("ide", "sata"):
        return {"driver": "ide-cd" if removable else "ide-hd"}
    if disk.bus == "scsi":
        return {"driver": "scsi-block" if disk.device == "lun" else "scsi-cd" if removable else "scsi-hd"}
    if disk.bus in OF_BUS:
        return {"driver": OF_BUS[disk.bus]}
    if disk.bus != "virtio":
        raise InvalidXML(f"<target>: bus '{disk.bus}' is not of this hypervisor", element="target")
    base = "vhost-user-blk" if disk.type == "vhostuser" else "virtio-blk"
    return {
        "driver": virtio_driver(ctx, base, disk, disk.model),
        **virtio_props(disk),
        "iothread": f"iothread{disk.iothread}" if disk.iothread else None,
        PROPERTY: mapping(disk.threads),
        "ioeventfd": disk.ioeventfd,
        "event_idx": disk.event_idx,
        "scsi": _passes_scsi(ctx, disk),
        "num-queues": disk.queues,
        "queue-size": disk.queue_size,
    }


def _passes_scsi(ctx: Context, disk: Disk) -> bool | None:
    """SCSI commands through virtio-blk: on for a LUN; off said aloud where the default is not known to be off."""
    if disk.type == "vhostuser" or not ctx.caps.has_property("virtio-blk-pci", "scsi"):
        return None
    if disk.device == "lun":
        return True
    return None if ctx.caps.property_default("virtio-blk-pci", "scsi") is False else False


def _scsi_name(disk: Disk) -> str | None:
    """What a SCSI disk calls itself in page 0x83: its serial number, else a name that never changes."""
    if disk.bus != "scsi" or disk.device == "lun":
        return None
    return disk.serial or f"drive-{alias_of(disk)}"


def _serial(disk: Disk) -> str | None:
    """The serial number with a backslash before each space: so guests have seen it under libvirt, and know it."""
    return disk.serial.replace(" ", "\\ ") if disk.serial else None


def _write_cache(disk: Disk) -> str | None:
    cache = access(disk).cache
    if cache is None or disk.device == "lun":
        return None
    return "on" if CACHES[cache][0] else "off"


def _error_policies(disk: Disk) -> Props:
    """Of writes, and of reads: the same unless something else is said; running out of space is not for reads."""
    write = disk.error_policy
    read = disk.rerror_policy or (write if write != "enospace" else None)
    return {"werror": ERROR_POLICIES.get(write or "", write), "rerror": read}


def _throttle(ctx: Context, disk: Disk) -> None:
    """Limits are set by QMP: so they can be changed, and their groups joined, while the guest runs."""
    if disk.iotune is None or not disk.iotune.has_limits:
        return
    ctx.command("block_set_io_throttle", **throttle_arguments(disk))


def throttle_arguments(disk: Disk) -> dict[str, object]:
    """The arguments of block_set_io_throttle; all zero lifts every limit."""
    tune = disk.iotune
    limits = tune.limits() if tune is not None else {}
    values: dict[str, object] = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
    values |= {THROTTLES[name]: value for name, value in limits.items()}
    group = {"group": tune.group_name} if tune is not None and tune.group_name else {}
    return {"id": backend_of(disk), **values, **group}


def _histograms(ctx: Context, disk: Disk) -> None:
    """Histograms are asked for by QMP, before the guest runs."""
    said = {f"boundaries-{WORDS.get(one.type, one.type)}" if one.type else "boundaries": one.boundaries
            for one in disk.histograms}  # fmt: skip
    if said:
        ctx.command("block-latency-histogram-set", **{"id": backend_of(disk), **said})


def backend_of(disk: Disk) -> str:
    """What QMP calls the block backend of a disk."""
    alias = alias_of(disk)
    return f"/machine/peripheral/{alias}/virtio-backend" if disk.bus == "virtio" else alias
