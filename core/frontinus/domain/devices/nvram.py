"""The <nvram> device of POWER guests: known, and refused here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest


class Nvram(Device, tag="nvram"):
    """A <nvram> element."""

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield "<nvram>: the device exists on POWER machines alone"
