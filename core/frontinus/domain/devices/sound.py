"""The <sound> device: a sound card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.audio import check_audio
from frontinus.domain.devices.base import Device, VirtioOptions, no_virtio_options
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import UInt32, YesNo, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DRIVERS = {
    "sb16": "sb16", "es1370": "ES1370", "pcspk": "isa-pcspk", "ac97": "AC97", "ich6": "intel-hda",
    "ich9": "ich9-intel-hda", "usb": "usb-audio", "virtio": "virtio-sound-pci",
}  # fmt: skip
"""QEMU's device for each model."""
PLACES = {"usb": ("usb",), "sb16": ("isa",), "pcspk": ("isa",)}
"""Where cards go that are not on PCI."""
FOREIGN = ("ich7",)
WITH_CODECS = frozenset({"ich6", "ich9"})


class Codec(Model, tag="codec"):
    """A codec on the bus of an HDA card."""

    type: str = xml("@type", one_of("duplex", "micro", "output"), required=True)


class Sound(Device, VirtioOptions, tag="sound"):
    """A <sound> element."""

    model: str = xml("@model", one_of(*DRIVERS, *FOREIGN), required=True)
    multichannel: bool | None = xml("@multichannel", YesNo)
    streams: int | None = xml("@streams", UInt32)
    codecs: list[Codec] = many("codec", Codec)
    audio: int | None = xml("audio/@id", UInt32)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Codecs are of HDA cards: others are said to have them in vain."""
        if self.model not in WITH_CODECS:
            self.codecs = []

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this card cannot be."""
        if self.model in FOREIGN:
            yield f"<sound model='{self.model}'> is not of this hypervisor"
        elif not caps.has_type(DRIVERS[self.model]):
            yield Lacking(f"<sound model='{self.model}'>: this QEMU has no {DRIVERS[self.model]}")
        if self.multichannel is not None and self.model != "usb":
            yield f"<sound model='{self.model}'> has no attribute 'multichannel'"
        if self.streams is not None and self.model != "virtio":
            yield f"<sound model='{self.model}'> has no attribute 'streams'"
        if self.model != "virtio":
            yield from no_virtio_options(self, f"<sound model='{self.model}'>")
        yield from placed(f"<sound model='{self.model}'>", self.address, *PLACES.get(self.model, ("pci",)))
        yield from check_audio(guest, self.audio, f"<sound model='{self.model}'>")
