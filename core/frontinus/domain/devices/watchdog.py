"""The <watchdog> device: what happens when the guest stops feeding it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import xml
from frontinus.xml.codecs import one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest

ACTIONS = ("reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi")
"""A dump is ours: QEMU pauses the guest and tells us."""
BUILT_IN = "itco"
"""The watchdog inside q35's chipset: no device is added for it."""


class Watchdog(Device, tag="watchdog"):
    """A <watchdog> element."""

    model: str = xml("@model", one_of("i6300esb", "ib700", BUILT_IN, "diag288"), required=True)
    action: str = xml("@action", one_of(*ACTIONS), default="reset")

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        name = f"<watchdog> of model '{self.model}'"
        if self.model == "diag288":
            yield f"{name} exists on s390 alone"
        yield from placed(name, self.address, *(("pci",) if self.model == "i6300esb" else ()))
        if self.model == BUILT_IN and not guest.is_q35:
            yield f"{name} exists on q35 machines alone"
        if self.model in ("i6300esb", "ib700") and not caps.has_type(self.model):
            yield Lacking(f"{name} is not supported by this QEMU")
        others = guest.devices.watchdogs
        if others[0] is self:
            yield from _conflicts(others)


def _conflicts(watchdogs: list[Watchdog]) -> Iterator[str]:
    """QEMU has one action for all."""
    models = [watchdog.model for watchdog in watchdogs]
    for model in {model for model in models if models.count(model) > 1}:
        yield f"<watchdog>: more than one of model '{model}'"
    if len({watchdog.action for watchdog in watchdogs}) > 1:
        yield "<watchdog>: all watchdogs of a guest have the same action"
