"""Devices added to, found in and removed from a guest: pure, the same for a running guest and a definition."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML, NoSuchDevice, Unsupported
from frontinus.domain.aliases import assign_aliases, is_user_alias
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.changes import CHANGES
from frontinus.domain.complete import complete
from frontinus.domain.devices import Devices
from frontinus.domain.devices.base import (
    CcidAddress,
    Device,
    DriveAddress,
    PciAddress,
    UsbAddress,
    VirtioSerialAddress,
)
from frontinus.domain.devices.block.disk import Disk, last_layer, number_layers
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.hostdev import ScsiHostdev
from frontinus.domain.devices.hub import Hub
from frontinus.domain.devices.memballoon import Memballoon
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.xml import DocumentError, MappingError, Model, Variants, document
from frontinus.xml.mapping import Spec, specs

IDENTITY = {"disk": ("target",), "interface": ("mac",), "filesystem": ("target",), "graphics": ("type",)}
"""What users name a device by when they detach or update it: one matching attribute is enough to be the same device."""


def parse_device(xml: str) -> Device:
    """A device from its element. Raises InvalidXML."""
    try:
        element = document(xml)
        spec = next((s for s in specs(Devices).values() if _kinds(s) and s.path == element.tag), None)
        if spec is None:
            raise InvalidXML(f"<{element.tag}> is no device", element=str(element.tag))
        model = spec.model.model(element) if isinstance(spec.model, Variants) else spec.model
        device = model.parse_element(element)
    except MappingError as error:
        raise InvalidXML(str(error), element=error.element, line=str(error.line)) from None
    except DocumentError as error:
        raise InvalidXML(str(error)) from None
    if not isinstance(device, Device):
        raise InvalidXML(f"<{element.tag}> is no device", element=str(element.tag))
    return device


def _kinds(spec: Spec) -> tuple[type[Device], ...]:
    """The classes of the devices that a field of Devices holds."""
    models = spec.model.models.values() if isinstance(spec.model, Variants) else (spec.model,)
    return tuple({model for model in models if isinstance(model, type) and issubclass(model, Device)})


def _slot(device: Device) -> tuple[str, bool]:
    """The field of Devices that holds this kind, and whether it is a list."""
    for name, spec in specs(Devices).items():
        if isinstance(device, _kinds(spec)):
            return name, spec.many
    raise InvalidXML(f"<{device.tag}> is no device", element=device.tag)


def add_device(guest: Guest, device: Device, caps: Capabilities, host: HostFacts, *, hotplug: bool = False) -> Guest:
    """A completed copy of the guest with the device in it. Raises InvalidXML, Unsupported."""
    changed = guest.clone()
    device = device.clone()
    device.forget(host)
    name, several = _slot(device)
    if several:
        getattr(changed.devices, name).append(device)
    elif not _is_none(getattr(changed.devices, name)):
        raise InvalidXML(f"the guest has a <{device.tag}> already", element=device.tag)
    else:
        setattr(changed.devices, name, device)
    return complete(changed, caps, host, hotplug=hotplug)


def _is_none(device: Device | None) -> bool:
    """Whether a device of which there is one is not there; a balloon can be said not to be."""
    return device is None or (isinstance(device, Memballoon) and device.model == "none")


def plugged(live: Guest, device: Device, caps: Capabilities, host: HostFacts) -> tuple[Guest, list[Device]]:
    """The running guest with the device, and what is new in it, controllers that it needs first: named and prepared.

    What else a definition would be completed by today, a guest that was started before goes without.
    """
    chosen = device.alias if is_user_alias(device.alias) else None
    if chosen is not None and any(d.alias == chosen for d in live.devices.all()):
        raise InvalidXML(f"<{device.tag}>: the alias '{chosen}' is taken", element="alias")
    if is_raw(device) and not any(is_raw(other) for other in live.devices.all()):
        raise Unsupported(f"<{device.tag} rawio='yes'>: QEMU gets the right to it at the guest's start only")
    after = add_device(live, device.clone(alias=None), caps, host, hotplug=True)
    new = [d for d in after.devices.all() if d.alias is None and isinstance(d, (Controller, type(device)))]
    next(d for d in new if type(d) is type(device)).alias = chosen
    assign_aliases(after)
    new = [d for d in new if d.alias is not None]
    for one in new:
        if isinstance(one, Disk):
            number_layers([one], last_layer(after.devices.disks))
        one.prepare(after, caps, host)
    return after, sorted(new, key=lambda one: not isinstance(one, Controller))


def is_raw(device: Device) -> bool:
    """Whether a guest may send a device of the host any command."""
    return isinstance(device, Disk | ScsiHostdev) and bool(device.rawio)


def _same(candidate: Device, wanted: Device) -> bool:
    if wanted.alias is not None and candidate.alias is not None:
        return candidate.alias == wanted.alias
    keys = [(getattr(candidate, k), getattr(wanted, k)) for k in IDENTITY.get(wanted.tag, ())]
    keys = [pair for pair in keys if pair[1] is not None]
    if keys:
        return all(mine == theirs for mine, theirs in keys)
    change = CHANGES.get(type(wanted))  # what can change tells nothing of which is meant
    return _has(candidate, wanted.clone(**dict.fromkeys(change.fields if change else ())))


def _has(candidate: object, wanted: object) -> bool:
    """Whether the one has all that the other says. What it does not say may be anything."""
    if isinstance(wanted, Model):
        said = ((name, getattr(wanted, name)) for name in specs(type(wanted)) if name != "alias")
        return type(candidate) is type(wanted) and all(_has(getattr(candidate, name), value) for name, value in said)
    if isinstance(wanted, list):
        return isinstance(candidate, list) and len(candidate) >= len(wanted) and all(map(_has, candidate, wanted))
    return wanted is None or wanted is False or candidate == wanted


def find_device(guest: Guest, wanted: Device) -> Device:
    """The guest's device that this element means. Raises NoSuchDevice, also when it fits several."""
    found = [d for d in guest.devices.all() if type(d) is type(wanted) and _same(d, wanted)]
    if len(found) != 1:
        what = "no" if not found else "more than one"
        raise NoSuchDevice(f"guest '{guest.name}' has {what} <{wanted.tag}> like this")
    return found[0]


def user_of(guest: Guest, device: Device) -> Device | None:
    """A device that hangs on this controller or hub, which can thus not go."""
    return next((d for d in guest.devices.all() if d is not device and d.address and _hangs_on(d, device)), None)


def _hangs_on(device: Device, what: Device) -> bool:
    match what, device.address:
        case Hub(address=UsbAddress() as hub), UsbAddress() as usb:
            return usb.bus == hub.bus and (usb.port or "").startswith(f"{hub.port}.")
        case Controller(type="pci"), PciAddress() as pci:
            return pci.bus == what.index
        case Controller(type="usb"), UsbAddress() as usb:
            return (usb.bus or 0) == what.index
        case Controller(type="virtio-serial"), VirtioSerialAddress() as port:
            return port.controller == what.index
        case Controller(type="ccid"), CcidAddress() as slot:
            return slot.controller == what.index
        case Controller(), DriveAddress() as drive:
            bus = device.bus if isinstance(device, Disk) else "scsi"
            return bus == what.type and drive.controller == what.index
    return False


def remove_device(guest: Guest, device: Device) -> None:
    """Take a device out of the guest (by identity)."""
    name, several = _slot(device)
    if several:
        held = getattr(guest.devices, name)
        held[:] = [d for d in held if d is not device]
    else:
        setattr(guest.devices, name, None)


def changed_device(guest: Guest, wanted: Device, caps: Capabilities, host: HostFacts) -> Guest:
    """A completed copy of a definition with one device changed. Raises NoSuchDevice, InvalidXML, Unsupported."""
    changed = guest.clone()
    replace_device(changed, find_device(changed, wanted), wanted)
    return complete(changed, caps, host)


def replace_device(guest: Guest, old: Device, new: Device) -> None:
    """Put a changed device in the place of the old one; address and alias stay."""
    name, several = _slot(old)
    changed = new.clone(alias=new.alias or old.alias, address=new.address or old.address)
    if several:
        held = getattr(guest.devices, name)
        held[:] = [changed if d is old else d for d in held]
    else:
        setattr(guest.devices, name, changed)
