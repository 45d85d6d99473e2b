"""The <smartcard> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Smartcard(Device, tag="smartcard"):
    """A <smartcard> element."""

    model: str | None = xml("@model")
