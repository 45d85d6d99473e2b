"""The devices through which a guest tells that it crashed. Hyper-V's is a feature of the CPU."""

from __future__ import annotations

from frontinus.domain.devices.base import IsaAddress
from frontinus.domain.devices.panic import DRIVERS, Panic
from frontinus.qemu.argv.address import address_props
from frontinus.qemu.argv.context import Context


def build(ctx: Context) -> None:
    """Emit every panic device."""
    for device in ctx.guest.devices.panics:
        panic(ctx, device)


def panic(ctx: Context, device: Panic) -> None:
    """Emit one panic device."""
    driver = DRIVERS.get(device.model or "isa")
    if driver is None:
        return
    if isinstance(device.address, IsaAddress):
        ctx.props("device", {"driver": driver, "ioport": device.address.iobase})
    else:
        ctx.props("device", {"driver": driver, **address_props(ctx, device)})
