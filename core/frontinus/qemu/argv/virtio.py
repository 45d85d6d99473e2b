"""What all virtio devices share on the command line: the name of the driver and its transport's options."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.base import Device, PlainAddress, VirtioOptions
from frontinus.qemu.argv.context import Context


def virtio_driver(ctx: Context, base: str, device: Device, model: str | None = None) -> str:
    """QEMU's driver: `base` (virtio-blk...) with its transport and, for a transitional model, its generation.

    A transitional model without a driver of its own is a plain one on a conventional bus: the guest sees the same.
    Raises Unsupported for a non-transitional model that this QEMU lacks.
    """
    on_mmio = isinstance(device.address, PlainAddress) and device.address.type == "virtio-mmio"
    driver = f"{base}-device" if on_mmio else f"{base}-pci"
    if model is None or not model.endswith("transitional"):
        return driver
    suffix = "non-transitional" if model.endswith("non-transitional") else "transitional"
    if ctx.caps.has_type(f"{driver}-{suffix}"):
        return f"{driver}-{suffix}"
    if suffix == "non-transitional":
        raise Unsupported(f"<{device.tag}>: model '{model}' is not supported by this QEMU")
    return driver


def virtio_props(options: VirtioOptions) -> dict[str, object]:
    """The options of <driver> that every virtio device accepts; None where left open."""
    return {
        "iommu_platform": options.driver_iommu,
        "ats": options.driver_ats,
        "packed": options.driver_packed,
        "page-per-vq": options.driver_page_per_vq,
    }
