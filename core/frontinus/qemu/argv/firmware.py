"""The guest's firmware: -bios, or block nodes behind the flash memory of the machine."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.osboot import Nvram, Os
from frontinus.domain.plan import CopyOnce, Label
from frontinus.qemu.argv.context import Context, Props

HOST_DRIVERS = {None: "file", "file": "file", "block": "host_device"}


def build(ctx: Context) -> Props:
    """Emit the firmware; returns the machine's properties that wire its flash."""
    os = ctx.guest.os
    loader = os.loader
    if loader is None or not loader.path:
        return {}
    ctx.need(Label(loader.path, readonly=loader.readonly is not False, shared=True))
    if loader.type != "pflash":
        ctx.text("bios", loader.path)
        return {}
    storage = {"driver": "file", "filename": loader.path}
    flash = {"pflash0": _flash(ctx, "pflash0", storage, loader.format, read_only=bool(loader.readonly))}
    if os.nvram is not None and not loader.stateless:
        flash["pflash1"] = _store(ctx, os, os.nvram)
    return flash


def build_globals(ctx: Context) -> None:
    """Emit what the chipset must know: flash that only system management mode may write, and that mode's memory."""
    guest = ctx.guest
    if guest.os.loader and guest.os.loader.secure:
        ctx.text("global", "driver=cfi.pflash01,property=secure,value=on")
    smm = guest.features.smm if guest.features else None
    if smm and smm.state and smm.tseg:
        ctx.text("global", f"mch.extended-tseg-mbytes={smm.tseg // 2**20}")


def _store(ctx: Context, os: Os, nvram: Nvram) -> str:
    """The variable store, made from its template at the first start."""
    source = nvram.source
    path = nvram.path or (source.file or source.dev if source else None)
    if nvram.type not in HOST_DRIVERS or not path:
        raise Unsupported(f"<nvram>: a store of type '{nvram.type}' cannot be used")
    if nvram.template:
        ctx.need(CopyOnce(nvram.template, path, nvram.format or "raw"))
    ctx.need(Label(path))
    storage = {"driver": HOST_DRIVERS[nvram.type], "filename": path}
    return _flash(ctx, "pflash1", storage, nvram.format, read_only=False)


def _flash(ctx: Context, name: str, storage: Props, image: str | None, *, read_only: bool) -> str:
    """Emit the two nodes of one flash device; returns the name of the upper one."""
    below, above = f"{name}-storage", f"{name}-format"
    ctx.props("blockdev", {**storage, "node-name": below, "auto-read-only": True, "discard": "unmap"})
    ctx.props("blockdev", {"node-name": above, "read-only": read_only, "driver": image or "raw", "file": below})
    return above
