"""The <crypto> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Crypto(Device, tag="crypto"):
    """A <crypto> element."""

    model: str | None = xml("@model")
