"""The guest's IOMMU."""

from __future__ import annotations

from frontinus.domain.devices.iommu import OPTIONS, Iommu
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context

AUTO = frozenset({"intremap", "eim"})
"""Properties that also know "auto", and so are no booleans."""
KIB = 2**10


def build(ctx: Context) -> None:
    """Emit the IOMMU, which must precede the devices behind it."""
    if ctx.guest.devices.iommu is not None:
        iommu(ctx, ctx.guest.devices.iommu)


def iommu(ctx: Context, device: Iommu) -> None:
    """Emit an IOMMU. AMD's is two devices: the PCI function that the guest finds, and what translates."""
    alias = alias_of(device)
    if device.model == "virtio":
        ctx.props("device", {
            "driver": "virtio-iommu", "id": alias, "granule": _granule(device), "aw-bits": device.aw_bits or None,
            **address_props(ctx, device),
        })  # fmt: skip
    elif device.model == "amd":
        ctx.props("device", {"driver": "AMDVI-PCI", "id": alias, **address_props(ctx, device)})
        ctx.props("device", {"driver": "amd-iommu", "pci-id": alias, **_options(device)})
    else:
        ctx.props("device", {"driver": "intel-iommu", "id": alias, **_options(device)})


def _options(device: Iommu) -> dict[str, object]:
    """The options of the chipset's models."""
    said = {name: getattr(device, field) for field, name in OPTIONS[device.model].items()}
    said["aw-bits"] = device.aw_bits or None
    return {name: ("on" if value else "off") if name in AUTO and value is not None else value
            for name, value in said.items()}  # fmt: skip


def _granule(device: Iommu) -> str | None:
    """QEMU's GranuleMode."""
    return device.granule_mode or (f"{device.granule // KIB}k" if device.granule else None)
