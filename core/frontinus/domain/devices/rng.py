"""The <rng> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Rng(Device, tag="rng"):
    """A <rng> element."""

    model: str | None = xml("@model")
