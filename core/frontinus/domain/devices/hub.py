"""The <hub> device: a USB hub, on whose ports further devices find place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import has_usb, placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest


class Hub(Device, tag="hub"):
    """A <hub> element."""

    type: str = xml("@type", one_of("usb"), required=True)

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<hub>", self.address, "usb")
        if not has_usb(guest):
            yield "<hub>: the guest has no USB"
        if not caps.has_type("usb-hub"):
            yield Lacking("<hub>: this QEMU has no USB hub")
