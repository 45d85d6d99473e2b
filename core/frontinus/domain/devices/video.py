"""The <video> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Video(Device, tag="video"):
    """A <video> element."""

    model: str | None = xml("@model")
