"""Character devices: serial, parallel, console, channel."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.xml import xml


class Character(Device):
    """What the four kinds share: the host's end (`type`, source) and the guest's (target)."""

    type: str = xml("@type", default="pty")


class Serial(Character, tag="serial"):
    """A <serial> element."""


class Parallel(Character, tag="parallel"):
    """A <parallel> element."""


class Console(Character, tag="console"):
    """A <console> element."""


class Channel(Character, tag="channel"):
    """A <channel> element."""
