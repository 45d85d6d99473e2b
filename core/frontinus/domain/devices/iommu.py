"""The <iommu> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Iommu(Device, tag="iommu"):
    """A <iommu> element."""

    model: str | None = xml("@model")
