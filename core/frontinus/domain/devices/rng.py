"""The <rng> device: a source of entropy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.chardev import KINDS, CharSource
from frontinus.domain.devices.rules import VIRTIO_MODELS, placed, virtio_options
from frontinus.domain.reasons import Lacking
from frontinus.xml import Model, Variants, one, xml
from frontinus.xml.codecs import UInt32, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DEFAULT_FILE = "/dev/random"


class RandomBackend(Model, tag="backend"):
    """A device of the host that gives random bytes."""

    model: str = xml("@model", default="random")
    file: str | None = xml("")


class EgdBackend(CharSource, tag="backend"):
    """An entropy gathering daemon behind a character device."""

    model: str = xml("@model", default="egd")
    type: str = xml("@type", one_of(*KINDS), required=True)


class BuiltinBackend(Model, tag="backend"):
    """QEMU's own generator."""

    model: str = xml("@model", default="builtin")


BACKENDS = Variants("model", {"random": RandomBackend, "egd": EgdBackend, "builtin": BuiltinBackend})


class Rng(Device, VirtioOptions, tag="rng"):
    """An <rng> element: at most `rate` bytes in each `period` (milliseconds)."""

    model: str = xml("@model", one_of(*VIRTIO_MODELS), required=True)
    rate: int | None = xml("rate/@bytes", UInt32)
    period: int | None = xml("rate/@period", UInt32)
    backend: RandomBackend | EgdBackend | BuiltinBackend | None = one("backend", BACKENDS)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if not self.rate:
            self.rate = self.period = None
        self.period = self.period or None
        if isinstance(self.backend, RandomBackend):
            self.backend.file = self.backend.file or DEFAULT_FILE
        elif isinstance(self.backend, EgdBackend):
            self.backend.complete_source()

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.backend is None or any(unknown.name == "backend" for unknown in self.kept):
            yield "<rng>: exactly one <backend> is needed"
            return
        if not caps.has_type(f"rng-{self.backend.model}"):
            yield Lacking(f"<rng>: backend '{self.backend.model}' is not supported by this QEMU")
        if not caps.has_type("virtio-rng-pci"):
            yield Lacking("<rng>: model 'virtio' is not supported by this QEMU")
        if isinstance(self.backend, EgdBackend):
            yield from self.backend.check_source()
        yield from placed("<rng>", self.address, "pci", "virtio-mmio")
        yield from virtio_options(self, caps)
