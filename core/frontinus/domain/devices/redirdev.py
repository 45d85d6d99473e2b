"""The <redirdev> device: a USB device of a remote client; and <redirfilter>, which of them are let in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.chardev import KINDS, CharEnd, CharSource
from frontinus.domain.devices.rules import has_usb, placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import Codec, YesNo, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DBUS_CHANNEL = "org.qemu.usbredir"
ANY = "-1"


def _number(high: int, width: int) -> Codec[int | None]:
    """A number up to `high` as hexadecimal; -1 says any, as does no attribute."""

    known = integer(0, high)
    return Codec(lambda text: None if text == ANY else known.parse(text), lambda value: f"0x{value:0{width}X}")


def _parse_version(text: str) -> int | None:
    """A USB version like 2.0 as binary coded decimal: 0x0200; 1.1 is 0x0110."""
    if text == ANY:
        return None
    match = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", text)
    if match is None:
        raise ValueError(f"'{text[:20]}' is not a USB version")
    return int(f"{match[1]:0>2}{match[2]:0<2}", 16)


def _format_version(value: int | None) -> str:
    return f"{(value or 0) >> 8:x}.{(value or 0) & 0xFF:02x}"


UsbVersion: Codec[int | None] = Codec(_parse_version, _format_version)


class UsbFilter(Model, tag="usbdev"):
    """Devices let in or kept out; None matches any."""

    usb_class: int | None = xml("@class", _number(0xFF, 2))
    vendor: int | None = xml("@vendor", _number(0xFFFF, 4))
    product: int | None = xml("@product", _number(0xFFFF, 4))
    version: int | None = xml("@version", UsbVersion)
    allow: bool = xml("@allow", YesNo, required=True)


class RedirFilter(Model, tag="redirfilter"):
    """The filter of all redirected devices: the first rule that matches decides."""

    rules: list[UsbFilter] = many("usbdev", UsbFilter)


class Redirdev(Device, CharSource, tag="redirdev"):
    """A <redirdev> element."""

    bus: str = xml("@bus", one_of("usb"), default="usb")
    type: str = xml("@type", one_of(*KINDS), required=True)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.complete_source()
        if self.type == "dbus":
            self.sources = self.sources or [CharEnd()]
            self.end.channel = self.end.channel or DBUS_CHANNEL

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<redirdev>", self.address, "usb")
        if not has_usb(guest):
            yield "<redirdev>: the guest has no USB"
        if not caps.has_type("usb-redir"):
            yield Lacking("<redirdev>: this QEMU has no USB redirection")
        yield from self.check_source()
        yield from self.check_display(guest)
