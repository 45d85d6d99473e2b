"""The <panic> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Panic(Device, tag="panic"):
    """A <panic> element."""

    model: str | None = xml("@model")
