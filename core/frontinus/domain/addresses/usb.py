"""USB ports: controllers have ports, hubs on ports have more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.base import Device, UsbAddress
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.hub import Hub
from frontinus.domain.guest import Guest

PORTS = {
    "piix3-uhci": 2, "piix4-uhci": 2, "vt82c686b-uhci": 2, "ehci": 6, "ich9-ehci1": 6, "pci-ohci": 3,
    "nec-xhci": 4, "qemu-xhci": 4, None: 2,
}  # fmt: skip
"""Ports of each controller model; companions have none of their own, those of their master are meant."""
XHCI = frozenset({"nec-xhci", "qemu-xhci"})
HUB_PORTS = 8
DEPTH = 4


@dataclass
class Tree:
    """The ports of a controller or a hub, numbered from 1: what is taken, and the hubs on them."""

    ports: int
    taken: set[int] = field(default_factory=set)
    hubs: dict[int, Tree] = field(default_factory=dict)

    def free(self, depth: int = 1) -> tuple[int, ...] | None:
        """The path to the first free port: here, or else below the first hub that has one."""
        for port in range(1, self.ports + 1):
            if port not in self.taken:
                return (port,)
        for port, hub in sorted(self.hubs.items()) if depth < DEPTH else ():
            below = hub.free(depth + 1)
            if below is not None:
                return (port, *below)
        return None


def ports_of(controller: Controller) -> int:
    """How many ports a USB controller has."""
    if controller.model in XHCI and controller.ports is not None:
        return controller.ports
    return PORTS.get(controller.model, 0)


def usb_devices(guest: Guest) -> Iterator[Device]:
    """Every USB device but hubs, in the order in which they are given ports."""
    devices = guest.devices
    yield from (device for device in devices.hostdevs if device.type == "usb")
    yield from (disk for disk in devices.disks if disk.bus == "usb")
    yield from (card for card in devices.interfaces if card.model == "usb-net")
    yield from (controller for controller in devices.controllers if controller.type == "ccid")
    yield from (device for device in devices.inputs if device.bus == "usb")
    yield from (port for port in devices.serials if port.target == "usb-serial")
    yield from (sound for sound in devices.sounds if sound.model == "usb")
    yield from (device for device in devices.redirdevs if device.bus == "usb")


def ports_known(guest: Guest) -> bool:
    """Whether every USB device and hub says on which port it is."""
    return all(_path(device) for device in (*_users(guest), *guest.devices.hubs))


def _users(guest: Guest) -> list[Device]:
    return [d for d in usb_devices(guest) if d.address is None or isinstance(d.address, UsbAddress)]


def assign_usb(guest: Guest) -> None:
    """Give every USB device a port, adding hubs when the ports do not suffice. Raises InvalidXML."""
    users = _users(guest)
    controllers = [c for c in guest.devices.controllers if c.type == "usb" and ports_of(c)]
    if not users and not guest.devices.hubs:
        return
    if not controllers:
        raise InvalidXML("the guest has USB devices, but no USB", element=(users or guest.devices.hubs)[0].tag)
    _add_hubs(guest, len(users), sum(ports_of(c) for c in controllers))
    buses = _Buses({c.index or 0: Tree(ports_of(c)) for c in reversed(controllers)})
    hubs = [hub for hub in guest.devices.hubs if hub.address is None or isinstance(hub.address, UsbAddress)]
    for hub in hubs:
        if _path(hub):
            buses.add_hub(hub)
    for device in users:
        if _path(device):
            buses.reserve(device)
    for hub in hubs:
        if not _path(hub):
            buses.assign(hub)
            buses.add_hub(hub, reserved=True)
    for device in users:
        if not _path(device):
            buses.assign(device)


def _add_hubs(guest: Guest, users: int, ports: int) -> None:
    needed = users + len(guest.devices.hubs)
    available = ports + HUB_PORTS * len(guest.devices.hubs)
    if needed > available:
        missing = -(-(needed - available + 1) // (HUB_PORTS - 1))  # a hub takes one port itself
        guest.devices.hubs += [Hub(type="usb") for _ in range(missing)]


def _path(device: Device) -> tuple[int, ...]:
    """The ports on the way to a device; empty while it has none."""
    address = device.address
    text = address.port if isinstance(address, UsbAddress) else None
    if not text or text == "0":
        return ()
    parts = text.split(".")
    if len(parts) > DEPTH or not all(part.isdecimal() and 0 < int(part) < 2**16 for part in parts):
        raise InvalidXML(f"<{device.tag}>: '{text}' is no path of USB ports", element=device.tag)
    return tuple(int(part) for part in parts)


class _Buses:
    """All USB buses by index."""

    def __init__(self, trees: dict[int, Tree]) -> None:
        self.trees = trees

    def _tree(self, device: Device, bus: int, path: tuple[int, ...]) -> Tree:
        """The controller or hub that a path of ports ends at, its last port checked."""
        tree = self.trees.get(bus)
        where = f"<{device.tag}>: USB port {'.'.join(map(str, path))} of bus {bus}"
        if tree is None:
            raise InvalidXML(f"<{device.tag}>: there is no USB bus {bus}", element=device.tag)
        for port in path[:-1]:
            below = tree.hubs.get(port)
            if below is None:
                raise InvalidXML(f"{where}: there is no hub on port {port}", element=device.tag)
            tree = below
        if path[-1] > tree.ports:
            raise InvalidXML(f"{where}: there are {tree.ports} ports", element=device.tag)
        return tree

    def reserve(self, device: Device) -> None:
        """Take the port that a device's address names."""
        path, bus = _path(device), _bus(device) or 0
        tree = self._tree(device, bus, path)
        if path[-1] in tree.taken:
            what = f"USB port {'.'.join(map(str, path))} of bus {bus} is used twice"
            raise InvalidXML(f"<{device.tag}>: {what}", element=device.tag)
        tree.taken.add(path[-1])

    def add_hub(self, hub: Device, reserved: bool = False) -> None:
        """Open the ports of a hub."""
        if not reserved:
            self.reserve(hub)
        path = _path(hub)
        self._tree(hub, _bus(hub) or 0, path).hubs[path[-1]] = Tree(HUB_PORTS)

    def assign(self, device: Device) -> None:
        """Take the first free port, of the bus that the address names or of any."""
        wanted = _bus(device)
        if wanted is not None and wanted not in self.trees:
            raise InvalidXML(f"<{device.tag}>: there is no USB bus {wanted}", element=device.tag)
        for bus in sorted(self.trees) if wanted is None else (wanted,):
            path = self.trees[bus].free()
            if path is not None:
                device.address = UsbAddress(bus=bus, port=".".join(map(str, path)))
                self.reserve(device)
                return
        raise InvalidXML(f"<{device.tag}>: no USB port is free", element=device.tag)


def _bus(device: Device) -> int | None:
    return device.address.bus or 0 if isinstance(device.address, UsbAddress) else None
