"""The <controller> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Controller(Device, tag="controller"):
    """A <controller> element."""

    model: str | None = xml("@model")
