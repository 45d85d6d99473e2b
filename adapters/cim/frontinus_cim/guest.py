"""A guest as the provider knows it, and the parts that it is shown as: each with the name that its instances carry. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from frontinus.api.views import GuestStats, GuestView
from frontinus.client.details import EMPTY, Details, Device


@dataclass(eq=False)
class Guest:
    """One guest. `details` is what its XML said last; `stale`: the XML may say something else by now."""

    view: GuestView
    host: str
    details: Details = EMPTY
    stale: bool = True
    figures: GuestStats | None = None
    requested: int = 12
    """RequestedState: what was asked for last through this provider; 12 (Not Applicable) before."""
    transition: int = 12
    """TransitioningToState: what a change of state that is under way leads to; 12 when there is none."""
    _parts: dict[str, Part] | None = field(default=None, repr=False)
    cache: dict[str, str] = field(default_factory=dict, repr=False)
    """Instances of this guest as they were written, until something of it changes."""

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def parts(self) -> Mapping[str, Part]:
        """Memory, processors and devices by the names that they have within the guest."""
        if self._parts is None:
            self._parts = _parts(self)
        return self._parts

    def of(self, *families: str) -> list[Part]:
        return [part for part in self.parts.values() if part.family in families]

    def show(self, view: GuestView) -> None:
        """A new view. The parts depend on it as well: there are as many processors as it says."""
        self.view, self._parts = view, None
        self.cache.clear()

    def describe(self, details: Details) -> None:
        self.details, self.stale, self._parts = details, False, None
        self.cache.clear()


@dataclass(frozen=True)
class Part:
    """A part of a guest: `name` within the guest, `family` of FAMILIES, and what its element says."""

    guest: Guest
    name: str
    family: str
    device: Device
    number: int = 0

    @property
    def id(self) -> str:
        """As clients of KVM hosts know it: the guest's name, a slash, the part's."""
        return f"{self.guest.name}/{self.name}"


FAMILIES: Mapping[str, tuple[str, Callable[[Device], str]]] = {
    "disk": ("disk", lambda d: d["target/@dev"]),
    "interface": ("net", lambda d: d["mac/@address"]),
    "graphics": ("graphics", lambda d: f"graphics:{d['@type']}"),
    "console": ("console", lambda d: f"charconsole:{d['target/@port'] or '0'}"),
    "serial": ("console", lambda d: f"charserial:{d['target/@port'] or '0'}"),
    "input": ("input", lambda d: f"{d['@type']}:{d['@bus']}"),
    "controller": ("controller", lambda d: f"controller:{d['@type']}:{d['@index']}"),
    "video": ("video", lambda d: f"video:{d['model/@type']}"),
}
"""By element: the family of parts that it belongs to, and its name within the guest."""
NOTHING = Device("", {})


def _parts(guest: Guest) -> dict[str, Part]:
    found = {"mem": Part(guest, "mem", "mem", NOTHING), "proc": Part(guest, "proc", "proc", NOTHING)}
    for device in guest.details.devices:
        family, name_of = FAMILIES.get(device.tag, ("", None))
        if name_of is None or (device.tag == "console" and _doubles_serial(guest, device)):
            continue
        plain = name_of(device)
        name, number = plain, 1
        while name in found:
            number += 1
            name = f"{plain}#{number}"
        found[name] = Part(guest, name, family, device, number - 1)
    return found


def _doubles_serial(guest: Guest, device: Device) -> bool:
    """Whether a console is only the first serial port's other name."""
    return device["target/@type"] in ("serial", "") and any(d.tag == "serial" for d in guest.details.devices)
