"""The <input> device: mouse, tablet, keyboard, or one of the host's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.rules import VIRTIO_MODELS, has_usb, placed, virtio_options
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import OnOff, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

USB_DRIVERS = {"mouse": "usb-mouse", "tablet": "usb-tablet", "keyboard": "usb-kbd"}
VIRTIO_DRIVERS = {
    "mouse": "virtio-mouse", "tablet": "virtio-tablet", "keyboard": "virtio-keyboard",
    "passthrough": "virtio-input-host",
}  # fmt: skip
KINDS_ON = {"ps2": {"mouse", "keyboard"}, "usb": set(USB_DRIVERS), "virtio": set(VIRTIO_DRIVERS), None: {"evdev"}}
"""Kinds of input that a bus can carry. A PS/2 mouse and keyboard are part of the machine; evdev has no device."""
ADDRESSES = {"usb": ("usb",), "virtio": ("pci", "virtio-mmio")}
TOGGLES = ("ctrl-ctrl", "alt-alt", "shift-shift", "meta-meta", "scrolllock", "ctrl-scrolllock")


class Input(Device, VirtioOptions, tag="input"):
    """An <input> element. `evdev` is the host's device of kind passthrough, `dev` that of kind evdev."""

    type: str = xml("@type", one_of("mouse", "tablet", "keyboard", "passthrough", "evdev"), required=True)
    bus: str | None = xml("@bus", one_of("ps2", "usb", "virtio", "xen", "parallels", "none"))
    model: str | None = xml("@model", one_of(*VIRTIO_MODELS))
    evdev: str | None = xml("source/@evdev")
    dev: str | None = xml("source/@dev")
    grab: str | None = xml("source/@grab", one_of("all"))
    grab_toggle: str | None = xml("source/@grabToggle", one_of(*TOGGLES))
    repeat: bool | None = xml("source/@repeat", OnOff)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if self.bus is None:
            default = {"passthrough": "virtio", "tablet": "usb", "evdev": "none"}
            self.bus = default.get(self.type, "ps2")
        if self.bus == "none":
            self.bus = None
        if self.type != "evdev":
            self.dev = self.grab = self.grab_toggle = self.repeat = None

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        name = f"<input> of type '{self.type}'"
        bus = None if self.bus == "none" else self.bus
        if self.type not in KINDS_ON.get(bus, ()):
            yield f"{name}: it cannot be on bus '{self.bus or 'none'}'"
            return
        yield from placed(f"{name} on bus '{bus}'", self.address, *ADDRESSES.get(bus or "", ()))
        yield from self._check_source(name)
        if bus == "usb":
            yield from self._check_usb(name, guest, caps)
        if bus == "virtio":
            yield from self._check_virtio(name, caps)
        elif self.model is not None:
            yield f"{name}: model '{self.model}' is for bus 'virtio'"

    def _check_source(self, name: str) -> Iterator[str]:
        if self.type == "passthrough" and not self.evdev:
            yield f"{name}: <source> needs 'evdev', the host's device"
        if self.type == "evdev" and not self.dev:
            yield f"{name}: <source> needs 'dev', the host's device"
        if self.type != "passthrough" and self.evdev:
            yield f"{name}: 'evdev' is for type 'passthrough'"

    def _check_usb(self, name: str, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if not has_usb(guest):
            yield f"{name}: the guest has no USB"
        if self.type == "keyboard" and not caps.has_type("usb-kbd"):
            yield Lacking(f"{name}: this QEMU has no USB keyboard")

    def _check_virtio(self, name: str, caps: Capabilities) -> Iterator[str]:
        if self.model not in (None, "virtio"):
            yield f"{name}: model '{self.model}' does not exist, virtio input is of the new kind only"
        if not caps.has_type(f"{VIRTIO_DRIVERS[self.type]}-pci"):
            yield Lacking(f"{name}: '{VIRTIO_DRIVERS[self.type]}' is not supported by this QEMU")
        yield from virtio_options(self, caps)
