"""The <redirdev> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Redirdev(Device, tag="redirdev"):
    """A <redirdev> element."""

    model: str | None = xml("@model")
