"""The <memballoon> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Memballoon(Device, tag="memballoon"):
    """A <memballoon> element."""

    model: str | None = xml("@model")
