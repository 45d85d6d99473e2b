"""The memory balloon."""

from __future__ import annotations

from frontinus.domain.devices.memballoon import Memballoon
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props


def build(ctx: Context) -> None:
    """Emit the balloon, unless the guest has none. It holds from the start what the guest is not to have yet; one that comes
    back from a saved state holds what it held."""
    guest = ctx.guest
    if guest.devices.memballoon is None:
        return
    memballoon(ctx, guest.devices.memballoon)
    wanted = guest.current_memory
    if guest.devices.memballoon.model != "none" and wanted and wanted < (guest.memory or 0) and not ctx.incoming:
        ctx.command("balloon", value=wanted)


def memballoon(ctx: Context, device: Memballoon) -> None:
    """Emit a balloon."""
    if device.model == "none":
        return
    ctx.props("device", {
        "driver": virtio_driver(ctx, "virtio-balloon", device, device.model),
        **virtio_props(device),
        "id": alias_of(device),
        "deflate-on-oom": device.autodeflate,
        "free-page-reporting": device.free_page_reporting,
        **address_props(ctx, device),
    })  # fmt: skip
    if device.period:
        path = f"/machine/peripheral/{alias_of(device)}"
        ctx.command("qom-set", path=path, property="guest-stats-polling-interval", value=device.period)
