"""The <iommu> device: translation of the guest's DMA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import lacks, placed
from frontinus.domain.reasons import Lacking
from frontinus.domain.scaled import Scaled
from frontinus.xml import xml
from frontinus.xml.codecs import OnOff, UInt32, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest

OPTIONS: dict[str, dict[str, str]] = {
    "intel": {
        "intremap": "intremap", "caching_mode": "caching-mode", "eim": "eim", "iotlb": "device-iotlb",
        "aw_bits": "aw-bits", "dma_translation": "dma-translation",
    },
    "amd": {
        "intremap": "intremap", "iotlb": "device-iotlb", "passthrough": "pt", "xtsup": "xtsup",
        "dma_translation": "dma-translation",
    },
    "virtio": {"aw_bits": "aw-bits", "granule": "granule", "granule_mode": "granule"},
}  # fmt: skip
"""The options of each model, and QEMU's names for them."""
DEVICES = {"intel": "intel-iommu", "amd": "amd-iommu", "virtio": "virtio-iommu-pci"}
"""QEMU's device of each model."""
WORDS = {name: name.replace("granule_mode", "granule") for options in OPTIONS.values() for name in options}
"""What an option is called in the document."""
WIDTHS = (39, 48)
"""Bits of an address that Intel's model can have."""
GRANULES = tuple(size * 2**10 for size in (4, 8, 16, 64))
"""Bytes of the pages that virtio's model can map: QEMU's GranuleMode."""


class Iommu(Device, tag="iommu"):
    """An <iommu> element. `aw_bits`: width of addresses; `granule`: the smallest page that can be mapped, in bytes."""

    model: str = xml("@model", one_of("intel", "smmuv3", "virtio", "amd"), required=True)
    intremap: bool | None = xml("driver/@intremap", OnOff)
    caching_mode: bool | None = xml("driver/@caching_mode", OnOff)
    eim: bool | None = xml("driver/@eim", OnOff)
    iotlb: bool | None = xml("driver/@iotlb", OnOff)
    aw_bits: int | None = xml("driver/@aw_bits", integer(0, 255))
    dma_translation: bool | None = xml("driver/@dma_translation", OnOff)
    xtsup: bool | None = xml("driver/@xtsup", OnOff)
    passthrough: bool | None = xml("driver/@passthrough", OnOff)
    pci_bus: int | None = xml("driver/@pciBus", UInt32)
    granule: int | None = xml("driver/granule", Scaled("size"))
    granule_mode: str | None = xml("driver/granule/@mode", one_of("host"))

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        name = f"<iommu> of model '{self.model}'"
        if self.model == "smmuv3":
            yield f"{name} exists on ARM alone"
            return
        if not guest.is_q35:
            yield f"{name} needs a q35 machine"
        if self.pci_bus is not None:
            yield "<iommu>: 'pciBus' is for model 'smmuv3'"
        yield from self._check_options(caps)
        yield from {"intel": self._check_intel, "amd": self._check_amd, "virtio": self._check_virtio}[self.model](
            guest, caps
        )
        ioapic = guest.features.ioapic.driver if guest.features and guest.features.ioapic else None
        if self.intremap and ioapic != "qemu":
            yield "<iommu>: interrupt remapping needs <ioapic driver='qemu'/>"

    def _check_options(self, caps: Capabilities) -> Iterator[str]:
        """Options of other models, and those that this QEMU lacks."""
        own = OPTIONS[self.model]
        for field, word in WORDS.items():
            if getattr(self, field) is not None and field not in own:
                yield f"<iommu>: '{word}' is not for model '{self.model}'"
            elif getattr(self, field) is not None and lacks(caps, DEVICES[self.model], own[field]):
                yield Lacking(f"<iommu>: '{word}' is not supported by this QEMU")

    def _check_intel(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<iommu> of model 'intel'", self.address)
        if not caps.has_type("intel-iommu"):
            yield Lacking("<iommu>: model 'intel' is not supported by this QEMU")
        if self.aw_bits not in (None, 0, *WIDTHS):
            yield f"<iommu>: 'aw_bits' is {' or '.join(map(str, WIDTHS))}"
        if self.eim and not self.intremap:
            yield "<iommu>: 'eim' needs interrupt remapping"

    def _check_amd(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<iommu> of model 'amd'", self.address, "pci")
        # Older ones make its PCI function themselves, at a place that nobody can choose or keep.
        if not caps.has_property("amd-iommu", "pci-id"):
            yield Lacking("<iommu>: model 'amd' is not supported by this QEMU")

    def _check_virtio(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<iommu> of model 'virtio'", self.address, "pci")
        # Without the bypass the firmware cannot read its disks; QEMU has both since 7.0.
        if not caps.has_type("virtio-iommu-pci") or lacks(caps, "virtio-iommu-pci", "boot-bypass"):
            yield Lacking("<iommu>: model 'virtio' is not supported by this QEMU")
        if not guest.acpi:
            yield "<iommu>: model 'virtio' needs ACPI"
        if self.granule is not None and self.granule_mode is not None:
            yield "<iommu>: <granule> has either a size or a mode"
        if self.granule not in (None, *GRANULES):
            yield f"<iommu>: <granule> is {', '.join(str(size // 2**10) for size in GRANULES)} KiB"
