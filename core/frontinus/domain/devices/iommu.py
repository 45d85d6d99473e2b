"""The <iommu> device: translation of the guest's DMA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import lacks, placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import OnOff, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest

INTEL = {
    "intremap": "intremap", "caching_mode": "caching-mode", "eim": "eim", "iotlb": "device-iotlb", "aw_bits": "aw-bits",
    "dma_translation": "dma-translation",
}  # fmt: skip
"""Fields of Intel's model, and QEMU's names for them."""


WIDTHS = (39, 48)
"""Bits of an address that Intel's model can have."""


class Iommu(Device, tag="iommu"):
    """An <iommu> element. `aw_bits`: width of addresses."""

    model: str = xml("@model", one_of("intel", "smmuv3", "virtio"), required=True)
    intremap: bool | None = xml("driver/@intremap", OnOff)
    caching_mode: bool | None = xml("driver/@caching_mode", OnOff)
    eim: bool | None = xml("driver/@eim", OnOff)
    iotlb: bool | None = xml("driver/@iotlb", OnOff)
    aw_bits: int | None = xml("driver/@aw_bits", integer(0, 255))
    dma_translation: bool | None = xml("driver/@dma_translation", OnOff)
    granule: str | None = xml("driver/@granule")

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        name = f"<iommu> of model '{self.model}'"
        if self.model == "smmuv3":
            yield f"{name} exists on ARM alone"
            return
        if not guest.is_q35:
            yield f"{name} needs a q35 machine"
        yield from self._check_intel(guest, caps) if self.model == "intel" else self._check_virtio(guest, caps)

    def _check_intel(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<iommu> of model 'intel'", self.address)
        if not caps.has_type("intel-iommu"):
            yield Lacking("<iommu>: model 'intel' is not supported by this QEMU")
        for field, name in INTEL.items():
            if getattr(self, field) is not None and lacks(caps, "intel-iommu", name):
                yield Lacking(f"<iommu>: '{field}' is not supported by this QEMU")
        if self.aw_bits not in (None, 0, *WIDTHS):
            yield f"<iommu>: 'aw_bits' is {' or '.join(map(str, WIDTHS))}"
        ioapic = guest.features.ioapic.driver if guest.features and guest.features.ioapic else None
        if self.intremap and ioapic != "qemu":
            yield "<iommu>: interrupt remapping needs <ioapic driver='qemu'/>"
        if self.eim and not self.intremap:
            yield "<iommu>: 'eim' needs interrupt remapping"
        if self.granule is not None:
            yield "<iommu>: 'granule' is for model 'virtio'"

    def _check_virtio(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<iommu> of model 'virtio'", self.address, "pci")
        # Without the bypass the firmware cannot read its disks; QEMU has both since 7.0.
        if not caps.has_type("virtio-iommu-pci") or lacks(caps, "virtio-iommu-pci", "boot-bypass"):
            yield Lacking("<iommu>: model 'virtio' is not supported by this QEMU")
        if not guest.acpi:
            yield "<iommu>: model 'virtio' needs ACPI"
        if self.granule is not None and lacks(caps, "virtio-iommu-pci", "granule"):
            yield Lacking("<iommu>: 'granule' is not supported by this QEMU")
        for field in INTEL:
            if getattr(self, field) is not None and (field != "aw_bits" or lacks(caps, "virtio-iommu-pci", "aw-bits")):
                yield f"<iommu>: '{field}' is not for model 'virtio'"
