"""Ciphers computed outside the guest."""

from __future__ import annotations

from frontinus.domain.devices.crypto import Crypto
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props


def build(ctx: Context) -> None:
    """Emit every crypto device."""
    for device in ctx.guest.devices.cryptos:
        crypto(ctx, device)


def crypto(ctx: Context, device: Crypto) -> None:
    """Emit one crypto device."""
    alias = alias_of(device)
    kind = f"cryptodev-backend-{device.backend}"
    ctx.props("object", {"qom-type": kind, "id": f"obj{alias}", "queues": device.queues or None})
    ctx.props("device", {
        "driver": virtio_driver(ctx, "virtio-crypto", device),
        **virtio_props(device),
        "cryptodev": f"obj{alias}",
        "id": alias,
        **address_props(ctx, device),
    })  # fmt: skip
