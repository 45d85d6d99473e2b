"""What can change in a device of a running guest: one row a kind of device, for planning, documents and tests alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.graphics import Graphics
from frontinus.domain.devices.hostdev import PciHostdev, UsbHostdev
from frontinus.domain.devices.interface import Interface
from frontinus.domain.devices.memballoon import Memballoon
from frontinus.domain.devices.memory import MemoryDevice
from frontinus.domain.devices.redirdev import Redirdev
from frontinus.xml.mapping import specs

D = TypeVar("D", bound=Device)


@dataclass(frozen=True)
class Change:
    """Fields that may differ. An element that leaves one of `clear` out takes it away; all others stay then.

    `told`: what the guest tells anyway.
    """

    clear: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.clear, *self.kept, *self.told)


CHANGES: Mapping[type[Device], Change] = {
    Disk: Change(("type", "source", "format", "backing_store", "readonly", "auth", "encryption"),
                 kept=("iotune", "boot_order", "snapshot")),
    Interface: Change(("type", "source", "link", "filter", "filter_parameters", "inbound", "outbound", "isolated", "coalesce",
                       "trust_filters"), kept=("boot_order",)),
    Graphics: Change(("password", "password_until", "connected")),
    MemoryDevice: Change(("requested",), told=("current",)),
    Memballoon: Change(("period",)),
    PciHostdev: Change(kept=("boot_order",)),
    UsbHostdev: Change(kept=("boot_order",)),
    Redirdev: Change(kept=("boot_order",)),
}  # fmt: skip
"""All the rest needs a restart: `--config`."""
NONE = Change()


def merged(old: D, wanted: D) -> D:
    """The changed device: what the element leaves open, and cannot take away, stays as it is."""
    clear = CHANGES.get(type(old), NONE).clear
    stays = {name: getattr(old, name) for name in specs(type(old))
             if name not in clear and getattr(wanted, name) in (None, [])}  # fmt: skip
    return wanted.clone(**stays).clone()


def refuse_fixed(old: Device, new: Device) -> None:
    """Raises Unsupported, naming what cannot change while the guest runs."""
    change = CHANGES.get(type(old))
    if change is None:
        raise Unsupported(f"<{old.tag}> cannot change while the guest runs", element=old.tag)
    if fixed := [spoken(type(old), name) for name in different(old, new) if name not in change.fields]:
        able = ", ".join(spoken(type(old), name) for name in (*change.clear, *change.kept))
        raise Unsupported(
            f"<{old.tag}>: {', '.join(fixed)} cannot change while the guest runs, only {able} can", element=old.tag
        )


def different(old: Device, new: Device) -> Iterator[str]:
    """Names of the fields that differ."""
    return (name for name in specs(type(old)) if getattr(old, name) != getattr(new, name))


def spoken(kind: type[Device], name: str) -> str:
    """A field as its element or attribute: iotune, link state."""
    return specs(kind)[name].path.replace("/", " ").replace("@", "").replace("  ", " ")
