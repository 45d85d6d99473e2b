"""The <interface> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Interface(Device, tag="interface"):
    """A <interface> element."""

    model: str | None = xml("@model")
