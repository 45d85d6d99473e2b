"""The <lease> device: a lock that a guest holds while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.xml import xml
from frontinus.xml.codecs import Int

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts


class Lease(Device, tag="lease"):
    """A <lease> element: `key` in `lockspace`, kept in the file `path` from `offset` on."""

    lockspace: str | None = xml("lockspace")
    key: str | None = xml("key")
    path: str | None = xml("target/@path")
    offset: int | None = xml("target/@offset", Int)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.offset = self.offset or None

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        for what, value in (("<lockspace>", self.lockspace), ("<key>", self.key), ("<target path>", self.path)):
            if not value:
                yield f"<lease>: {what} is missing"
        if any(other is not self and other == self for other in guest.devices.leases):
            yield f"<lease>: '{self.key}' in '{self.lockspace}' stands twice"
