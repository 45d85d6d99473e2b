"""The guest's firmware: -bios, or block nodes behind the flash memory of the machine."""

from __future__ import annotations

from frontinus.domain.devices.block.image import Image, resolved
from frontinus.domain.devices.block.source import Source
from frontinus.domain.osboot import Loader, Nvram
from frontinus.domain.plan import CopyOnce, Label
from frontinus.qemu.argv.block.blockdev import Access, emit_chain
from frontinus.qemu.argv.context import Context, Props

STORE = "frontinus-pflash1"
"""The block node of the UEFI variables, without what stands for its layers."""


def build(ctx: Context) -> Props:
    """Emit the firmware; returns the machine's properties that wire its flash."""
    os = ctx.guest.os
    loader = os.loader
    if loader is None or not loader.path:
        return {}
    if loader.type != "pflash":
        ctx.need(Label(loader.path, readonly=True, shared=True))
        ctx.text("bios", loader.path)
        if os.varstore is not None and os.varstore.path:
            _variables(ctx, os.varstore.path, os.varstore.template)
        return {}
    flash = {"pflash0": emit_chain(ctx, _code(loader, loader.path), Access())}
    if os.nvram is not None and not loader.stateless:
        flash["pflash1"] = emit_chain(ctx, _store(ctx, os.nvram), Access())
    return flash


def _variables(ctx: Context, path: str, template: str | None) -> None:
    """Emit the device by which the firmware has QEMU keep its variables."""
    if template is not None:
        ctx.need(CopyOnce(template, path))
    ctx.need(Label(path))
    ctx.props("device", {"driver": "uefi-vars-x64", "jsonfile": path})


def build_globals(ctx: Context) -> None:
    """Emit what the chipset must know: flash that only system management mode may write, and that mode's memory."""
    guest = ctx.guest
    if guest.os.loader and guest.os.loader.secure:
        ctx.text("global", "driver=cfi.pflash01,property=secure,value=on")
    smm = guest.features.smm if guest.features else None
    if smm and smm.state and smm.tseg:
        ctx.text("global", f"mch.extended-tseg-mbytes={smm.tseg // 2**20}")


def _code(loader: Loader, path: str) -> Image:
    return Image(
        "frontinus-pflash0", "file", loader.format or "raw", Source(file=path), read_only=bool(loader.readonly)
    )


def _store(ctx: Context, nvram: Nvram) -> Image:
    """The variable store, made from its template at the first start."""
    kind = nvram.type or "file"
    source = nvram.source.clone() if nvram.source else Source(file=nvram.path)
    source.complete(kind)
    if nvram.template and kind == "file" and source.file:
        form = nvram.format or "raw"
        ctx.need(CopyOnce(nvram.template, source.file, form, nvram.template_format or form))
    image = Image(STORE, kind, nvram.format or "raw", source, auth=source.auth)
    return resolved(image, ctx.host.pools)
