"""The <filesystem> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Filesystem(Device, tag="filesystem"):
    """A <filesystem> element."""

    model: str | None = xml("@model")
