"""The <hub> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Hub(Device, tag="hub"):
    """A <hub> element."""

    model: str | None = xml("@model")
