"""The <shmem> device."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Shmem(Device, tag="shmem"):
    """A <shmem> element."""

    model: str | None = xml("@model")
