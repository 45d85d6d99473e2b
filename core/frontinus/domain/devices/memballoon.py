"""The <memballoon> device: memory given back to the host, and the guest's memory statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.rules import VIRTIO_MODELS, lacks, placed, virtio_options
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import OnOff, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

PROBED = "virtio-balloon-device"


class Memballoon(Device, VirtioOptions, tag="memballoon"):
    """A <memballoon> element. `period`: seconds between two readings of the guest's statistics, 0 is off."""

    model: str = xml("@model", one_of(*VIRTIO_MODELS, "xen", "none"), required=True)
    autodeflate: bool | None = xml("@autodeflate", OnOff)
    free_page_reporting: bool | None = xml("@freePageReporting", OnOff)
    period: int | None = xml("stats/@period", integer(-(2**31), 2**31 - 1))

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if self.period is not None and self.period <= 0:
            self.period = None
        if self.model == "none":
            self.address = self.alias = None

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.model == "none":
            return
        if self.model == "xen":
            yield "<memballoon>: model 'xen' is not of this hypervisor"
            return
        if self.autodeflate is not None and lacks(caps, PROBED, "deflate-on-oom"):
            yield Lacking("<memballoon>: 'autodeflate' is not supported by this QEMU")
        if self.free_page_reporting is not None and lacks(caps, PROBED, "free-page-reporting"):
            yield Lacking("<memballoon>: 'freePageReporting' is not supported by this QEMU")
        yield from placed("<memballoon>", self.address, "pci", "virtio-mmio")
        yield from virtio_options(self, caps)
