"""A disk's graph of block nodes: for each image a node for its protocol, one for its format, and what they need.

Nodes are named after the index of the image: frontinus-3-storage, frontinus-3-slice, frontinus-3-format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.block.credentials import Encryption
from frontinus.domain.devices.block.image import Image
from frontinus.domain.plan import Label, Vfio
from frontinus.qemu.argv.block import fdgroups, nbdkit
from frontinus.qemu.argv.block.protocols import Objects, Props, cookie_header, protocol_props
from frontinus.qemu.argv.chardev import fd_set
from frontinus.qemu.argv.context import Context, Item
from frontinus.qemu.argv.secrets import SecretUse, emit_secret
from frontinus.qemu.argv.tls import tls_credentials

CACHES = {
    "writeback": (True, False, False),
    "none": (True, True, False),
    "writethrough": (False, False, False),
    "directsync": (False, True, False),
    "unsafe": (True, False, True),
}
"""Write-back, direct and no-flush of each cache mode (QEMU's manual, -drive cache=)."""
DRIVERS = {"fat": "raw", "ploop": "parallels", "vhd": "vhdx"}
"""QEMU's name of a format where it is another."""
CIPHERS = {"luks": "luks", "qcow": "aes"}
MANAGED_RESERVATIONS = "pr-helper0"


@dataclass(frozen=True)
class Access:
    """How a disk uses its images: what its <driver> says for the whole chain, and what kind of drive it is."""

    cache: str | None = None
    io: str | None = None
    discard: str | None = None
    detect_zeroes: str | None = None
    discard_no_unref: bool | None = None
    floppy: bool = False
    removable: bool = False
    shared: bool = False
    """Whether other guests write to the image too."""

    @property
    def detection(self) -> str | None:
        """Zeroes can be unmapped only where discarding is allowed."""
        return "on" if self.detect_zeroes == "unmap" and self.discard != "unmap" else self.detect_zeroes


def storage_node(image: Image) -> str:
    """The name of the protocol's node."""
    return f"{image.name}-storage"


def format_node(image: Image) -> str:
    """The name of the format's node: what a device, or the image above, is plugged into."""
    return f"{image.name}-format"


def encryption_secret(image: Image) -> str:
    """The id of the secret that opens an encrypted image."""
    return f"{format_node(image)}-encryption-secret0"


def emit_chain(ctx: Context, top: Image, access: Access) -> str:
    """Emit the graph of an image and all below it, the lowest first; returns the name of the top node."""
    for image in reversed(list(top.chain())):
        emit_image(ctx, image, access if image is top else below(access))
    return format_node(top)


def below(access: Access) -> Access:
    """The same for an image that backs another: zeroes are looked for only where the guest writes."""
    return replace(access, detect_zeroes=None, discard_no_unref=None, shared=True)


def emit_image(ctx: Context, image: Image, access: Access) -> None:
    """Emit one layer: its objects, its protocol's node, a node for a slice, its format's node."""
    objects = emit_objects(ctx, image, storage_node(image), format_node(image))
    _reach(ctx, image, access)
    if nbdkit.serves(ctx, image):
        nbdkit.emit(ctx, image)
    emit_node(ctx, storage_props(ctx, image, access, objects))
    if needs_slice_node(image):
        emit_node(ctx, slice_props(image, access))
    if image.data is not None:
        emit_image(ctx, image.data, access)
    emit_node(ctx, format_props(image, access, objects))


def emit_node(ctx: Context, props: Mapping[str, object]) -> None:
    """Emit a node. A backing of None is said: it keeps QEMU from looking for one."""
    ctx.items.append(Item("blockdev", {k: v for k, v in props.items() if v is not None or k == "backing"}))


def emit_objects(ctx: Context, image: Image, storage: str, above: str) -> Objects:
    """Emit what an image's nodes refer to. `storage` and `above` are the stems of the objects' ids."""
    source, auth, encryption = image.source, image.auth, image.encryption
    reservations = _reservations(ctx, image, storage)
    login = key = cookies = tls = None
    by_itself = not nbdkit.serves(ctx, image)
    if auth is not None and image.type == "network" and by_itself:
        login = emit_secret(ctx, f"{storage}-auth-secret0", SecretUse(
            "ceph" if source.protocol == "rbd" else "iscsi", auth.secret_uuid, auth.secret_usage))  # fmt: skip
    if encryption is not None and encryption.secrets:
        secret = encryption.secrets[0]
        key = emit_secret(ctx, f"{above}-encryption-secret0", SecretUse("volume", secret.uuid, secret.usage))
    if source.cookies and by_itself:
        cookies = emit_secret(ctx, f"{storage}-httpcookie-secret0", SecretUse("cookie", value=cookie_header(source)))
    if image.type == "network" and source.protocol in ("nbd", "vxhs") and _wants_tls(ctx, source.protocol, source.tls):
        tls = tls_credentials(ctx, source.protocol, f"obj{storage}_tls0", server=False)
    return Objects(login, key, cookies, tls, reservations, _opened(ctx, image, storage))


def _opened(ctx: Context, image: Image, storage: str) -> str | None:
    """What is opened for QEMU, or was by a caller."""
    if image.type == "vhostvdpa":
        return fd_set(ctx, image.source.dev or "", f"{storage}-vdpa", device=True)
    return fdgroups.emit_set(ctx, image, storage) if image.source.fdgroup is not None else None


def _wants_tls(ctx: Context, protocol: str, said: bool | None) -> bool:
    return said if said is not None else protocol in ctx.host.tls_on


def _reservations(ctx: Context, image: Image, storage: str) -> str | None:
    """The helper for persistent reservations: one for all that we manage, one each for those of others."""
    reservations = image.source.reservations
    if reservations is None:
        return None
    if reservations.managed:
        return MANAGED_RESERVATIONS
    helper = f"pr-helper-{storage}"
    ctx.props("object", {"qom-type": "pr-manager-helper", "id": helper, "path": reservations.path})
    return helper


def reservations_socket(ctx: Context) -> str:
    """Where the helper for persistent reservations listens that we run for this guest."""
    return f"{ctx.folder}/pr-helper0.sock"


def emit_managed_reservations(ctx: Context) -> None:
    """Emit our own reservations helper, which all disks share."""
    path = reservations_socket(ctx)
    ctx.props("object", {"qom-type": "pr-manager-helper", "id": MANAGED_RESERVATIONS, "path": path})


def _reach(ctx: Context, image: Image, access: Access) -> None:
    """Have the host let QEMU at a local image, unless its user forbids to touch the owner."""
    path, function = image.source.local_path, image.source.address
    if image.type == "nvme" and function is not None:
        ctx.need(Vfio(f"/sys/bus/pci/devices/{function.name}", bool(image.source.managed)))
    left_alone = any(label.relabel is False and label.model in (None, "dac") for label in image.source.seclabels)
    left_alone |= image.source.fdgroup is not None
    if path is not None and image.type in ("file", "block", "dir") and not left_alone:
        ctx.need(Label(path, readonly=image.read_only, shared=image.read_only or access.shared))


def cache_props(cache: str | None) -> Props | None:
    """The cache of a node; write-back is the device's business."""
    if cache is None:
        return None
    _, direct, no_flush = CACHES[cache]
    return {"direct": direct, "no-flush": no_flush}


def storage_props(ctx: Context, image: Image, access: Access, objects: Objects) -> Props:
    """The protocol's node. It is opened for writing only while something above it writes."""
    served = nbdkit.serves(ctx, image)
    protocol = "nbd" if served else image.protocol
    if protocol is not None and not ctx.caps.has_schema(f"blockdev-add/arg-type/driver={protocol}"):
        raise Unsupported(f"<source>: protocol '{protocol}' is not supported by this QEMU")
    by_nbdkit: Props = {"driver": "nbd", "server": {"type": "unix", "path": nbdkit.socket(ctx, image)}}
    return {
        **(
            by_nbdkit
            if served
            else protocol_props(
                ctx.host, image, objects, floppy=access.floppy, removable=access.removable, aio=access.io
            )
        ),
        "node-name": storage_node(image),
        "cache": cache_props(access.cache),
        **_mode(ctx, image, access),
        "discard": "unmap",
    }


def _mode(ctx: Context, image: Image, access: Access) -> Props:
    """Opened for writing only while something above writes; what is open already stays as it is."""
    if image.source.fdgroup is None:
        return {"auto-read-only": True}
    return {"read-only": not fdgroups.is_written(ctx, image, shared=access.shared)}


def needs_slice_node(image: Image) -> bool:
    """Whether a part of the storage needs a node of its own; the raw format can do it itself."""
    return bool(image.source.slices) and (image.format not in ("raw", "fat") or _has_luks(image))


def _has_luks(image: Image) -> bool:
    return _qemu_encryption(image) is not None and image.format == "raw"


def _qemu_encryption(image: Image) -> Encryption | None:
    encryption = image.encryption
    return encryption if encryption is not None and encryption.engine != "librbd" else None


def slice_props(image: Image, access: Access) -> Props:
    """The node that cuts a part out of the storage."""
    part = image.source.slices[0]
    return {
        "driver": "raw",
        "node-name": f"{image.name}-slice",
        "offset": part.offset,
        "size": part.size,
        "file": storage_node(image),
        "auto-read-only": True,
        "discard": "unmap",
        "cache": cache_props(access.cache),
    }


def format_props(image: Image, access: Access, objects: Objects) -> Props:
    """The format's node, on its storage and on the image below. Raises Unsupported for a format without driver."""
    props: Props = {
        "node-name": format_node(image),
        "read-only": image.read_only,
        "discard": access.discard,
        "detect-zeroes": access.detection,
        "cache": cache_props(access.cache),
        **format_driver(image, objects),
        "discard-no-unref": access.discard_no_unref,
        "data-file": format_node(image.data) if image.data is not None else None,
        "file": f"{image.name}-slice" if needs_slice_node(image) else storage_node(image),
    }
    if image.is_backed and (image.backing is not None or image.terminated):
        props["backing"] = format_node(image.backing) if image.backing is not None else None
    return props


def format_driver(image: Image, objects: Objects) -> Props:
    """The driver of a format with what it needs to open an image."""
    encryption = _qemu_encryption(image)
    if image.format in ("", "cow", "dir", "iso"):
        raise Unsupported(f"<driver>: format '{image.format}' is not supported")
    if image.format in ("raw", "fat"):
        if encryption is not None:
            return {"driver": "luks", "key-secret": objects.encryption}
        part = image.source.slices[0] if image.source.slices else None
        return {"driver": "raw", "offset": part.offset if part else None, "size": part.size if part else None}
    props: Props = {"driver": DRIVERS.get(image.format, image.format)}
    if encryption is not None:
        props["encrypt"] = {"format": CIPHERS[encryption.format], "key-secret": objects.encryption}
    if image.format == "qcow2":
        props["cache-size"] = image.metadata_cache
    return props
