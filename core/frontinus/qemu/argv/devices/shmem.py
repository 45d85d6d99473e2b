"""Memory shared between guests, with or without a server that hands it out."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.chardev import CharEnd, CharSource
from frontinus.domain.devices.shmem import LEGACY, PLAIN, Msi, Shmem
from frontinus.domain.plan import EmptyFile, Label
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.chardev import chardev
from frontinus.qemu.argv.context import Context

MIB = 2**20


def build(ctx: Context) -> None:
    """Emit every shared memory."""
    for device in ctx.guest.devices.shmems:
        shmem(ctx, device)


def shmem(ctx: Context, device: Shmem) -> None:
    """Emit one shared memory. Raises Unsupported for one that is not a PCI device."""
    if not isinstance(device.address, PciAddress):
        raise Unsupported("<shmem>: its address is of type pci")
    alias, msi = alias_of(device), device.msi or Msi()
    ctx.props("device", {
        "driver": device.model,
        "id": alias,
        **_memory(ctx, device, alias),
        "vectors": msi.vectors or None,
        "ioeventfd": msi.ioeventfd,
        **address_props(ctx, device),
    })  # fmt: skip


def _memory(ctx: Context, device: Shmem, alias: str) -> dict[str, object]:
    """Where the memory is: with the server, or in /dev/shm, where each guest's user is let at it; the first gives it its size."""
    where: dict[str, object] = {}
    if device.model == LEGACY:
        where = {"size": f"{(device.size or 0) // MIB}m", "msi": True if device.msi else None}
    if device.server is not None:
        path = device.server.path or f"{ctx.host.paths.shmem}/shmem-{device.name}-sock"
        source = CharSource(type="unix", sources=[CharEnd(mode="connect", path=path)])
        return {**where, "chardev": chardev(ctx, source, f"char{alias}", alias=alias)}
    if device.model == PLAIN:
        path = f"/dev/shm/{device.name}"
        ctx.need(EmptyFile(path))
        ctx.need(Label(path, shared=True, linked=False))
        ctx.props("object", {
            "qom-type": "memory-backend-file", "id": f"shmmem-{alias}", "mem-path": path,
            "size": device.size, "share": True,
        })  # fmt: skip
        master = {"master": "on", "peer": "off"}.get(device.role or "")
        return {"memdev": f"shmmem-{alias}", "master": master}
    return {**where, "shm": device.name}
