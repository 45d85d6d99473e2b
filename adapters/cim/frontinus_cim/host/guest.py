"""A guest as the provider knows it, and the parts that it is shown as: each with the name that its instances carry. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import structs

from frontinus.api.engine import Engine
from frontinus.api.errors import Unsupported
from frontinus.api.snapshots import SnapshotView
from frontinus.api.views import GuestStats, GuestView
from frontinus.client.details import EMPTY, Details, Device, details

if TYPE_CHECKING:
    from frontinus_cim.host.mirror import Mirror


DEFINED = "/defined"
"""What the ids of settings of the next start have after the guest's name, which has no slash."""
KIB = 1024


def _as_defined(view: GuestView, found: Details) -> GuestView:
    """What a definition says of a guest: the view that it would have if it did not run."""
    vcpus, memory = found["vcpu"], found["memory"]
    return structs.replace(
        view, active=False, id=None, state="shutoff", title=found["title"] or None, description=found["description"] or None,
        max_vcpus=int(vcpus or 1), vcpus=int(found["vcpu/@current"] or vcpus or 1), max_memory=int(memory or 0) * KIB,
        memory=int(found["currentMemory"] or memory or 0) * KIB, virt_type=found["@type"] or view.virt_type,
    )  # fmt: skip


@dataclass(eq=False)
class Guest:
    """One guest. `details` is what its XML said last."""

    view: GuestView
    mirror: Mirror
    details: Details = EMPTY
    snapshots: tuple[SnapshotView, ...] = ()
    figures: GuestStats | None = None
    requested: int = 12
    """RequestedState: what was asked for last through this provider; 12 (Not Applicable) before."""
    transition: int = 12
    """TransitioningToState: what a change of state that is under way leads to; 12 when there is none."""
    _parts: dict[str, Part] | None = field(default=None, repr=False)
    cache: dict[str, str] = field(default_factory=dict, repr=False)
    """Instances of this guest as they were written, until something of it changes."""
    next: Guest | None = None
    """The guest as its next start will have it, while it runs and is defined; otherwise its own settings are that too."""
    defined: bool = False
    """Whether this is what another guest's `next` is."""

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
        if not (view.active and view.persistent):
            self.next = None
        elif self.next is not None:
            self.next.show(_as_defined(view, self.next.details))

    def describe(self, details: Details) -> None:
        self.details, self._parts = details, None
        self.cache.clear()

    async def read(self, engine: Engine) -> None:
        """What its definition, its next start's and its snapshots say now."""
        uuid = self.view.uuid
        self.describe(details(await engine.guest_xml(uuid)))
        if self.view.active and self.view.persistent:
            self._describe_next(details(await engine.guest_xml(uuid, ["inactive"])))
        with suppress(Unsupported):
            self.snapshots = tuple(await engine.snapshots(uuid))

    def _describe_next(self, found: Details) -> None:
        view = _as_defined(self.view, found)
        if self.next is None:
            self.next = Guest(view, self.mirror, defined=True)
        self.next.view = view
        self.next.describe(found)


def where(guest: Guest) -> Mapping[str, bool]:
    """A change holds now and later, as far as the guest has a now and a later; of settings of the next start, later only."""
    return {"live": guest.view.active, "config": guest.view.persistent}


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
        """As clients of KVM hosts know it: the guest's name, a slash, the part's. What the next start will have is marked."""
        return f"{self.guest.name}{DEFINED if self.guest.defined else ''}/{self.name}"


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


def named(devices: Sequence[Device]) -> Iterator[tuple[int, str, str]]:
    """The devices that are parts: place among all, name within the guest, family. No two names are the same."""
    taken: set[str] = {"mem", "proc"}
    serial = any(device.tag == "serial" for device in devices)
    for place, device in enumerate(devices):
        family, name_of = FAMILIES.get(device.tag, ("", None))
        if name_of is None or (device.tag == "console" and serial and device["target/@type"] in ("serial", "")):
            continue  # a console may be only the first serial port's other name
        plain = name_of(device)
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}#{number}"
        taken.add(name)
        yield place, name, family


def _parts(guest: Guest) -> dict[str, Part]:
    found = {"mem": Part(guest, "mem", "mem", NOTHING), "proc": Part(guest, "proc", "proc", NOTHING)}
    devices = guest.details.devices
    found.update((name, Part(guest, name, family, devices[place])) for place, name, family in named(devices))
    return found
