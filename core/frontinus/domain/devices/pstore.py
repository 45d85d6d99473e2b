"""The <pstore> device: storage in which a guest's kernel leaves its last words (ACPI ERST)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import Size, xml
from frontinus.xml.codecs import one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DEFAULT_SIZE = 512 * 1024


class Pstore(Device, tag="pstore"):
    """A <pstore> element. `size` is bytes."""

    backend: str = xml("@backend", one_of("acpi-erst"), required=True)
    path: str | None = xml("path")
    size: int | None = xml("size", Size())

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.path = self.path or f"{host.paths.state}/pstore/{guest.name.replace('/', '_')}.raw"
        self.size = self.size or DEFAULT_SIZE

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        yield from placed("<pstore>", self.address, "pci")
        if not caps.has_type("acpi-erst"):
            yield Lacking("<pstore>: backend 'acpi-erst' is not supported by this QEMU")
        if not guest.acpi:
            yield "<pstore>: backend 'acpi-erst' needs ACPI"
        if self.path is not None and not self.path.startswith("/"):
            yield f"<pstore>: path '{self.path}' is not absolute"
        if self.size and self.size & (self.size - 1):
            yield "<pstore>: the size is a power of two"
