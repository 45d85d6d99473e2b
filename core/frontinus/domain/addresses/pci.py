"""PCI addresses: fixed places of the chipset first, then every other device in a fixed order.

Two passes. The first finds out, on a copy of the bus map that may grow, which PCI controllers the devices need; the
second, with those controllers in the definition, gives the addresses. Controllers come first in it, so they sit low.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.api.errors import InvalidXML
from frontinus.domain.addresses.connections import placed_devices, placement_order, wish_of
from frontinus.domain.addresses.pci_topology import (
    KINDS,
    MAX_BUSES,
    PCI,
    PCIE,
    ROOTS,
    Bus,
    Place,
    Topology,
    Wish,
    bus_of,
)
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.controllers import add_controller, is_usb2
from frontinus.domain.devices.base import Device, PciAddress
from frontinus.domain.devices.controller import Controller
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts

MAX_BUS = MAX_BUSES - 1
PIIX3_IDE, PIIX3_USB = Place(0, 1, 1), Place(0, 1, 2)
PIIX3_ISA, PIIX3_PM = Place(0, 1, 0), Place(0, 1, 3)
Q35_LPC, Q35_SATA, Q35_SMBUS = Place(0, 0x1F, 0), Place(0, 0x1F, 2), Place(0, 0x1F, 3)
Q35_BRIDGE, Q35_AUDIO = Place(0, 0x1E), Place(0, 0x1B)
Q35_USB = (0x1D, 0x1A)
"""Slots where q35 boards have their USB 2 controllers."""
COMPANION_FUNCTIONS = {"ich9-ehci1": 7, "ich9-uhci1": 0, "ich9-uhci2": 1, "ich9-uhci3": 2}
ENDPOINT, EXPRESS = Wish(PCI), Wish(PCIE)
FIXED, FIXED_EXPRESS = Wish(PCI, auto=True), Wish(PCIE, auto=False)


def place_of(device: Device) -> Place | None:
    """Where a device's PCI address says that it is; None without one, or while it is left open (all zeros)."""
    address = device.address
    if not isinstance(address, PciAddress) or not (address.domain or address.bus or address.slot):
        return None
    return Place(address.bus or 0, address.slot or 0, address.function or 0)


def is_open(device: Device) -> bool:
    """Whether a PCI device still waits for its place."""
    return device.address is None or (isinstance(device.address, PciAddress) and place_of(device) is None)


def put(device: Device, place: Place, multifunction: bool | None = None) -> None:
    """Write a place down."""
    device.address = PciAddress(domain=0, bus=place.bus, slot=place.slot, function=place.function,
                                multifunction=multifunction)  # fmt: skip


def assign_pci(guest: Guest, caps: Capabilities, host: HostFacts, *, hotplug: bool = False) -> None:
    """Give every PCI device its address, and add the controllers that this takes. Raises InvalidXML."""
    controllers = [c for c in guest.devices.controllers if c.type == "pci"]
    if not controllers:
        _refuse_any(guest, caps)
        return
    if max(c.index or 0 for c in controllers) > MAX_BUS:
        raise InvalidXML(f"<controller>: a PCI controller's index is at most {MAX_BUS}", element="controller")
    if not hotplug:
        _Assignment(guest, caps, _topology(guest, caps, grow=True)).add_controllers(host)
    _Assignment(guest, caps, _topology(guest, caps, grow=False), hotplug=hotplug).assign()
    _mark_multifunction(guest)
    for device in placed_devices(guest):
        if isinstance(device.address, PciAddress) and place_of(device) is not None:
            device.address.fill()
    for controller in guest.devices.controllers:
        if controller.type == "pci":
            controller.settle()
            _check_order(controller)


def _check_order(controller: Controller) -> None:
    """Firmware numbers buses from the root outward: a bridge has a higher index than the bus that it sits on."""
    place = place_of(controller)
    if controller.model == "pci-bridge" and place is not None and (controller.index or 0) <= place.bus:
        why = f"a pci-bridge on bus {place.bus} needs a higher index than {controller.index}"
        raise InvalidXML(f"<controller>: {why}", element="controller")


def _refuse_any(guest: Guest, caps: Capabilities) -> None:
    for device in placed_devices(guest):
        if place_of(device) is not None or (is_open(device) and wish_of(device, guest, caps) is not None):
            raise InvalidXML(f"<{device.tag}>: this machine has no PCI bus", element=device.tag)


def _topology(guest: Guest, caps: Capabilities, grow: bool) -> Topology:
    """The buses of the controllers that there are; a gap in their numbering is filled with what the root grows."""
    known = {c.index or 0: c for c in guest.devices.controllers if c.type == "pci"}
    filler = "pcie-root-port" if any(c.model == "pcie-root" for c in known.values()) else "pci-bridge"
    buses: list[Bus] = []
    for index in range(max(known) + 1):
        controller = known.get(index)
        model = (controller.model if controller else filler) or filler
        if model not in KINDS:
            raise InvalidXML(f"<controller>: no PCI controller has model '{model}'", element="controller")
        buses.append(bus_of(model, hotplug=controller is None or controller.hotplug is not False))
    if buses[0].model not in ROOTS:
        raise InvalidXML(f"<controller>: the PCI controller with index 0 is the machine's root bus, not a {buses[0].model}",
                         element="controller")  # fmt: skip
    return Topology(buses, open=grow, pcie_to_pci=caps.has_type("pcie-pci-bridge"))


class _Assignment:
    """One pass over all devices."""

    def __init__(self, guest: Guest, caps: Capabilities, topology: Topology, *, hotplug: bool = False) -> None:
        self.guest, self.caps, self.topology, self.hotplug = guest, caps, topology, hotplug
        self._take_in()
        if guest.is_i440fx:
            self._piix3()
        elif guest.is_q35:
            self._q35()

    def _wish(self, device: Device) -> Wish | None:
        return wish_of(device, self.guest, self.caps, hotplug=self.hotplug)

    def _take_in(self) -> None:
        """Reserve what the definition says."""
        for device in placed_devices(self.guest):
            place = place_of(device)
            if place is None:
                continue
            if isinstance(device.address, PciAddress) and device.address.domain:
                raise InvalidXML(f"<{device.tag}>: only PCI domain 0 exists", element=device.tag)
            if self._is_piix3(device, place):
                continue
            wish = wish_of(device, self.guest, self.caps) or Wish(PCI, auto=False)
            taken = self._reserve(device, place, wish)
            if taken != place:
                put(device, taken, device.address.multifunction if isinstance(device.address, PciAddress) else None)

    def _reserve(self, device: Device, place: Place, wish: Wish) -> Place:
        if place.bus > MAX_BUS:
            raise InvalidXML(f"<{device.tag}>: PCI address {place}: there are {MAX_BUS + 1} buses", element=device.tag)
        try:
            return self.topology.reserve(place, wish)
        except InvalidXML as error:
            raise InvalidXML(f"<{device.tag}>: {error.message}", element=device.tag) from None

    def _is_piix3(self, device: Device, place: Place) -> bool:
        """IDE and USB of the pc machine's own chip are reserved with the chip."""
        if not isinstance(device, Controller) or device.index or (place.bus, place.slot) != (0, 1):
            return False
        ours = (device.type == "ide" and place == PIIX3_IDE) or (_is_piix3_usb(device) and place == PIIX3_USB)
        if ours and PCI not in self.topology.buses[0].kind.accepts:
            raise InvalidXML("<controller>: PIIX3 controllers sit on a conventional PCI bus 0", element="controller")
        return ours

    # --- what the chipset holds

    def _piix3(self) -> None:
        for controller in self.guest.devices.controllers:
            own = PIIX3_IDE if controller.type == "ide" else PIIX3_USB if _is_piix3_usb(controller) else None
            if own is not None and not controller.index:
                self._fix(controller, own)
                self._hold(own, FIXED)
        self._hold(PIIX3_ISA, FIXED)
        self._hold(PIIX3_PM, FIXED)
        self._primary_video(Place(0, 2), FIXED)

    def _q35(self) -> None:
        for controller in self.guest.devices.controllers:
            if controller.type == "sata" and not controller.index:
                fresh = place_of(controller) is None
                self._fix(controller, Q35_SATA)
                if fresh:
                    self._hold(Q35_SATA, FIXED_EXPRESS)
            elif controller.type == "usb" and controller.model == "ich9-uhci1" and controller.address is None:
                slot = next((slot for slot in Q35_USB if not self.topology.in_use(0, slot)), None)
                if slot is not None:
                    put(controller, self.topology.reserve(Place(0, slot), FIXED_EXPRESS), multifunction=True)
            elif (controller.model == "dmi-to-pci-bridge" and controller.address is None
                  and not self.topology.in_use(0, Q35_BRIDGE.slot)):  # fmt: skip
                put(controller, self.topology.reserve(Q35_BRIDGE, FIXED_EXPRESS))
        self._hold(Q35_LPC, FIXED_EXPRESS)
        self._hold(Q35_SMBUS, FIXED_EXPRESS)
        self._primary_video(Place(0, 1), FIXED_EXPRESS)
        sound = next((s for s in self.guest.devices.sounds if s.model == "ich9" and is_open(s)), None)
        if sound is not None and not self.topology.in_use(0, Q35_AUDIO.slot):
            put(sound, self.topology.reserve(Q35_AUDIO, FIXED_EXPRESS))

    def _hold(self, place: Place, wish: Wish) -> None:
        """Reserve what the chipset has, whether the definition names it or not."""
        try:
            self.topology.reserve(place, wish)
        except InvalidXML:
            what = f"PCI address {place} belongs to the machine's chipset, no other device can have it"
            raise InvalidXML(what, element="address") from None

    def _fix(self, controller: Controller, place: Place) -> None:
        """A controller of the chipset has one place."""
        if is_open(controller):
            put(controller, place)
        elif place_of(controller) != place:
            what = f"{controller.type} controller 0 is part of the chipset"
            raise InvalidXML(f"<controller>: {what}, at PCI address {place}", element="controller")

    def _primary_video(self, place: Place, wish: Wish) -> None:
        """QEMU puts the first display on the first slot that the chipset leaves."""
        video = next(iter(self.guest.devices.videos), None)
        if video is None or not is_open(video) or self._wish(video) is None:
            return
        if self.topology.in_use(place.bus, place.slot):
            self._next(video)
        else:
            put(video, self.topology.reserve(place, wish))

    # --- everything else

    def _next(self, device: Device, function: int | None = None) -> None:
        wish = self._wish(device)
        if wish is None:
            return
        try:
            place = self.topology.reserve_next(wish, function)
        except InvalidXML as error:
            raise InvalidXML(f"<{device.tag}>: {error.message}", element=device.tag) from None
        if not self.topology.open:
            put(device, place)

    def _companion(self, controller: Controller) -> None:
        """The parts of a USB 2 controller share a slot, each with its own function."""
        function = COMPANION_FUNCTIONS[controller.model or ""]
        multifunction = True if function == 0 else None
        for other in self.guest.devices.controllers:
            place = place_of(other) if is_usb2(other) and other.index == controller.index else None
            if place is not None:
                wish = self._wish(controller) or ENDPOINT
                place = self._reserve(controller, Place(place.bus, place.slot, function), wish)
                put(controller, place, multifunction)
                return
        self._next(controller, function)
        if isinstance(controller.address, PciAddress):
            controller.address.multifunction = multifunction

    def assign(self) -> None:
        """Place every device that is left."""
        for device in placement_order(self.guest):
            if not is_open(device) or self._wish(device) is None:
                continue
            if isinstance(device, Controller) and is_usb2(device):
                self._companion(device)
            else:
                self._next(device)

    def add_controllers(self, host: HostFacts) -> None:
        """Find out which controllers the devices need, and add those."""
        topology, guest = self.topology, self.guest
        highest = len(topology.buses) - 1
        models = {c.model for c in guest.devices.controllers if c.type == "pci"}
        if "pci-root" in models and not all(bus.is_full for bus in topology.buses):
            topology.reserve_next(ENDPOINT)  # room for one more device, or for a bridge
        self.assign()
        if highest == 0 and len(topology.buses) > 1 and "pcie-root" in models:
            topology.reserve_next(EXPRESS)  # a new guest that manages no buses of its own gets a port to plug into
        index = 1
        while index < len(topology.buses):
            added = add_controller(guest, self.caps, host, "pci", index, topology.buses[index].model)
            if added is not None:
                self._next(added)
            index += 1


def _is_piix3_usb(controller: Controller) -> bool:
    return controller.type == "usb" and controller.model in (None, "piix3-uhci")


def _functions(guest: Guest) -> Iterator[tuple[Place, PciAddress]]:
    for device in placed_devices(guest):
        place = place_of(device)
        if place is not None and isinstance(device.address, PciAddress):
            yield place, device.address


def _mark_multifunction(guest: Guest) -> None:
    """Function 0 of a slot with several functions must say so; who says no is believed."""
    several = {(place.bus, place.slot) for place, _ in _functions(guest) if place.function}
    for place, address in _functions(guest):
        if not place.function and (place.bus, place.slot) in several and address.multifunction is None:
            address.multifunction = True
