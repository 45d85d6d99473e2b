"""The smartcard in the guest's reader."""

from __future__ import annotations

from frontinus.domain.devices.smartcard import DEFAULT_DATABASE, CertificateSmartcard, PassthroughSmartcard, Smartcard
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.chardev import chardev
from frontinus.qemu.argv.context import Context


def build(ctx: Context) -> None:
    """Emit the smartcard."""
    for device in ctx.guest.devices.smartcards:
        smartcard(ctx, device)


def smartcard(ctx: Context, device: Smartcard) -> None:
    """Emit one smartcard."""
    alias = alias_of(device)
    props: dict[str, object] = {"backend": "nss-emulated"}
    if isinstance(device, PassthroughSmartcard):
        props = {"chardev": chardev(ctx, device, f"char{alias}", alias=alias, channel="smartcard")}
    elif isinstance(device, CertificateSmartcard):
        props = {"backend": "certificates"}
        props |= {f"cert{number}": name for number, name in enumerate(device.certificates, 1)}
        props["db"] = device.database or DEFAULT_DATABASE
    ctx.props("device", {"driver": device.driver, **props, "id": alias, **address_props(ctx, device)})
