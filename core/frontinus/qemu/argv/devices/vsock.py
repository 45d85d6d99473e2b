"""Sockets between the guest and the host."""

from __future__ import annotations

from frontinus.domain.devices.vsock import Vsock
from frontinus.domain.plan import OpenFile
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props

VHOST = "/dev/vhost-vsock"


def build(ctx: Context) -> None:
    """Emit the vsock device."""
    if ctx.guest.devices.vsock is not None:
        vsock(ctx, ctx.guest.devices.vsock)


def vsock(ctx: Context, device: Vsock) -> None:
    """Emit a vsock device; its end in the kernel is opened for QEMU."""
    fd = ctx.fd()
    ctx.need(OpenFile(VHOST, fd, device=True))
    ctx.props("device", {
        "driver": virtio_driver(ctx, "vhost-vsock", device, device.model),
        **virtio_props(device),
        "id": alias_of(device),
        "guest-cid": device.choose_cid(-1 if ctx.guest.id is None else ctx.guest.id),
        "vhostfd": str(fd),
        **address_props(ctx, device),
    })  # fmt: skip
