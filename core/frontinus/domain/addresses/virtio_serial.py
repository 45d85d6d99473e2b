"""Ports of virtio-serial controllers. Port 0 is a console's; channels begin at 1."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.controllers import add_controller, find_controller
from frontinus.domain.devices.base import Device, VirtioSerialAddress
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts

DEFAULT_PORTS = 31


def assign_virtio_serial(guest: Guest, caps: Capabilities, host: HostFacts) -> None:
    """Give channels and consoles their ports, adding a controller when all are full. Raises InvalidXML.

    A console whose address says no port is only counted: its port is QEMU's to choose, as it always was.
    """
    taken: dict[int, set[int]] = {}
    devices = guest.devices
    consoles: list[Device] = [console for console in devices.consoles if console.target == "virtio"]
    channels: list[Device] = [channel for channel in devices.channels if channel.target == "virtio"]
    for device in (*consoles, *channels):
        address = device.address
        if isinstance(address, VirtioSerialAddress) and address.port:
            _reserve(guest, taken, device, address.controller, address.port)
    for device in (*consoles, *channels):
        address = device.address
        if isinstance(address, VirtioSerialAddress) and not address.port:
            port = _free(guest, taken, address.controller, 1)
            if port is None:
                what = f"no port of virtio-serial controller {address.controller} is free"
                raise InvalidXML(f"<{device.tag}>: {what}", element=device.tag)
            place = (address.controller, port)
        elif address is None:
            place = _next(guest, caps, host, taken, 0 if device.tag == "console" else 1)
        else:
            continue
        _reserve(guest, taken, device, *place)
        if device.tag == "channel":
            device.address = VirtioSerialAddress(controller=place[0], bus=0, port=place[1])


def _size(guest: Guest, index: int) -> int | None:
    controller = find_controller(guest, "virtio-serial", index)
    if controller is None:
        return None
    return DEFAULT_PORTS if controller.ports is None else controller.ports


def _reserve(guest: Guest, taken: dict[int, set[int]], device: Device, controller: int, port: int) -> None:
    size = _size(guest, controller)
    if size is None:
        raise InvalidXML(f"<{device.tag}>: there is no virtio-serial controller {controller}", element=device.tag)
    where = f"<{device.tag}>: port {port} of virtio-serial controller {controller}"
    if port >= size:
        raise InvalidXML(f"{where}: there are {size} ports", element=device.tag)
    if port in taken.setdefault(controller, set()):
        raise InvalidXML(f"{where} is used twice", element=device.tag)
    taken[controller].add(port)


def _free(guest: Guest, taken: dict[int, set[int]], controller: int, first: int) -> int | None:
    used = taken.get(controller, set())
    return next((port for port in range(first, _size(guest, controller) or 0) if port not in used), None)


def _next(guest: Guest, caps: Capabilities, host: HostFacts, taken: dict[int, set[int]],
          first: int) -> tuple[int, int]:  # fmt: skip
    """The first free port of the lowest controller that has one, of a new controller if none has."""
    known = sorted(c.index or 0 for c in guest.devices.controllers if c.type == "virtio-serial")
    for index in known:
        port = _free(guest, taken, index, first)
        if port is not None:
            return index, port
    index = next(n for n in range(len(known) + 1) if n not in known)
    add_controller(guest, caps, host, "virtio-serial", index)
    return index, first
