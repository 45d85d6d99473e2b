"""The <vsock> device: sockets between the guest and the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.rules import VIRTIO_MODELS, placed, virtio_options
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import UInt32, YesNo, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

RESERVED = (1, 2, 2**32 - 1)
"""Loopback, the host, and any."""
FIRST_AUTOMATIC = 43
"""Context id that guest 0 gets; every further one by its id, so two of ours never meet."""


class Vsock(Device, VirtioOptions, tag="vsock"):
    """A <vsock> element. `cid` is the guest's address; with `auto` it is chosen at each start."""

    model: str | None = xml("@model", one_of(*VIRTIO_MODELS))
    auto: bool | None = xml("cid/@auto", YesNo)
    cid: int | None = xml("cid/@address", UInt32)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.model = self.model or "virtio"
        if self.auto is None:
            self.auto = not self.cid

    def prepare(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if self.auto and guest.id is not None and guest.id >= 0:
            self.cid = self.choose_cid(guest.id)

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.cid in RESERVED:
            yield f"<vsock>: context id {self.cid} is reserved, as those below 3 are"
        if self.cid == 0 or (self.auto is False and self.cid is None):
            yield "<vsock>: <cid> needs an address from 3 on"
        if not caps.has_type("vhost-vsock-pci"):
            yield Lacking("<vsock>: the device is not supported by this QEMU")
        yield from placed("<vsock>", self.address, "pci", "virtio-mmio")
        yield from virtio_options(self, caps)

    def choose_cid(self, guest_id: int) -> int:
        """The context id of a start."""
        return self.cid if self.cid and not self.auto else FIRST_AUTOMATIC + guest_id
