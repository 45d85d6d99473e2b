"""What a definition may ask for that no part of the engine does. Pure.

Its start is refused by the element's name, and a device that brings it to a running guest: better none than a promise that is not
kept. The definition itself stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.filesystem import Filesystem
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest

USUAL_PARTITION = "/machine"
"""The partition that libvirt writes into each running guest's document."""


def _partition(guest: Guest) -> bool:
    said = guest.resource.partition if guest.resource else None
    return said not in (None, "", USUAL_PARTITION)


def _ports(guest: Guest) -> bool:
    """Ports of Open vSwitch, of 802.1Qbg and the like: a plain bridge or macvtap would lose their tags and profiles."""
    cards = (card for card in guest.devices.interfaces if card.virtual_port is not None)
    return any(card.virtual_port and card.virtual_port.type for card in cards)


def _tags(guest: Guest) -> bool:
    """VLAN tags of virtual functions, which are not set on them. QEMU's plan refuses those of other cards."""
    return any(card.vlan for card in guest.devices.interfaces if card.type in ("direct", "hostdev"))


def _driver_domains(guest: Guest) -> bool:
    devices = [one for one in guest.devices.all() if isinstance(one, Disk | Interface)]
    return any(one.backend_domain for one in devices)


def _quotas(guest: Guest) -> bool:
    shared = [one for one in guest.devices.all() if isinstance(one, Filesystem)]
    return any(one.hard_limit or one.soft_limit for one in shared)


ELEMENTS: Mapping[str, Callable[[Guest], bool]] = {
    "fibrechannel": lambda guest: bool(guest.resource and guest.resource.fibre_channel),
    "partition": _partition,
    "perf": lambda guest: any(event.enabled for event in guest.perf),
    "seclabel": lambda guest: any(label.type == "static" and label.label for label in guest.seclabels),
    "virtualport": _ports,
    "vlan": _tags,
    "backenddomain": _driver_domains,
    "space_hard_limit": _quotas,
}
"""The element, and whether a guest asks for what it says."""


def unkept(guest: Guest) -> Iterator[str]:
    """The elements that nothing here keeps."""
    return (element for element, asked in ELEMENTS.items() if asked(guest))
