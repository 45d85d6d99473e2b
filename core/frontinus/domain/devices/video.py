"""The <video> device: a graphics card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, PciAddress, VirtioOptions, no_virtio_options
from frontinus.xml import xml
from frontinus.xml.codecs import OnOff, UInt32, YesNo, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

MODELS = ("vga", "cirrus", "vmvga", "qxl", "virtio", "none", "bochs", "ramfb")
FOREIGN = ("xen", "vbox", "parallels", "gop")
MANY = frozenset({"qxl", "virtio"})
"""Models that can be there beside the primary card."""
QXL, VIRTIO = frozenset({"qxl"}), frozenset({"virtio"})
ONLY = {
    "ram": QXL, "vram64": QXL, "vgamem": QXL, "accel3d": VIRTIO, "blob": VIRTIO, "edid": frozenset({"vga", "bochs", "virtio"}),
    "width": frozenset({"vga", "bochs", "qxl", "virtio"}),
}  # fmt: skip
"""The models that each option is for."""
OF_XML = {"width": "<resolution>"}
MOST_QXL = (2**32 - 1) // 1024
FRAME_BUFFERS = frozenset({"vga", "cirrus", "vmvga", "bochs"})
"""Models with plain video memory, 16 MiB unless said otherwise."""
DEFAULTS = (("cirrus-vga", "cirrus"), ("VGA", "vga"), ("virtio-gpu-pci", "virtio"))
"""What a card is when nobody chose: the first of QEMU's devices that is there, and our model of it."""


MANY_HEADED = frozenset({"qxl", "virtio"})
"""Models that show more than one picture."""


class Video(Device, VirtioOptions, tag="video"):
    """A <video> element. Sizes are KiB, as in the XML."""

    driver: str | None = xml("driver/@name", one_of("qemu", "vhostuser"))
    vga_conf: str | None = xml("driver/@vgaconf", one_of("io", "on", "off"))
    model: str | None = xml("model/@type", one_of(*MODELS, *FOREIGN, "default"))
    ram: int | None = xml("model/@ram", UInt32)
    vram: int | None = xml("model/@vram", UInt32)
    vram64: int | None = xml("model/@vram64", UInt32)
    vgamem: int | None = xml("model/@vgamem", UInt32)
    heads: int | None = xml("model/@heads", UInt32)
    edid: bool | None = xml("model/@edid", OnOff)
    primary: bool | None = xml("model/@primary", YesNo)
    blob: bool | None = xml("model/@blob", OnOff)
    accel2d: bool | None = xml("model/acceleration/@accel2d", YesNo)
    accel3d: bool | None = xml("model/acceleration/@accel3d", YesNo)
    render_node: str | None = xml("model/acceleration/@rendernode")
    width: int | None = xml("model/resolution/@x", UInt32)
    height: int | None = xml("model/resolution/@y", UInt32)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Choose the model and its memory; the first card is the primary one unless another is."""
        if self.model in (None, "default"):
            self.model = next((model for driver, model in DEFAULTS if caps.has_type(driver)), "virtio")
        if self.model in FRAME_BUFFERS and self.vram is None:
            self.vram = 16 * 1024
        if self.model == "none":
            self.ram = self.vram = self.vram64 = self.vgamem = self.heads = self.primary = None
            return
        if self.model == "qxl":
            self._complete_qxl()
        self.vram = next_power(self.vram) if self.vram else self.vram
        self.heads = self.heads or 1
        others = any(card.primary for card in guest.devices.videos)
        self.primary = self.primary or (not others and self is guest.devices.videos[0]) or None

    def _complete_qxl(self) -> None:
        self.ram = next_power(self.ram or 65536)
        self.vram = self.vram or 65536
        self.vgamem = next_power(self.vgamem or 16384)
        if self.vram64 is not None:
            self.vram64 = next_power(self.vram64)

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this card cannot be."""
        cards = guest.devices.videos
        if self.model in FOREIGN:
            yield f"<video>: model '{self.model}' is not of this hypervisor"
            return
        if self.model == "none" and len(cards) > 1:
            yield "<video>: a model of type 'none' must be the only one"
        if self.primary and sum(1 for card in cards if card.primary) > 1:
            yield "<video>: only one card can be primary"
        if not self.primary and self.model not in MANY and self.model != "none" and len(cards) > 1:
            yield f"<video>: model '{self.model}' can only be the primary card"
        if self.model == "ramfb" and self.address is not None:
            yield "<video>: model 'ramfb' has no address"
        if self.address is not None and not isinstance(self.address, PciAddress):
            yield f"<video>: a card has no address of type '{self.address.type}'"
        if self.driver == "vhostuser" and self.model != "virtio":
            yield f"<video>: a driver of type 'vhostuser' is for model 'virtio', not '{self.model}'"
        yield from self._check_options()

    def _check_options(self) -> Iterator[str]:
        for name, models in ONLY.items():
            if getattr(self, name) is not None and getattr(self, name) != 0 and self.model not in models:
                yield f"<video>: {OF_XML.get(name, name)} is for {' and '.join(sorted(models))}, not '{self.model}'"
        if (self.heads or 1) > 1 and self.model not in MANY_HEADED:
            yield f"<video>: model '{self.model}' has one head"
        if self.accel2d:
            yield "<video>: accel2d is not of this hypervisor"
        if self.vga_conf is not None:
            yield "<video>: vgaconf is not of this hypervisor"
        if self.render_node and self.driver != "vhostuser":
            yield "<video>: rendernode is for a driver of type 'vhostuser'"
        if self.model != "virtio":
            yield from no_virtio_options(self, f"<video>: model '{self.model}'")
        yield from self._check_sizes()

    def _check_sizes(self) -> Iterator[str]:
        if (self.width is None) != (self.height is None):
            yield "<video>: <resolution> needs both x and y"
        if self.width == 0 or self.height == 0:
            yield "<video>: a <resolution> is greater than zero"
        for name, size in (("ram", self.ram), ("vram", self.vram)):
            if self.model == "qxl" and (size or 0) > MOST_QXL:
                yield f"<video>: {name} is at most {MOST_QXL} KiB, not {size}"
        if self.model == "qxl" and self.vgamem is not None and self.vgamem < 1024:
            yield f"<video>: vgamem is at least 1024 KiB, not {self.vgamem}"
        if self.model in ("vga", "vmvga") and self.vram is not None and self.vram < 1024:
            yield f"<video>: vram is at least 1024 KiB, not {self.vram}"


def next_power(size: int) -> int:
    """The power of two that holds a size."""
    return 1 << (size - 1).bit_length()


def default_video(guest: Guest) -> Video | None:
    """The card that a guest with a display has although it names none."""
    return Video() if guest.devices.graphics and not guest.devices.videos else None


def primary_first(guest: Guest) -> None:
    """Put the primary card before the others, where users and the guest expect it."""
    guest.devices.videos.sort(key=lambda card: not card.primary)
