"""What a client wants of a resource that is not so now, and whether a change would make it so. Pure.

What is given and differs from what is shown must be shown afterwards; else the change is refused, and nothing is lost in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from frontinus.api.errors import FrontinusError
from frontinus_cim.instances import ethernet
from frontinus_cim.instances.kinds import Kind, Node
from frontinus_cim.instances.settings import FAMILIES
from frontinus_cim.translation import compose
from frontinus_cim.translation.compose import Wanted
from frontinus_cim.wire import errors
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import Embedded, Value

KEY = "InstanceID"
WHOLE = "system"
"""Stands for a family where a guest as a whole is changed."""
STARTS = (3, 4)
"""Values of AutomaticStartupAction with which a guest starts with its host; the last is shown."""
IN_SHOWN_UNITS: Mapping[str, Callable[[Embedded], Embedded]] = {
    "net": ethernet.in_kilobytes, "mem": compose.in_kibibytes,
}  # fmt: skip
"""By family: settings with their amounts in the unit in which they are shown, whatever AllocationUnits they came in."""


def in_shown_units(family: str, settings: Embedded) -> Embedded:
    """Settings with their amounts in the unit in which they are shown. Raises CimError."""
    convert = IN_SHOWN_UNITS.get(family)
    return convert(settings) if convert else settings


def wanted(node: Node, family: str, settings: Embedded) -> Wanted:
    """Of settings, what is given and is not shown. Raises CimError."""
    return Wanted(family, {
        name: value for name, value in in_shown_units(family, settings).values.items()
        if value is not None and name != KEY and not _says(node.value(name), value, family, name)
    })  # fmt: skip


def check(kind: Kind[Any], after: object, change: Wanted) -> None:
    """Whether all is as wanted in what a resource would be. Raises CimError with the properties that are not."""
    if gone := lost(kind, after, change):
        raise CimError(Status.NOT_SUPPORTED, f"{', '.join(gone)}: this cannot be changed, or not to this value")


def lost(kind: Kind[Any], after: object, change: Wanted) -> list[str]:
    """The properties that would not be as wanted in what a resource would be."""
    node = Node(kind, after)
    return [
        name
        for name, value in change.values.items()
        if not _says(node.value(name), value, change.family, name) and not _said_otherwise(node, change, name)
    ]


@contextmanager
def named(change: Wanted) -> Iterator[None]:
    """What cannot be done names the properties that were to change: the engine speaks of its XML."""
    try:
        yield
    except (CimError, FrontinusError) as error:
        told = error if isinstance(error, CimError) else errors.of(error)
        words = told.message if any(name in told.message for name in change.values) else f"{change}: {told.message}"
        raise CimError(told.status, words) from error


def _says(shown: Value, value: Value, family: str, name: str) -> bool:
    """Whether a property is as it is given. Nothing may be NULL, no text, or the number that stands for nothing."""
    if shown is None or (value is None and shown is False):
        field = FAMILIES[family].fields.get(name) if family in FAMILIES else None
        return value in (None, "", []) or (field is not None and field.none is not None and value == field.none)
    return value == shown


def _said_otherwise(node: Node, change: Wanted, name: str) -> bool:
    told = OTHERWISE.get(name)
    return told is not None and told(node, change)


def _no_vlan(node: Node, change: Wanted) -> bool:
    return change.get("PortVID") == 0 and node.value("PortVID") is None


def _trunk(name: str) -> Callable[[Node, Wanted], bool]:
    """The VLAN of frames without a tag is in the list anyhow."""

    def shown(node: Node, change: Wanted) -> bool:
        listed, given = node.value(name), change.get(name)
        return isinstance(listed, list) and isinstance(given, list) and {*given, node.value("PortVID")} == {*listed}

    return shown


def _is_type(value: Value, family: str) -> bool:
    return isinstance(value, int) and compose.BY_TYPE.get(value) == family


def _listens(node: Node, change: Wanted) -> bool:
    """A display's address may be written in more ways than one."""
    return change.family == "graphics" and compose.listening(change.get("Address")) == compose.listening(
        node.value("Address")
    )


def _boots(node: Node, change: Wanted) -> bool:
    """A device may be called by more than one name."""
    given, shown = change.get("BootDevices"), node.value("BootDevices")
    return isinstance(given, list) and [compose.boot_name(str(one)) for one in given] == shown


def _alike(name: str) -> Callable[[Node, Wanted], bool]:
    """A word may be in small or in capital letters."""
    return lambda node, change: str(change.get(name)).lower() == str(node.value(name)).lower()


def _no_forward(node: Node, change: Wanted) -> bool:
    return change.get("ForwardMode") in ("none", "isolated") and node.value("ForwardMode") == "isolated"


OTHERWISE: Mapping[str, Callable[[Node, Wanted], bool]] = {
    "Password": lambda node, change: change.family == "graphics",  # never shown
    "ResourceType": lambda node, change: _is_type(change.get("ResourceType"), change.family),
    "PortVID": _no_vlan, "DesiredVLANEndpointMode": _no_vlan,
    "AllowedToTransmitVLANs": _trunk("AllowedToTransmitVLANs"), "AllowedToReceiveVLANs": _trunk("AllowedToReceiveVLANs"),
    "Address": _listens, "BootDevices": _boots, "VirtualSystemType": _alike("VirtualSystemType"), "ForwardMode": _no_forward,
    "BootDevice": lambda node, change: compose.boot_name(str(change.get("BootDevice"))) == node.value("BootDevice"),
    "AutomaticStartupAction": lambda node, change: change.get("AutomaticStartupAction") in STARTS and (
        node.value("AutomaticStartupAction") == STARTS[-1]),
}  # fmt: skip
"""Properties that are taken though they are not shown as they were given."""
