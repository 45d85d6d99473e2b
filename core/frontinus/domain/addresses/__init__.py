"""Addresses: every device gets its place once, at define time, and keeps it for ever.

One module a kind of bus. Each first takes in what the definition says, refusing what contradicts itself, then gives
the rest the places that libvirt gives them, so that a guest that moves here keeps its hardware.
"""

from __future__ import annotations

from frontinus.domain.addresses.drive import assign_drives
from frontinus.domain.addresses.pci import assign_pci
from frontinus.domain.addresses.slots import assign_ccid, assign_dimms
from frontinus.domain.addresses.usb import assign_usb, ports_known
from frontinus.domain.addresses.virtio_serial import assign_virtio_serial
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts

__all__ = ["assign_addresses", "assign_drives"]


def assign_addresses(guest: Guest, caps: Capabilities, host: HostFacts, *, hotplug: bool = False,
                     stored: bool = False) -> None:  # fmt: skip
    """Give every device its address. Drives have theirs already: their controllers follow from them.

    `hotplug`: for a running guest, where what has no address yet needs a place that can be plugged.
    `stored`: the guest was defined before: USB ports that it leaves open are its next start's. Raises InvalidXML.
    """
    assign_virtio_serial(guest, caps, host)
    assign_pci(guest, caps, host, hotplug=hotplug)
    if not stored or ports_known(guest):
        assign_usb(guest)
    assign_ccid(guest)
    assign_dimms(guest)
