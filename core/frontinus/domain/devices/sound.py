"""The <sound> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Sound(Device, tag="sound"):
    """A <sound> element."""

    model: str | None = xml("@model")
