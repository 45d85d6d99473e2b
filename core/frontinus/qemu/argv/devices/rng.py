"""Sources of entropy."""

from __future__ import annotations

from frontinus.domain.devices.rng import EgdBackend, RandomBackend, Rng
from frontinus.domain.plan import Label
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.chardev import chardev
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props

FOR_ALL = ("/dev/random", "/dev/urandom")
"""What every process may read."""
DEFAULT_PERIOD = 1000
"""Milliseconds in which a rate is counted when nothing is said."""


def build(ctx: Context) -> None:
    """Emit every source of entropy."""
    for device in ctx.guest.devices.rngs:
        rng(ctx, device)


def rng(ctx: Context, device: Rng) -> None:
    """Emit one source: where the bytes come from, then what the guest sees."""
    alias, backend = alias_of(device), device.backend
    where: dict[str, object] = {}
    if isinstance(backend, EgdBackend):
        where = {"chardev": chardev(ctx, backend, f"char{alias}", alias=alias)}
    elif isinstance(backend, RandomBackend):
        where = {"filename": backend.file}
        if backend.file and backend.file not in FOR_ALL:
            ctx.need(Label(backend.file, readonly=True, shared=True))
    ctx.props("object", {"qom-type": f"rng-{backend.model if backend else ''}", "id": f"obj{alias}", **where})
    ctx.props("device", {
        "driver": virtio_driver(ctx, "virtio-rng", device, device.model),
        **virtio_props(device),
        "rng": f"obj{alias}",
        "id": alias,
        "max-bytes": device.rate or None,
        "period": (device.period or DEFAULT_PERIOD) if device.rate else None,
        **address_props(ctx, device),
    })  # fmt: skip
