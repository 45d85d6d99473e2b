"""Graphics cards on the command line."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.video import Video
from frontinus.domain.plan import Helper, Label
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props

PRIMARY = {
    "vga": "VGA", "cirrus": "cirrus-vga", "vmvga": "vmware-svga", "qxl": "qxl-vga", "virtio": "virtio-vga",
    "bochs": "bochs-display", "ramfb": "ramfb",
}  # fmt: skip
SECONDARY = {"qxl": "qxl", "virtio": "virtio-gpu"}
"""QEMU's device for each model, as the first card with VGA registers, and beside it."""
HELPER_FD = 3
"""The descriptor by which a helper of a vhost-user card finds its socket."""


def build(ctx: Context) -> None:
    """Emit every card."""
    for card in ctx.guest.devices.videos:
        if card.model != "none":
            video(ctx, card)


def video(ctx: Context, card: Video) -> None:
    """Emit one card. Raises Unsupported for a model that this QEMU lacks."""
    driver, on_virtio_bus = _driver(ctx, card)
    if not ctx.caps.has_type(driver):
        raise Unsupported(f"<video>: this QEMU has no {driver}")
    chardev = _helper(ctx, card) if card.driver == "vhostuser" else None
    ctx.props("device", {
        "driver": driver,
        # The cards with VGA registers take their transport's defaults: guests rely on it.
        **(virtio_props(card) if on_virtio_bus else {}),
        "id": alias_of(card),
        **_memory(card, driver),
        "virgl": _virgl(ctx, card, driver),
        "max_outputs": card.heads if card.model in ("qxl", "virtio") else None,
        "blob": card.blob,
        "edid": card.edid,
        "chardev": chardev,
        "xres": card.width,
        "yres": card.height,
        **address_props(ctx, card),
    })  # fmt: skip


def _driver(ctx: Context, card: Video) -> tuple[str, bool]:
    """QEMU's device, and whether it is a virtio card without VGA registers."""
    model = card.model or ""
    names = PRIMARY if card.primary else SECONDARY
    if model not in names:
        raise Unsupported(f"<video>: model '{model}' can only be the primary card")
    name = names[model]
    if model != "virtio":
        return name, False
    if card.primary and not ctx.caps.has_type("virtio-vga"):
        name = SECONDARY[model]
    if card.driver == "vhostuser":
        name = name.replace("virtio", "vhost-user")
    plain = name.endswith("gpu")
    if card.accel3d and card.driver != "vhostuser" and _has_gl_cards(ctx):
        name += "-gl"
    return (virtio_driver(ctx, name, card) if plain else name), plain


def _has_gl_cards(ctx: Context) -> bool:
    """Whether rendering in 3D is a card of its own, not a property."""
    return ctx.caps.has_type("virtio-vga-gl") or ctx.caps.has_type("virtio-gpu-gl-pci")


def _virgl(ctx: Context, card: Video, driver: str) -> bool | None:
    """The property by which older cards render in 3D."""
    if card.model != "virtio" or card.driver == "vhostuser" or "-gl" in driver:
        return None
    probed = "virtio-gpu-pci" in ctx.caps.properties and not ctx.caps.has_property("virtio-gpu-pci", "virgl")
    if card.accel3d and probed:
        raise Unsupported("<video>: this QEMU's virtio card has no accel3d")
    return None if probed else card.accel3d


def _memory(card: Video, driver: str) -> dict[str, object]:
    """The sizes of a card's memories, each in QEMU's unit; ours is KiB."""
    if card.model == "qxl":
        return {
            "ram_size": (card.ram or 0) * 1024,
            "vram_size": (card.vram or 0) * 1024,
            "vram64_size_mb": (card.vram64 or 0) // 1024,
            "vgamem_mb": (card.vgamem or 0) // 1024,
        }
    if card.model in ("vga", "vmvga") and card.vram:
        return {"vgamem_mb": card.vram // 1024}
    if card.model == "bochs" and card.vram:
        return {"vgamem": card.vram * 1024}
    return {}


def _helper(ctx: Context, card: Video) -> str:
    """Start the process that renders in QEMU's stead, joined to it by a pair of sockets; returns the chardev's id."""
    alias = alias_of(card)
    fd = ctx.fd()
    program = ctx.host.vhost_user_gpu
    options = (f"--fd={HELPER_FD}", *(("--virgl",) if card.accel3d else ()))
    node = card.render_node or next(iter(ctx.host.render_nodes), None)
    rendering = (f"--render-node={node}",) if card.accel3d and node else ()
    if card.accel3d and node:
        ctx.need(Label(node, shared=True))
    ctx.need(Helper(f"{alias}-gpu", (program, *options, *rendering), "", pair=(fd, HELPER_FD)))
    name = f"chr-vu-{alias}"
    ctx.props("chardev", {"backend": "socket", "id": name, "fd": str(fd)})
    return name
