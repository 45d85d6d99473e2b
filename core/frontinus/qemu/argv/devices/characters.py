"""Serial and parallel ports, consoles and channels on the command line."""

from __future__ import annotations

from frontinus.domain.devices.character import Channel, Character, Console, Parallel, Serial
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.chardev import chardev
from frontinus.qemu.argv.context import Context

DEVICES = {
    "isa-serial": "isa-serial", "pci-serial": "pci-serial", "usb-serial": "usb-serial", "isa-debug": "isa-debugcon",
}  # fmt: skip


def build(ctx: Context) -> None:
    """Emit every character device. A console of type serial is the serial port itself."""
    devices = ctx.guest.devices
    for character in (*devices.serials, *devices.parallels, *devices.channels, *devices.consoles):
        emit(ctx, character)


def emit(ctx: Context, device: Character) -> None:
    """Emit one character device: the host's end, then what the guest sees."""
    match device:
        case Serial():
            serial(ctx, device)
        case Parallel():
            parallel(ctx, device)
        case Console():
            console(ctx, device)
        case Channel():
            channel(ctx, device)


def serial(ctx: Context, device: Serial) -> None:
    """Emit a serial port."""
    alias, target = alias_of(device), device.target or "isa-serial"
    name = chardev(ctx, device, f"char{alias}", alias=alias)
    ctx.props("device", {
        "driver": DEVICES[target], "chardev": name, "id": alias,
        "index": device.port if target == "isa-serial" else None, **address_props(ctx, device),
    })  # fmt: skip


def parallel(ctx: Context, device: Parallel) -> None:
    """Emit a parallel port."""
    alias = alias_of(device)
    name = chardev(ctx, device, f"char{alias}", alias=alias, dev="parallel")
    ctx.props("device", {"driver": "isa-parallel", "chardev": name, "id": alias, **address_props(ctx, device)})


def console(ctx: Context, device: Console) -> None:
    """Emit a virtio console."""
    if device.is_serial:
        return
    alias = alias_of(device)
    name = chardev(ctx, device, f"char{alias}", alias=alias)
    ctx.props("device", {"driver": "virtconsole", **address_props(ctx, device), "chardev": name, "id": alias})


def channel(ctx: Context, device: Channel) -> None:
    """Emit a channel: a port of a virtio-serial card, or an address of the user network."""
    alias = alias_of(device)
    name = chardev(ctx, device, f"char{alias}", alias=alias)
    if device.target == "guestfwd":
        rule = f"tcp:{device.address_to}:{device.port_to}-chardev:{name}"
        ctx.props("netdev", {"type": "user", "guestfwd": [{"str": rule}], "id": alias})
        return
    ctx.props("device", {
        "driver": "virtserialport", **address_props(ctx, device), "chardev": name, "id": alias, "name": device.port_name,
    })  # fmt: skip
