"""Validation of a completed guest: what cannot be is refused, with the reason and the element."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.addresses.connections import placed_devices
from frontinus.domain.aliases import is_user_alias
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.check.guest import check_guest
from frontinus.domain.devices.base import Device, ForeignAddress, PciAddress
from frontinus.domain.devices.rules import acpi_index, boot, rom
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.reasons import Lacking
from frontinus.xml import element_named
from frontinus.xml.mapping import specs

MAX_REASONS = 5
ALIAS = re.compile(r"[A-Za-z0-9_-]+")


def validate(guest: Guest, caps: Capabilities, host: HostFacts, *, stored: bool = False) -> None:
    """Raises InvalidXML with the reasons, the first few of them, `details` naming the first one's element.

    Where all that is wrong is what this QEMU lacks, raises Unsupported; nothing for a guest that is `stored` already:
    it waits for a QEMU that has it.
    """
    _refuse(guest, _reasons(guest, caps, host), stored=stored)


def validate_change(guest: Guest, old: Device, new: Device, caps: Capabilities) -> None:
    """Whether a device of a running guest can be as it is to become. Raises InvalidXML, Unsupported."""
    after = guest.clone()
    place = next(place for place, device in enumerate(guest.devices.all()) if device is old)
    changed = list(after.devices.all())[place]
    for name in specs(type(new)):
        setattr(changed, name, getattr(new, name))
    known = {reason for _, reason in _device_reasons(guest, old, caps)}
    fresh = ((tag, reason) for tag, reason in _device_reasons(after, changed, caps) if reason not in known)
    _refuse(after, (*fresh, *_boot(after)))


def _refuse(guest: Guest, reasons: Iterable[tuple[str, str]], *, stored: bool = False) -> None:
    wrong: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for element, reason in reasons:
        (lacking if isinstance(reason, Lacking) else wrong).setdefault(reason, element)
        if len(wrong) == MAX_REASONS:
            break
    if wrong:
        told = list({**wrong, **lacking}.items())[:MAX_REASONS]
        raise InvalidXML("; ".join([*(reason for reason, _ in told), *_not_understood(guest)]), element=told[0][1])
    if lacking and not stored:
        told = list(lacking.items())[:MAX_REASONS]
        raise Unsupported("; ".join(reason for reason, _ in told), element=told[0][1])


def _not_understood(guest: Guest) -> Iterator[str]:
    """What may be the cause: an element that is spelled wrongly is kept, and then missed."""
    unknown = [f"{f'attribute {one.name}' if one.is_attribute else f'<{one.name}>'} in line {one.line}"
               for one in guest.unknown()]  # fmt: skip
    if unknown:
        yield f"not understood: {', '.join(unknown[:MAX_REASONS])}"


def _reasons(guest: Guest, caps: Capabilities, host: HostFacts) -> Iterator[tuple[str, str]]:
    """Element and reason of everything that cannot be."""
    for reason in check_guest(guest, caps, host):
        yield element_named(reason) or "domain", reason
    for device in guest.devices.all():
        yield from _device_reasons(guest, device, caps)
    yield from _targets(guest)
    yield from _aliases(guest)
    yield from _indexes(guest)
    yield from _boot(guest)


def _device_reasons(guest: Guest, device: Device, caps: Capabilities) -> Iterator[tuple[str, str]]:
    for reason in (
        *device.check(guest, caps),
        *acpi_index(device, caps),
        *boot(device),
        *rom(device),
        *_address(device),
    ):
        yield device.tag, reason


def _address(device: Device) -> Iterator[str]:
    address = device.address
    if isinstance(address, ForeignAddress):
        yield f"<{device.tag}>: an address of type '{address.type}' is not of this architecture"
    elif isinstance(address, PciAddress) and (address.zpci_uid, address.zpci_fid) != (None, None):
        yield f"<{device.tag}>: <zpci> is of s390 alone"
    elif address is not None and address.type == "unassigned" and device.tag != "hostdev":
        yield f"<{device.tag}>: an address of type 'unassigned' is for <hostdev> alone"


def _targets(guest: Guest) -> Iterator[tuple[str, str]]:
    counts = Counter(disk.target for disk in guest.devices.disks if disk.target)
    for target in (target for target, count in counts.items() if count > 1):
        yield "disk", f"disk '{target}': <target>: '{target}' is used by more than one disk"


def _aliases(guest: Guest) -> Iterator[tuple[str, str]]:
    counts = Counter(device.alias for device in placed_devices(guest) if is_user_alias(device.alias))
    for alias in (alias for alias in counts if not ALIAS.fullmatch(alias or "")):
        yield "alias", f"<alias>: '{alias}' has characters other than letters, digits, _ and -"
    for alias in (alias for alias, count in counts.items() if count > 1):
        yield "alias", f"<alias>: '{alias}' names two devices"


def _indexes(guest: Guest) -> Iterator[tuple[str, str]]:
    counts = Counter(device.acpi_index for device in placed_devices(guest) if device.acpi_index)
    for index in (index for index, count in counts.items() if count > 1):
        yield "acpi", f"<acpi index='{index}'>: two devices have it"


def _boot(guest: Guest) -> Iterator[tuple[str, str]]:
    orders = Counter(device.boot_order for device in placed_devices(guest) if device.boot_order)
    for order in (order for order, count in orders.items() if count > 1):
        yield "boot", f"<boot>: order {order} stands at two devices"
    if orders and guest.os.boot:
        yield "boot", "<boot>: devices have an order of their own, so <os> cannot name one too"
