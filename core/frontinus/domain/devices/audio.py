"""The <audio> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Audio(Device, tag="audio"):
    """A <audio> element."""

    model: str | None = xml("@model")
