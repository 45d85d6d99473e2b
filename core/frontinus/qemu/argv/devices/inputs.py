"""Input devices. A PS/2 mouse and keyboard are part of the machine and not said."""

from __future__ import annotations

from frontinus.domain.devices.input import USB_DRIVERS, VIRTIO_DRIVERS, Input
from frontinus.domain.plan import Label
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props


def build(ctx: Context) -> None:
    """Emit every input device."""
    for device in ctx.guest.devices.inputs:
        input_device(ctx, device)


def input_device(ctx: Context, device: Input) -> None:
    """Emit one input device."""
    path = device.evdev or device.dev
    if path is not None:
        ctx.need(Label(path))
    if device.type == "evdev":
        ctx.props("object", {
            "qom-type": "input-linux",
            "id": alias_of(device),
            "evdev": device.dev,
            "repeat": device.repeat,
            "grab_all": True if device.grab == "all" else None,
            "grab-toggle": device.grab_toggle,
        })  # fmt: skip
    elif device.bus == "usb":
        driver = USB_DRIVERS[device.type]
        ctx.props("device", {"driver": driver, "id": alias_of(device), **address_props(ctx, device)})
    elif device.bus == "virtio":
        ctx.props("device", {
            "driver": virtio_driver(ctx, VIRTIO_DRIVERS[device.type], device),
            **virtio_props(device),
            "id": alias_of(device),
            "evdev": device.evdev,
            **address_props(ctx, device),
        })  # fmt: skip
