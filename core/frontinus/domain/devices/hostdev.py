"""The <hostdev> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Hostdev(Device, tag="hostdev"):
    """A <hostdev> element."""

    model: str | None = xml("@model")
