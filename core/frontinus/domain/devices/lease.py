"""The <lease> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Lease(Device, tag="lease"):
    """A <lease> element."""

    model: str | None = xml("@model")
