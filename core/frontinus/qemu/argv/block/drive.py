"""-drive: the older way to give a guest a disk, which SD cards have to this day."""

from __future__ import annotations

from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.block.image import Image
from frontinus.qemu.argv.block.blockdev import Access, emit_objects, format_driver
from frontinus.qemu.argv.block.protocols import Objects, Props, protocol_props
from frontinus.qemu.argv.context import Context

THROTTLES = {
    f"{way}_{rate}_sec{suffix}": f"throttling.{short}-{way}{end}"
    for rate, short in (("bytes", "bps"), ("iops", "iops"))
    for way in ("total", "read", "write")
    for suffix, end in (("", ""), ("_max", "-max"), ("_max_length", "-max-length"))
} | {"size_iops_sec": "throttling.iops-size"}
"""The options of -drive, by element of <iotune>."""


def emit_drive(ctx: Context, disk: Disk, image: Image | None, access: Access) -> None:
    """Emit a disk that is only a -drive."""
    props: Props = {}
    if image is not None:
        objects = emit_objects(ctx, image, disk.alias or "", disk.alias or "")
        props |= _file(ctx, image, access, objects) | _format(image, objects)
    props |= {"if": disk.bus, "index": disk.target_index, "readonly": True if disk.readonly else None}
    if image is not None:
        props |= {
            "cache": access.cache,
            "copy-on-read": disk.copy_on_read,
            "discard": access.discard,
            "detect-zeroes": access.detection,
            "aio": access.io,
        }
    props |= _throttling(disk)
    ctx.props("drive", {key: value for key, value in props.items() if value is not None})


def _file(ctx: Context, image: Image, access: Access, objects: Objects) -> Props:
    if image.type in ("file", "block"):
        return {"file": objects.opened or image.source.local_path, "file.pr-manager": objects.reservations}
    place = protocol_props(ctx.host, image, objects, floppy=access.floppy)
    return {f"file.{key}": value for key, value in place.items() if value is not None}


def _format(image: Image, objects: Objects) -> Props:
    driver = format_driver(image, objects)
    return {"format": driver.pop("driver"), **driver}


def _throttling(disk: Disk) -> Props:
    tune = disk.iotune
    if tune is None:
        return {}
    return {THROTTLES[name]: value for name, value in tune.limits().items()} | {"throttling.group": tune.group_name}
