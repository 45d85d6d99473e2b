"""The <vsock> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Vsock(Device, tag="vsock"):
    """A <vsock> element."""

    model: str | None = xml("@model")
