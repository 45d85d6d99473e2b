"""The <tpm> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Tpm(Device, tag="tpm"):
    """A <tpm> element."""

    model: str | None = xml("@model")
