"""The <smartcard> device: the host's reader, certificates of the host, or a card behind a character device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import CcidAddress, Device
from frontinus.domain.devices.chardev import KINDS, CharSource
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import Variants, texts, xml
from frontinus.xml.codecs import one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DEFAULT_DATABASE = "/etc/pki/nssdb"
CERTIFICATES = 3
"""The card's for identity, signing and encryption."""


class Smartcard(Device, tag="smartcard"):
    """A <smartcard> element of mode "host": the host's own reader."""

    mode: str = xml("@mode", default="host")

    @property
    def driver(self) -> str:
        """QEMU's device."""
        return "ccid-card-emulated"

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if len(guest.devices.smartcards) > 1 and guest.devices.smartcards[0] is self:
            yield "<smartcard>: only one is possible"
        yield from placed("<smartcard>", self.address, "ccid")
        if isinstance(self.address, CcidAddress) and (self.address.controller or self.address.slot):
            yield "<smartcard>: only slot 0 of controller 0 is possible"
        if not caps.has_type(self.driver):
            yield Lacking(f"<smartcard>: mode '{self.mode}' is not supported by this QEMU")


class CertificateSmartcard(Smartcard, tag="smartcard"):
    """A card made of three certificates in an NSS database of the host."""

    mode: str = xml("@mode", default="host-certificates")
    certificates: list[str] = texts("certificate")
    database: str | None = xml("database")

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from super().check(guest, caps)
        if len(self.certificates) != CERTIFICATES or not all(self.certificates):
            yield f"<smartcard>: mode 'host-certificates' needs exactly {CERTIFICATES} <certificate> elements"
        if any("," in name for name in self.certificates):
            yield "<certificate>: a name with a comma"
        if self.database is not None and not self.database.startswith("/"):
            yield f"<smartcard>: path '{self.database}' of <database> is not absolute"


class PassthroughSmartcard(Smartcard, CharSource, tag="smartcard"):
    """A card of a client behind a character device."""

    mode: str = xml("@mode", default="passthrough")
    type: str = xml("@type", one_of(*KINDS), required=True)

    @property
    def driver(self) -> str:
        return "ccid-card-passthru"

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.complete_source()

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from super().check(guest, caps)
        yield from self.check_source()
        yield from self.check_display(guest)


SMARTCARDS = Variants(
    "mode", {"host": Smartcard, "host-certificates": CertificateSmartcard, "passthrough": PassthroughSmartcard}
)
