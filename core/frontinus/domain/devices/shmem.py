"""The <shmem> device: memory shared with other guests or with the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import Element, Model, Size, one, xml
from frontinus.xml.codecs import OnOff, UInt32, one_of, scale

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

LEGACY, PLAIN, DOORBELL = "ivshmem", "ivshmem-plain", "ivshmem-doorbell"
MIB = 2**20
DEFAULT_SIZE = 4 * MIB


class _Bytes(Size):
    """A size counted in bytes where it has no unit, and written in MiB."""

    def read(self, element: Element) -> int | None:
        text = (element.text or "").strip()
        return scale(text, element.get("unit"), "b") if text else None


class Server(Model, tag="server"):
    """The server that hands out the memory; without a path it is named after the memory."""

    path: str | None = xml("@path")


class Msi(Model, tag="msi"):
    """Interrupts between the guests."""

    vectors: int | None = xml("@vectors", UInt32)
    ioeventfd: bool | None = xml("@ioeventfd", OnOff)


class Shmem(Device, tag="shmem"):
    """A <shmem> element. `size` is bytes. The role says whose memory survives a migration."""

    name: str = xml("@name", required=True)
    role: str | None = xml("@role", one_of("master", "peer"))
    model: str | None = xml("model/@type", one_of(LEGACY, PLAIN, DOORBELL))
    size: int | None = xml("size", _Bytes("M"))
    server: Server | None = one("server", Server)
    msi: Msi | None = one("msi", Msi)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.model = self.model or LEGACY
        if self.model == LEGACY:
            self.role = None
        if self.model != DOORBELL:
            self.size = self.size or DEFAULT_SIZE
        elif self.server is not None:
            self.msi = self.msi or Msi()
            if self.msi.ioeventfd is None:
                self.msi.ioeventfd = True

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if "/" in self.name or self.name in ("", ".", ".."):
            yield f"<shmem>: '{self.name}' cannot be a name"
        model = self.model or LEGACY
        if not caps.has_type(model):
            yield Lacking(f"<shmem>: model '{model}' is not supported by this QEMU")
        yield from placed("<shmem>", self.address, "pci")
        if self.size is not None and (self.size < MIB or self.size & (self.size - 1)):
            yield "<shmem>: the size is a power of two and at least 1 MiB"
        if self.msi is not None and self.server is None:
            yield "<shmem>: <msi> needs a <server>"
        if model == PLAIN and self.server is not None:
            yield f"<shmem>: model '{model}' has no <server>"
        if model == DOORBELL and self.server is None:
            yield f"<shmem>: model '{model}' needs a <server>"
        if model == DOORBELL and self.size is not None:
            yield f"<shmem>: model '{model}' takes its size from the server"
