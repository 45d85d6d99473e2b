"""The <memory> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class MemoryDevice(Device, tag="memory"):
    """A <memory> element."""

    model: str | None = xml("@model")
