"""Memory modules, persistent memory, memory that grows and shrinks, and enclaves."""

from __future__ import annotations

from dataclasses import replace

from frontinus.domain.devices.memory import DRIVERS, MemoryDevice
from frontinus.domain.plan import Label
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.machine.backend import Piece, emit_backend, memory_backend
from frontinus.qemu.argv.virtio import virtio_props

ALIGNMENT = 2 * 2**20
"""Bytes that the size of every memory device on x86 is a multiple of."""
ENCLAVES = ("/dev/sgx_vepc", "/dev/sgx_provision")


def build(ctx: Context) -> None:
    """Emit every memory device."""
    for device in ctx.guest.devices.memories:
        memory_device(ctx, device)


def memory_device(ctx: Context, device: MemoryDevice) -> None:
    """Emit one memory device: its memory, then what the guest sees. An enclave's is plugged in by the machine."""
    alias = alias_of(device)
    piece = backing(device)
    emit_backend(ctx, memory_backend(ctx, piece))
    for path in ENCLAVES if device.model == "sgx-epc" else filter(None, (device.path,)):
        ctx.need(Label(path, readonly=device.readonly, shared=device.access == "shared"))
    if device.model == "sgx-epc":
        return
    ctx.props("device", {
        "driver": DRIVERS[device.model],
        **virtio_props(device),
        "node": device.node,
        "label-size": device.label,
        "block-size": device.block,
        "requested-size": device.requested or None,
        "unarmed": True if device.readonly else None,
        "memdev": piece.id,
        "prealloc": _prealloc(ctx, piece) if device.model == "virtio-mem" else None,
        "dynamic-memslots": device.dynamic_slots,
        "memaddr": device.base,
        "id": alias,
        **address_props(ctx, device),
    })  # fmt: skip


def backing(device: MemoryDevice) -> Piece:
    """The piece of memory behind a device."""
    return Piece(
        f"mem{alias_of(device)}", -(-device.size // ALIGNMENT) * ALIGNMENT, node=device.node, nodes=device.nodes, page=device.page,
        path=device.path, access=device.access, discard=device.discard, model=device.model, align=device.align,
        pmem=device.pmem,
    )  # fmt: skip


def _prealloc(ctx: Context, piece: Piece) -> bool | None:
    """virtio-mem allocates by itself what a module's backend would allocate at start."""
    wanted = memory_backend(ctx, replace(piece, model="dimm")).props.get("prealloc")
    return True if wanted and ctx.caps.has_property("virtio-mem-pci", "prealloc") else None
