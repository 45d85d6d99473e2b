"""USB hubs, and USB devices of a remote client."""

from __future__ import annotations

from frontinus.domain.devices.hub import Hub
from frontinus.domain.devices.redirdev import Redirdev, RedirFilter, UsbFilter
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.chardev import chardev
from frontinus.qemu.argv.context import Context


def build_hubs(ctx: Context) -> None:
    """Emit the hubs, which must precede what is plugged into them."""
    for device in ctx.guest.devices.hubs:
        hub(ctx, device)


def build_redirdevs(ctx: Context) -> None:
    """Emit every redirected device."""
    for device in ctx.guest.devices.redirdevs:
        redirdev(ctx, device)


def hub(ctx: Context, device: Hub) -> None:
    """Emit one hub."""
    ctx.props("device", {"driver": "usb-hub", "id": alias_of(device), **address_props(ctx, device)})


def redirdev(ctx: Context, device: Redirdev) -> None:
    """Emit one redirected device, behind the filter that all share."""
    alias, rules = alias_of(device), ctx.guest.devices.redirfilter
    ctx.props("device", {
        "driver": "usb-redir",
        "chardev": chardev(ctx, device, f"char{alias}", alias=alias, channel="usbredir"),
        "id": alias,
        "filter": filter_rules(rules) if rules and rules.rules else None,
        "bootindex": device.boot_order,
        **address_props(ctx, device),
    })  # fmt: skip


def filter_rules(rules: RedirFilter) -> str:
    """usbredir's form of rules: class:vendor:product:version:allow|..., where -1 is any."""
    return "|".join(_rule(rule) for rule in rules.rules)


def _rule(rule: UsbFilter) -> str:
    numbers = ((rule.usb_class, 2), (rule.vendor, 4), (rule.product, 4), (rule.version, 4))
    parts = ["-1" if number is None else f"0x{number:0{width}X}" for number, width in numbers]
    return ":".join([*parts, str(int(rule.allow))])
