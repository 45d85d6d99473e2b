"""The <nvram> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Nvram(Device, tag="nvram"):
    """A <nvram> element."""

    model: str | None = xml("@model")
