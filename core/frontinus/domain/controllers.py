"""Finding controllers of a guest, and adding those that its devices need."""

from __future__ import annotations

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.controller import USB2, Controller
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts


def is_usb2(device: object) -> bool:
    """Whether it is a part of a USB 2 controller: the master or one of its companions."""
    return isinstance(device, Controller) and device.type == "usb" and device.model in USB2


def find_controller(guest: Guest, kind: str, index: int) -> Controller | None:
    """The first controller of a kind and index."""
    return next((c for c in guest.devices.controllers if c.type == kind and c.index == index), None)


def add_controller(guest: Guest, caps: Capabilities, host: HostFacts, kind: str, index: int,
                   model: str | None = None) -> Controller | None:  # fmt: skip
    """Add a controller unless there is one of this kind and index; returns what was added, completed."""
    if find_controller(guest, kind, index) is not None:
        return None
    controller = Controller(type=kind, index=index, model=model)
    devices = guest.devices
    devices.controllers.append(controller)
    controller.complete(guest, caps, host)
    return controller
