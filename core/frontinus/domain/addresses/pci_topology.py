"""PCI buses and what may be plugged where: the map on which addresses are reserved.

A bus is what a PCI controller provides below it, numbered by the controller's index. While a topology is `open` it
grows controllers for devices that find no place; afterwards it only refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from frontinus.api.errors import InvalidXML

PCI, PCIE = "pci", "pcie"
"""Plugs of endpoints. The plug of a PCI controller has its model's name."""
ENDPOINTS = frozenset({PCI, PCIE})
FUNCTIONS = 8
MAX_BUSES = 256


@dataclass(frozen=True)
class Kind:
    """What a model of PCI controller provides. `auto`: devices that nobody placed may go there."""

    accepts: frozenset[str]
    first: int = 1
    last: int = 31
    auto: bool = False
    hotplug: bool = False


def _kind(*accepts: str, first: int = 1, last: int = 31, auto: bool = False, hotplug: bool = False) -> Kind:
    return Kind(frozenset(accepts), first, last, auto, hotplug)


_PORT = _kind(PCIE, "pcie-switch-upstream-port", "pcie-to-pci-bridge", first=0, last=0, auto=True, hotplug=True)
KINDS = {
    "pci-root": _kind(PCI, "pci-bridge", "pci-expander-bus", auto=True, hotplug=True),
    "pci-bridge": _kind(PCI, "pci-bridge", auto=True, hotplug=True),
    "pci-expander-bus": _kind(PCI, "pci-bridge", first=0, auto=True, hotplug=True),
    "pcie-root": _kind(PCIE, "pcie-root-port", "dmi-to-pci-bridge", "pcie-expander-bus"),
    "dmi-to-pci-bridge": _kind(PCI, "pci-bridge", first=0),
    "pcie-to-pci-bridge": _kind(PCI, "pci-bridge", auto=True, hotplug=True),
    "pcie-root-port": _PORT,
    "pcie-switch-downstream-port": _PORT,
    "pcie-switch-upstream-port": _kind("pcie-switch-downstream-port", first=0),
    "pcie-expander-bus": _kind("pcie-root-port", "dmi-to-pci-bridge", first=0),
}
"""By model of PCI controller. Slot 0 of a bridge with a hotplug controller is that controller's own."""
ROOTS = frozenset({"pci-root", "pcie-root"})
FOR_BRIDGE = Kind(frozenset({"pcie-to-pci-bridge"}), 0, 0)
"""A root port grown for a bridge to conventional PCI: nothing else may take it."""


@dataclass(frozen=True)
class Wish:
    """How a device plugs in. `integrated`: on bus 0 only. `shares`: eight of its like may share a slot (root ports).

    `auto`: an endpoint, which without a place of its own goes only where the user wants endpoints to go.
    """

    plug: str
    auto: bool = True
    integrated: bool = False
    shares: bool = False
    hotplug: bool = False


@dataclass(frozen=True, order=True)
class Place:
    """One function: bus, slot, function."""

    bus: int
    slot: int
    function: int = 0

    def __str__(self) -> str:
        return f"0000:{self.bus:02x}:{self.slot:02x}.{self.function:x}"


@dataclass
class Bus:
    """One bus: its kind, the functions in use by slot (bit mask), and the slots that are shared."""

    model: str
    kind: Kind
    used: dict[int, int] = field(default_factory=dict)
    shared: set[int] = field(default_factory=set)

    @property
    def is_full(self) -> bool:
        return all(self.used.get(slot) for slot in range(self.kind.first, self.kind.last + 1))


def bus_of(model: str, hotplug: bool = True) -> Bus:
    """An empty bus below a controller model; `hotplug` off when its user said so."""
    kind = KINDS[model]
    return Bus(model, kind if hotplug else Kind(kind.accepts, kind.first, kind.last, kind.auto))


@dataclass
class Topology:
    """All buses of a guest by index, and the reservations on them."""

    buses: list[Bus]
    open: bool = False
    pcie_to_pci: bool = True
    """Whether this QEMU has the bridge from PCI Express to conventional PCI (else the older DMI bridge serves)."""

    def in_use(self, bus: int, slot: int) -> bool:
        """Whether any function of a slot is taken."""
        return bool(self.buses[bus].used.get(slot))

    def reserve(self, place: Place, wish: Wish, explicit: bool = True) -> Place:
        """Take one function. Returns the place, on another bus if bridges had to be grown. Raises InvalidXML."""
        if self.open and place.bus >= len(self.buses):
            place = Place(self._grow(place.bus, wish), place.slot, place.function)
        self.check(place, wish, explicit)
        bus = self.buses[place.bus]
        functions = bus.used.get(place.slot, 0)
        if functions & 1 << place.function:
            raise InvalidXML(f"PCI address {place} is used twice", element="address")
        if not functions and wish.shares:
            bus.shared.add(place.slot)
        bus.used[place.slot] = functions | 1 << place.function
        return place

    def check(self, place: Place, wish: Wish, explicit: bool = True) -> None:
        """Refuse a place that does not exist or does not fit."""
        if not self.buses:
            raise InvalidXML(f"PCI address {place}: this machine has no PCI bus", element="address")
        if place.bus >= len(self.buses):
            raise InvalidXML(f"PCI address {place}: there is no PCI bus {place.bus}", element="address")
        bus = self.buses[place.bus]
        if not self._fits(place.bus, wish, explicit):
            host = f"the {bus.model} with index {place.bus}"
            raise InvalidXML(f"PCI address {place}: {host} takes no {_described(wish)}", element="address")
        if not bus.kind.first <= place.slot <= bus.kind.last:
            allowed = f"{bus.kind.first:#x}..{bus.kind.last:#x}"
            raise InvalidXML(f"PCI address {place}: slot must be in {allowed} on a {bus.model}", element="address")
        if place.function >= FUNCTIONS:
            raise InvalidXML(f"PCI address {place}: function must be at most 7", element="address")

    def _fits(self, index: int, wish: Wish, explicit: bool) -> bool:
        kind = self.buses[index].kind
        accepts, plugs = kind.accepts, {wish.plug}
        if wish.integrated and index != 0:
            return False
        if explicit:
            # who names a place may put a conventional device into an Express slot, and the reverse
            accepts = accepts | ENDPOINTS if accepts & ENDPOINTS else accepts
            plugs = plugs | {PCI} if wish.plug == "pci-bridge" else plugs
        elif wish.auto and not kind.auto and not wish.integrated:
            return False
        if wish.hotplug and not kind.hotplug:
            return False
        return bool(accepts & plugs)

    def reserve_next(self, wish: Wish, function: int | None = None) -> Place:
        """Take the first free slot that fits (for a root port: the first free function). Raises InvalidXML."""
        place = self._find(wish, function)
        if place is None:
            if not self.open:
                raise InvalidXML(f"no free PCI slot for a {_described(wish)}", element="address")
            index = self._grow(len(self.buses), wish)
            place = Place(index, self.buses[index].kind.first, function or 0)
        return self.reserve(place, wish, explicit=False)

    def _find(self, wish: Wish, function: int | None) -> Place | None:
        for index, bus in enumerate(self.buses):
            if not self._fits(index, wish, explicit=False):
                continue
            for slot in range(bus.kind.first, bus.kind.last + 1):
                used = bus.used.get(slot, 0)
                if not used:
                    return Place(index, slot, function or 0)
                if wish.shares and slot in bus.shared:
                    choices = range(FUNCTIONS) if function is None else (function,)
                    free = next((f for f in choices if not used & 1 << f), None)
                    if free is not None:
                        return Place(index, slot, free)
        return None

    def _grow(self, index: int, wish: Wish) -> int:
        """Add buses up to `index` so that the last one takes the wish; returns the index of that one."""
        missing = index - len(self.buses) + 1
        conventional = any("pci-bridge" in bus.kind.accepts for bus in self.buses)
        if wish.plug == PCI or (wish.plug == "pci-bridge" and conventional):
            model = "pci-bridge"
            if not conventional:
                missing = self._enter_conventional(missing)
        elif wish.plug in (PCIE, "pcie-switch-upstream-port"):
            model = "pcie-root-port"
        else:
            raise InvalidXML(f"there is no PCI bus for a {wish.plug}, and none can be added", element="controller")
        if len(self.buses) + missing > MAX_BUSES:
            raise InvalidXML(f"the devices need more than {MAX_BUSES} PCI buses", element="address")
        self.buses += [bus_of(model) for _ in range(missing)]
        return len(self.buses) - 1

    def _enter_conventional(self, missing: int) -> int:
        """Grow the way from PCI Express to conventional PCI; returns how many buses are still missing."""
        if self.pcie_to_pci:
            self.buses += [Bus("pcie-root-port", FOR_BRIDGE), bus_of("pcie-to-pci-bridge")]
            return max(missing, 2) - 2
        self.buses.append(bus_of("dmi-to-pci-bridge"))
        return max(missing, 2) - 1


def _described(wish: Wish) -> str:
    device = {PCI: "conventional PCI device", PCIE: "PCI Express device"}.get(wish.plug, wish.plug)
    extra = " on bus 0" if wish.integrated else " that can be hot-plugged" if wish.hotplug else ""
    return device + extra
