"""The <panic> device: through it a guest's kernel tells that it crashed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DRIVERS = {"isa": "pvpanic", "pvpanic": "pvpanic-pci"}
"""QEMU's device for a model; Hyper-V's is a feature of the CPU."""
ADDRESSES = {"isa": ("isa",), "pvpanic": ("pci",)}


class Panic(Device, tag="panic"):
    """A <panic> element. Model 'pvpanic' is the PCI one."""

    model: str | None = xml("@model", one_of("isa", "pseries", "hyperv", "s390", "pvpanic"))

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.model = self.model or "isa"

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.model in ("pseries", "s390"):
            yield f"<panic>: model '{self.model}' is not of x86 machines"
            return
        model = self.model or "isa"
        if model in DRIVERS and not caps.has_type(DRIVERS[model]):
            yield Lacking(f"<panic>: model '{model}' is not supported by this QEMU")
        yield from placed(f"<panic> of model '{model}'", self.address, *ADDRESSES.get(model, ()))
        same = [panic for panic in guest.devices.panics if (panic.model or "isa") == model]
        if len(same) > 1 and same[0] is self:
            yield f"<panic>: more than one of model '{model}'"
