"""From settings of a switch to a network's definition, by the same table that reads it. Pure."""

from __future__ import annotations

from lxml import etree

from frontinus.client.details import facts
from frontinus_cim.instances import ethernet, fields
from frontinus_cim.instances.fields import Element, put, text
from frontinus_cim.instances.switch_settings import (
    DIRECT,
    FIELDS,
    OTHER,
    VEB,
    VEPA,
    VIRTUAL_SYSTEM_TYPE,
    evb_mode,
    forward,
    netmask,
)
from frontinus_cim.wire.errors import invalid
from frontinus_cim.wire.model import Embedded, Value

MOST_VLANS = 4094
BY_EVB_MODE = {VEB: "bridge", VEPA: "vepa", DIRECT: "passthrough", OTHER: "private"}
"""The forward mode that EVBMode means where ForwardMode does not say."""
OWN = ("uuid", "name", "mac", "bridge/@name")
"""What of a definition is one network's alone."""


def definition(whole: Embedded, reference: Element | None) -> tuple[str, str]:
    """A new network's name and definition. `reference`: one to begin with. Raises CimError."""
    values = whole.values
    name = values.get("VirtualSystemIdentifier") or values.get("ElementName")
    if not isinstance(name, str) or not name:
        raise invalid("VirtualSystemIdentifier or ElementName must name the switch")
    if (kind := values.get("VirtualSystemType")) not in (None, "", VIRTUAL_SYSTEM_TYPE):
        raise invalid(f"VirtualSystemType '{str(kind)[:40]}' is not offered; {VIRTUAL_SYSTEM_TYPE} is")
    network = reference if reference is not None else etree.Element("network")
    for path in OWN:
        put(network, path, None)
    put(network, "name", name)
    if isinstance(uuid := values.get("UUID"), str) and uuid:
        put(network, "uuid", uuid)
    update(network, whole)
    return name, text(network)


def update(network: Element, settings: Embedded) -> None:
    """Change a definition by the properties that a switch's settings have. Raises CimError."""
    values, before = settings.values, facts(network)
    if (
        wanted := _forward(values.get("ForwardMode"), values.get("EVBMode"), forward(before), evb_mode(before))
    ) is not None:
        put(network, "forward", None)
        if wanted != "isolated":
            put(network, "forward/@mode", wanted)
    mask = values.get("Netmask")
    if mask and mask != netmask(before):
        put(network, "ip/@prefix", None)
    fields.update(network, FIELDS, {**values, "Netmask": None} if mask == netmask(before) else values)
    _vlans(network, values.get("VLANConnection"))


def _forward(mode: Value, evb: Value, now: str, evb_now: int) -> str | None:
    """The forward mode that is wanted, None where it stays."""
    if isinstance(mode, str) and mode:
        wanted = "isolated" if mode == "none" else mode
        if wanted != now:
            return wanted
    if evb is None or evb == evb_now:
        return None
    if evb not in BY_EVB_MODE or not isinstance(evb, int):
        raise invalid(f"EVBMode {evb} is not offered")
    return BY_EVB_MODE[evb]


def _vlans(network: Element, given: Value) -> None:
    if not isinstance(given, list):
        return
    if len(given) > MOST_VLANS or not all(isinstance(one, str) and one.isascii() and one.isdecimal() for one in given):
        raise invalid("VLANConnection holds the numbers of VLANs")
    ids = [int(str(one)) for one in given]
    if ids != ethernet.tags(facts(network)):
        ethernet.put_tags(network, ids, trunk=len(ids) > 1)
