"""Folders of the host in the guest: 9p inside QEMU, or virtiofs through virtiofsd beside it."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.chardev import CharEnd, CharSource
from frontinus.domain.devices.filesystem import Filesystem, IdRange
from frontinus.domain.plan import Helper
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.chardev import chardev
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props

READ_ONLY = "--readonly"
SECURITY_MODELS = {"passthrough": "passthrough", "mapped": "mapped", "squash": "none"}


def build(ctx: Context) -> None:
    """Emit every filesystem."""
    for device in ctx.guest.devices.filesystems:
        filesystem(ctx, device)


def filesystem(ctx: Context, device: Filesystem) -> None:
    """Emit one filesystem."""
    if device.is_virtiofs:
        _virtiofs(ctx, device)
    else:
        _plan9(ctx, device)


def _plan9(ctx: Context, device: Filesystem) -> None:
    alias = alias_of(device)
    ctx.props("fsdev", {
        "fsdriver": "local",
        "security_model": SECURITY_MODELS.get(device.access_mode or ""),
        "multidevs": device.multidevs,
        "fmode": f"{device.file_mode:04o}" if device.file_mode else None,
        "dmode": f"{device.folder_mode:04o}" if device.folder_mode else None,
        "writeout": device.write_policy,
        "id": f"fsdev-{alias}",
        "path": device.source,
        "readonly": device.readonly or None,
    })  # fmt: skip
    ctx.props("device", {
        "driver": virtio_driver(ctx, "virtio-9p", device, device.model),
        **virtio_props(device),
        "id": alias,
        "fsdev": f"fsdev-{alias}",
        "mount_tag": device.target,
        **address_props(ctx, device),
    })  # fmt: skip


def _virtiofs(ctx: Context, device: Filesystem) -> None:
    alias = alias_of(device)
    socket = device.socket or f"{ctx.folder}/{alias}-fs.sock"
    if device.socket is None:
        if device.readonly and not device.binary and READ_ONLY not in ctx.host.can("virtiofsd_options"):
            raise Unsupported("<filesystem>: this host's virtiofsd has no <readonly/>")
        words = virtiofsd(device, device.binary or ctx.host.virtiofsd, socket)
        # It acts for every owner of files in the folder, which it confines itself to.
        ctx.need(Helper(f"virtiofsd-{alias}", words, socket, privileged=True))
    source = CharSource(type="unix", sources=[CharEnd(mode="connect", path=socket)])
    ctx.props("device", {
        "driver": virtio_driver(ctx, "vhost-user-fs", device),
        **virtio_props(device),
        "id": alias,
        "chardev": chardev(ctx, source, f"chr-vu-{alias}", alias=alias),
        "queue-size": device.queue,
        "tag": device.target,
        "bootindex": device.boot_order,
        **address_props(ctx, device),
    })  # fmt: skip


def virtiofsd(device: Filesystem, program: str, socket: str) -> tuple[str, ...]:
    """The command line of virtiofsd: what both the one of QEMU and its successor in Rust understand."""
    switches = {"xattr": device.xattr, "flock": device.flock, "posix_lock": device.posix_lock}
    options = ["source=" + (device.source or "").replace("\\", "\\\\").replace(",", "\\,")]
    options += [f"{name}={value}" for name, value in (("cache", device.cache), ("sandbox", device.sandbox)) if value]
    options += [name if on else f"no_{name}" for name, on in switches.items() if on is not None]
    words = [program, f"--socket-path={socket}", "-o", ",".join(options)]
    if device.thread_pool is not None:
        words.append(f"--thread-pool-size={device.thread_pool}")
    if device.open_files:
        words.append(f"--rlimit-nofile={device.open_files}")
    if device.readonly:
        words.append(READ_ONLY)
    words += [*_id_maps("--uid-map", device.uids), *_id_maps("--gid-map", device.gids)]
    return tuple(words)


def _id_maps(option: str, ranges: list[IdRange]) -> Iterator[str]:
    for ids in ranges:
        yield f"{option}=:{ids.start}:{ids.target}:{ids.count}:"
