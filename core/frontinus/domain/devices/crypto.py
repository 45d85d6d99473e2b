"""The <crypto> device: ciphers computed outside the guest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.rules import placed, virtio_options
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import UInt32, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest


class Crypto(Device, VirtioOptions, tag="crypto"):
    """A <crypto> element. `backend` is QEMU's own code or the host kernel's (lkcf)."""

    model: str = xml("@model", one_of("virtio"), required=True)
    type: str = xml("@type", one_of("qemu"), required=True)
    backend: str = xml("backend/@model", one_of("builtin", "lkcf"), required=True)
    queues: int | None = xml("backend/@queues", UInt32)

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        for kind in ("virtio-crypto-pci", f"cryptodev-backend-{self.backend}"):
            if not caps.has_type(kind):
                yield Lacking(f"<crypto>: '{kind}' is not supported by this QEMU")
        if self.backend == "builtin" and (self.queues or 1) != 1:
            yield "<crypto>: backend 'builtin' has one queue"
        yield from placed("<crypto>", self.address, "pci", "virtio-mmio")
        yield from virtio_options(self, caps)
