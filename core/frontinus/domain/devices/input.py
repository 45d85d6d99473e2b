"""The <input> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Input(Device, tag="input"):
    """A <input> element."""

    model: str | None = xml("@model")
