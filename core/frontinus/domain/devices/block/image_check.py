"""Every reason why a layer of a disk's chain cannot be, or cannot be with this QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.block.credentials import check_auth, check_encryption, check_login
from frontinus.domain.devices.block.image import Image
from frontinus.domain.devices.block.source_check import check_source
from frontinus.domain.devices.rules import lacks
from frontinus.domain.reasons import Lacking

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities

Reasons = Iterator[str]


def check_image(image: Image, caps: Capabilities, *, legacy: bool = False) -> Reasons:
    """Reasons why one layer cannot be. `legacy`: it is given by -drive, which can say less."""
    yield from check_source(image.source, image.type)
    if image.auth is not None and image.auth is not image.source.auth:
        yield from check_auth(image.auth)
        if image.protocol is not None:
            yield from check_login(image.auth, image.protocol)
    yield from _format(image)
    if image.encryption is not None:
        yield from _encryption(image)
    source, protocol = image.source, image.protocol
    if source.tls_hostname and not caps.has_schema("blockdev-add/arg-type/driver=nbd/tls-hostname"):
        yield Lacking("<source>: 'tlsHostname' is not supported by this QEMU")
    if source.reservations is not None and not caps.has_type("pr-manager-helper"):
        yield Lacking("<reservations> are not supported by this QEMU")
    if image.metadata_cache and image.format != "qcow2":
        yield "<metadata_cache> is only for images of format qcow2"
    if source.data_store is not None and image.format != "qcow2":
        yield "<dataStore> is only for images of format qcow2"
    if source.reservations is not None and source.reservations.migration is not None and lacks(
            caps, "scsi-block", "migrate-pr"):  # fmt: skip
        yield Lacking("<reservations migration=>: this QEMU cannot migrate them")
    if image.type == "vhostvdpa":
        yield from _vdpa(image, caps)
    if image.backing is not None and not image.is_backed and image.format:
        yield f"<backingStore>: an image of format '{image.format}' has none"
    if legacy and (source.slices or source.cookies or source.readahead or source.timeout or image.metadata_cache
                   or source.ssl_verify is not None or protocol == "nfs"):  # fmt: skip
        yield "<source>: an SD card cannot have slices, cookies, time-outs, read-ahead, caches, or be on NFS"


def _vdpa(image: Image, caps: Capabilities) -> Reasons:
    if image.format not in ("raw", ""):
        yield "a vhostvdpa disk has format 'raw'"
    if not caps.has_schema("blockdev-add/arg-type/driver=virtio-blk-vhost-vdpa"):
        yield Lacking("vhostvdpa disks are not supported by this QEMU")


def _format(image: Image) -> Reasons:
    if image.format == "cow":
        yield "<driver>: format 'cow' is not supported"
    if image.format == "dir":
        yield "<driver>: format 'dir' is not supported: a folder is a disk of type 'dir'"
    if image.format == "iso":
        yield "<driver>: format 'iso' is not supported: the image of a CD-ROM is 'raw'"
    if image.format == "fat" and image.type not in ("dir", "volume"):
        yield "<driver>: format 'fat' is only for folders"
    if image.type == "dir":
        if image.format not in ("fat", ""):
            yield "<driver>: a folder is shown to the guest as format 'fat'"
        if not image.read_only:
            yield "<readonly> is missing: a folder can only be read"


def _encryption(image: Image) -> Reasons:
    encryption = image.encryption
    if encryption is None:
        return
    if encryption is not image.source.encryption:
        yield from check_encryption(encryption)
    if encryption.engine == "librbd":
        if image.protocol != "rbd":
            yield "<encryption>: engine 'librbd' is only for protocol 'rbd'"
        elif image.format != "raw":
            yield "<encryption>: engine 'librbd' is only for format 'raw'"
    elif image.format not in ("raw", "qcow2"):
        yield "<encryption> is only for formats raw and qcow2"
