"""The guest's IOMMU."""

from __future__ import annotations

from frontinus.domain.devices.iommu import Iommu
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context

AUTO = {True: "on", False: "off", None: None}
"""For properties that also know "auto", and so are no booleans."""


def build(ctx: Context) -> None:
    """Emit the IOMMU, which must precede the devices behind it."""
    if ctx.guest.devices.iommu is not None:
        iommu(ctx, ctx.guest.devices.iommu)


def iommu(ctx: Context, device: Iommu) -> None:
    """Emit an IOMMU."""
    if device.model == "virtio":
        ctx.props("device", {
            "driver": "virtio-iommu", "id": alias_of(device), "granule": device.granule,
            "aw-bits": device.aw_bits or None, **address_props(ctx, device),
        })  # fmt: skip
        return
    ctx.props("device", {
        "driver": "intel-iommu",
        "id": alias_of(device),
        "intremap": AUTO[device.intremap],
        "caching-mode": device.caching_mode,
        "eim": AUTO[device.eim],
        "device-iotlb": device.iotlb,
        "aw-bits": device.aw_bits or None,
        "dma-translation": device.dma_translation,
    })  # fmt: skip
