"""Storage for a guest kernel's last words."""

from __future__ import annotations

from frontinus.domain.devices.pstore import Pstore
from frontinus.domain.plan import EmptyFile, Label
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context


def build(ctx: Context) -> None:
    """Emit the storage."""
    if ctx.guest.devices.pstore is not None:
        pstore(ctx, ctx.guest.devices.pstore)


def pstore(ctx: Context, device: Pstore) -> None:
    """Emit a pstore, and have its file."""
    alias = alias_of(device)
    ctx.need(EmptyFile(device.path or ""))
    ctx.need(Label(device.path or ""))
    ctx.props("object", {
        "qom-type": "memory-backend-file", "id": f"mem{alias}", "mem-path": device.path, "share": True,
        "size": device.size,
    })  # fmt: skip
    ctx.props("device", {"driver": "acpi-erst", "id": alias, "memdev": f"mem{alias}", **address_props(ctx, device)})
