"""The <watchdog> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Watchdog(Device, tag="watchdog"):
    """A <watchdog> element."""

    model: str | None = xml("@model")
