"""Character devices: serial, parallel, console, channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, IsaAddress, PciAddress, UsbAddress
from frontinus.domain.devices.chardev import CharEnd, CharSource
from frontinus.domain.devices.netparts import family
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import UInt32, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

AGENT = "org.qemu.guest_agent.0"
"""The name of the channel on which QEMU's guest agent listens."""
VDAGENT = "com.redhat.spice.0"
"""The name of the channel on which the SPICE agent listens."""

SERIAL_MODELS = {
    "isa-serial": "isa-serial", "pci-serial": "pci-serial", "usb-serial": "usb-serial", "isa-debug": "isa-debugcon",
}  # fmt: skip
"""The card of each target type of <serial>, which is QEMU's device too."""
FOREIGN_CONSOLES = ("xen", "uml", "sclp", "sclplm", "openvz", "lxc")
FOREIGN_TARGETS = frozenset({"spapr-vio-serial", "system-serial", "sclp-serial"})
"""Targets of other architectures."""
BY_ADDRESS = {IsaAddress: "isa-serial", PciAddress: "pci-serial", UsbAddress: "usb-serial"}
MAX_ISA_SERIALS = 4
MIRRORED = ("type", "sources", "protocol", "log_file", "log_append", "port", "alias", "address")
"""What the first console shares with the first serial port."""


class Character(CharSource, Device):
    """What the four kinds share: the host's end (see CharSource) and the guest's (target)."""

    def forget(self, host: HostFacts) -> None:
        """Drop the path of a pty, which the kernel gave."""
        if self.type == "pty":
            self.sources.clear()

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Settle the host's end, then what the guest sees."""
        self.complete_source()
        self.complete_target(guest)

    def complete_target(self, guest: Guest) -> None:
        """Fill in what the guest sees."""

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this device cannot be."""
        yield from self.check_source()
        yield from self.check_display(guest)
        if self.type == "spicevmc" and getattr(self, "target", None) != "virtio":
            yield f"<{self.tag} type='spicevmc'>: SPICE's own channel is one of target type 'virtio'"


class Port(Character):
    """Serial, parallel and console, which are counted."""

    port: int | None = xml("target/@port", UInt32)
    tty: str | None = xml("@tty", live=True)

    def forget(self, host: HostFacts) -> None:
        """Drop the path of a pty, which the kernel gave."""
        super().forget(host)
        self.tty = None

    def complete_target(self, guest: Guest) -> None:
        """Take the port behind the last of the kind."""
        if self.port is None:
            ports = [other.port for other in guest.devices.all() if isinstance(other, Port) and other.tag == self.tag]
            self.port = max((port for port in ports if port is not None), default=-1) + 1


class Serial(Port, tag="serial"):
    """A <serial> element."""

    target: str | None = xml("target/@type", one_of(*SERIAL_MODELS, *FOREIGN_TARGETS))
    model: str | None = xml("target/model/@name")

    def complete_target(self, guest: Guest) -> None:
        """Choose the card by the address, if there is one; an ISA card otherwise."""
        super().complete_target(guest)
        if self.target is None:
            kind = BY_ADDRESS.get(type(self.address)) if self.address else None
            self.target = kind or "isa-serial"
        if self.model is None:
            self.model = SERIAL_MODELS.get(self.target)

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this serial port cannot be."""
        yield from super().check(guest, caps)
        target = self.target or "isa-serial"
        if target in FOREIGN_TARGETS:
            yield f"<serial>: target type '{target}' is not of this architecture"
            return
        if self.model is not None and self.model != SERIAL_MODELS[target]:
            yield f"<serial>: a target of type '{target}' has no model '{self.model}'"
        elif not caps.has_type(SERIAL_MODELS[target]):
            yield Lacking(f"<serial>: this QEMU has no {SERIAL_MODELS[target]}")
        wanted = {"pci-serial": PciAddress, "usb-serial": UsbAddress}.get(target, IsaAddress)
        if self.address is not None and not isinstance(self.address, wanted):
            yield f"<serial>: a target of type '{target}' has no address of type '{self.address.type}'"
        if target == "isa-serial" and (self.port or 0) >= MAX_ISA_SERIALS:
            yield f"<serial>: port {self.port}: there are {MAX_ISA_SERIALS} ISA serial ports"
        others = (other for other in guest.devices.serials if other is not self and other.target == target)
        if target == "isa-serial" and any(other.port == self.port for other in others):
            yield f"<serial>: port {self.port} is used twice"


class Parallel(Port, tag="parallel"):
    """A <parallel> element."""

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this parallel port cannot be."""
        yield from super().check(guest, caps)
        yield from placed("<parallel>", self.address, "isa")
        if (self.port or 0) >= 3:
            yield f"<parallel>: port {self.port}: there are 3 parallel ports"


class Console(Port, tag="console"):
    """A <console> element. The first of type serial is a second name of the first <serial>."""

    target: str | None = xml("target/@type", one_of("serial", "virtio", *FOREIGN_CONSOLES))

    def complete_target(self, guest: Guest) -> None:
        """A console is serial unless it says otherwise."""
        super().complete_target(guest)
        self.target = self.target or "serial"

    @property
    def is_serial(self) -> bool:
        """Whether it stands for a serial port."""
        return self.target in (None, "serial")

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this console cannot be."""
        yield from super().check(guest, caps)
        if self.target not in (None, "serial", "virtio"):
            yield f"<console>: target type '{self.target}' is not of this hypervisor"
        if self.target == "virtio":
            yield from placed("<console> of target type 'virtio'", self.address, "virtio-serial")
        if self.is_serial and next(iter(guest.devices.consoles), None) is not self:
            yield "<console>: only the first console can be of type 'serial'"


class Channel(Character, tag="channel"):
    """A <channel> element: a port of a virtio-serial card, or an address inside the user network."""

    target: str | None = xml("target/@type", one_of("virtio", "guestfwd", "xen"), required=True)
    name: str | None = xml("target/@name")
    state: str | None = xml("target/@state", one_of("connected", "disconnected"), live=True)
    address_to: str | None = xml("target/@address")
    port_to: int | None = xml("target/@port", integer(0, 65535))

    @property
    def is_agent(self) -> bool:
        """Whether the guest agent is behind it."""
        return self.target == "virtio" and self.name == AGENT

    @property
    def port_name(self) -> str | None:
        """What the guest finds its port by: the SPICE agent's has a name of its own."""
        return self.name or (VDAGENT if self.type in ("spicevmc", "qemu-vdagent") else None)

    @property
    def own_path(self) -> bool:
        """Whether its socket is ours to place."""
        return self.type == "unix" and self.target == "virtio" and self.end.path is None

    def prepare(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Place the socket of this run."""
        self.state = None
        if self.own_path:
            folder = f"{channel_folder(host)}/{host.paths.short_name(guest.id, guest.name)}"
            self.sources = [CharEnd(mode="bind", path=f"{folder}/{self.name or self.alias}")]

    def forget(self, host: HostFacts) -> None:
        """Drop the place of a socket that we chose."""
        super().forget(host)
        if self.type == "unix" and self.end.path and is_own_path(self.end.path, host):
            self.end.path = None

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Leave the place of a socket to the start."""
        super().complete(guest, caps, host)
        if self.own_path and not self.end.reconnect:
            self.sources.clear()

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this channel cannot be."""
        yield from self.check_source(path_optional=self.target == "virtio")
        yield from self.check_display(guest)
        kinds = {"virtio": ("virtio-serial",), "guestfwd": ()}.get(self.target or "")
        if kinds is not None:
            yield from placed(f"<channel> of target type '{self.target}'", self.address, *kinds)
        if self.target == "xen":
            yield "<channel>: target type 'xen' is not of this hypervisor"
        if self.target == "guestfwd":
            if self.address_to is None or self.port_to is None:
                yield "<channel>: a guestfwd target needs an address and a port"
            elif family(self.address_to) != "ipv4":
                yield "<channel>: a guestfwd target has an IPv4 address"
        same = [other for other in guest.devices.channels if other.target == "virtio" and other.name == self.name]
        if self.target == "virtio" and self.name and same[0] is not self:
            yield f"<channel>: name '{self.name}' is used twice"
        if self.type in ("spicevmc", "qemu-vdagent") and self.target == "virtio" and self.port_name != VDAGENT:
            yield f"<channel type='{self.type}'>: the name is '{VDAGENT}', not '{self.name}'"


def channel_folder(host: HostFacts) -> str:
    """Where the sockets of channels are placed, a folder a guest below it."""
    return f"{host.paths.run}/channel"


def is_own_path(path: str, host: HostFacts) -> bool:
    """Whether a channel's path was given by an earlier start, ours or libvirt's, and whatever the guest's name was."""
    return path.startswith((f"{channel_folder(host)}/", "/var/lib/libvirt/qemu/channel/", "/run/libvirt/qemu/channel/"))


def pair_consoles(guest: Guest) -> None:
    """Have the first serial port and the first console of type serial stand for one another. Idempotent.

    A console without a serial port becomes one; a first port on the ISA bus gets a console.
    """
    devices = guest.devices
    first = devices.consoles[0] if devices.consoles else None
    if first is not None and first.is_serial and not devices.serials:
        serial = Serial(**{name: getattr(first, name) for name in MIRRORED})
        devices.serials.append(serial)
        serial.complete_source()
        serial.complete_target(guest)
    if first is None and devices.serials and devices.serials[0].target in (None, "isa-serial"):
        devices.consoles.append(Console(target="serial"))
    mirror_console(guest)


def mirror_console(guest: Guest) -> None:
    """Show the first console of type serial as what it is: the first serial port."""
    devices = guest.devices
    if devices.serials and devices.consoles and devices.consoles[0].is_serial:
        for name in MIRRORED:
            value = getattr(devices.serials[0], name)
            setattr(devices.consoles[0], name, [end.clone() for end in value] if name == "sources" else value)
