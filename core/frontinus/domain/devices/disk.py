"""The <disk> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Disk(Device, tag="disk"):
    """A <disk> element."""

    model: str | None = xml("@model")
