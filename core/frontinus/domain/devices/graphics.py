"""The <graphics> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Graphics(Device, tag="graphics"):
    """A <graphics> element."""

    model: str | None = xml("@model")
