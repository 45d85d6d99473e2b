"""Ports of Ethernet as settings (DSP1050): rates, VLANs and virtual ports of an <interface>, read and written. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace

from lxml import etree

from frontinus.api.tuning import InterfaceParameters, Rate
from frontinus.client.details import Facts, facts
from frontinus_cim.instances.fields import Element, Field
from frontinus_cim.wire.errors import invalid
from frontinus_cim.wire.model import Embedded, Value

UNIT = "byte / second * 10^3"
"""Of every rate: a kilobyte of <bandwidth> is a thousand bytes where it counts a second's, as for tc(8)."""
RATE_UNIT = re.compile(r"(byte|bit)\s*/\s*second(?:\s*\*\s*(2|10)\s*\^\s*(\d{1,2}))?", re.ASCII)
OLD_UNITS = {
    "kilobytes per second": 10**3,
    "megabytes per second": 10**6,
    "bytes per second": 1,
    "bits per second": 1 / 8,
}
ACCESS, TRUNK = 2, 5
"""Values of DesiredVLANEndpointMode that there are here."""
FIELDS: Mapping[str, Field] = {
    "Limit": Field("bandwidth/outbound/@average", number=True, none=0),
    "TransmitBandwidthPeak": Field("bandwidth/outbound/@peak", number=True, none=0),
    "TransmitBandwidthBurst": Field("bandwidth/outbound/@burst", number=True, none=0),
    "ReceiveBandwidthLimit": Field("bandwidth/inbound/@average", number=True, none=0),
    "ReceiveBandwidthPeak": Field("bandwidth/inbound/@peak", number=True, none=0),
    "ReceiveBandwidthBurst": Field("bandwidth/inbound/@burst", number=True, none=0),
    "ReceiveBandwidthReservation": Field("bandwidth/inbound/@floor", number=True, none=0),
    "VSITypeID": Field("virtualport/parameters/@typeid", number=True),
    "VSITypeIDVersion": Field("virtualport/parameters/@typeidversion", number=True),
    "ManagerID": Field("virtualport/parameters/@managerid", number=True),
    "PortCorrelationID": Field("virtualport/parameters/@instanceid"),
}
"""What the port of a guest's interface has, by CIM_EthernetPortAllocationSettingData's names and some of our own."""
RATES = (
    "Limit",
    "TransmitBandwidthPeak",
    "ReceiveBandwidthLimit",
    "ReceiveBandwidthPeak",
    "ReceiveBandwidthReservation",
)


# --- VLANs


def tags(found: Facts, prefix: str = "vlan/") -> list[int]:
    """The VLANs of an element, in its order."""
    return [
        int(text) for path, text in found.items() if re.fullmatch(rf"{prefix}tag(#\d+)?/@id", path) and text.isdecimal()
    ]


def _native(found: Facts) -> int | None:
    """The VLAN of a trunk's frames without a tag."""
    place = next((path.removesuffix("@nativeMode") for path in found if path.endswith("/@nativeMode")), None)
    return int(found[f"{place}@id"]) if place else None


def mode(found: Facts) -> int | None:
    """DesiredVLANEndpointMode; a port without VLANs has none."""
    listed = tags(found)
    if not listed:
        return None
    return TRUNK if len(listed) > 1 or found.get("vlan/@trunk") == "yes" else ACCESS


def port_vid(found: Facts) -> int | None:
    return tags(found)[0] if mode(found) == ACCESS else _native(found)


def allowed(found: Facts) -> list[int] | None:
    """The VLANs of a trunk."""
    return tags(found) if mode(found) == TRUNK else None


VLAN_PROPERTIES: Mapping[str, Callable[[Facts], Value]] = {
    "DesiredVLANEndpointMode": mode, "PortVID": port_vid, "AllowedToTransmitVLANs": allowed, "AllowedToReceiveVLANs": allowed,
}  # fmt: skip


def write_vlans(nic: Element, values: Mapping[str, Value]) -> None:
    """Give an interface the VLANs that settings say, if they say others than it has. Raises CimError."""
    before = facts(nic)
    wanted = {name: read(before) for name, read in VLAN_PROPERTIES.items()}
    given = {name: values[name] for name in wanted if values.get(name) is not None and values[name] != wanted[name]}
    if not given:
        return
    lists = [given[name] for name in ("AllowedToTransmitVLANs", "AllowedToReceiveVLANs") if name in given]
    if len(lists) == 2 and lists[0] != lists[1]:
        raise invalid("AllowedToTransmitVLANs and AllowedToReceiveVLANs are the same list here")
    chosen = values.get("DesiredVLANEndpointMode") or (TRUNK if lists else wanted["DesiredVLANEndpointMode"] or ACCESS)
    vid = given.get("PortVID", wanted["PortVID"])
    if chosen == ACCESS:
        if lists:
            raise invalid(
                "an access port has one VLAN, in PortVID; AllowedToTransmitVLANs is for DesiredVLANEndpointMode 5"
            )
        if not isinstance(vid, int):
            raise invalid("DesiredVLANEndpointMode: an access port needs PortVID")
        put_tags(nic, [vid] if vid else [])
    elif chosen == TRUNK:
        _write_trunk(nic, before, lists[0] if lists else tags(before), vid)
    else:
        raise invalid(f"DesiredVLANEndpointMode {chosen} is not offered; 2 (access) and 5 (trunk) are")


def _write_trunk(nic: Element, before: Facts, listed: Value, vid: Value) -> None:
    ids = [one for one in listed if isinstance(one, int)] if isinstance(listed, list) else []
    native = vid if isinstance(vid, int) and vid else None
    if native is not None and native not in ids:
        ids.append(native)
    if not ids:
        raise invalid("a trunk needs AllowedToTransmitVLANs")
    how = next((text for path, text in before.items() if path.endswith("/@nativeMode")), "untagged")
    put_tags(nic, ids, trunk=True, native=native, how=how)


def put_tags(
    holder: Element, ids: list[int], *, trunk: bool = False, native: int | None = None, how: str = "untagged"
) -> None:
    """Write <vlan>, or take it away."""
    if (old := holder.find("vlan")) is not None:
        holder.remove(old)
    if not ids:
        return
    vlan = etree.SubElement(holder, "vlan")
    if trunk:
        vlan.set("trunk", "yes")
    for one in ids:
        tag = etree.SubElement(vlan, "tag", id=str(one))
        if one == native:
            tag.set("nativeMode", how)


# --- rates


def in_kilobytes(settings: Embedded) -> Embedded:
    """Settings with their rates in UNIT, whatever AllocationUnits they came in. Raises CimError."""
    values = dict(settings.values)
    if not any(values.get(name) for name in RATES):
        return settings
    factor = _bytes(str(values.pop("AllocationUnits", None) or UNIT))
    rates = {name: _rate(value, factor) for name in RATES if isinstance(value := values.get(name), int)}
    return replace(settings, values={**values, **rates})


def _rate(value: int, factor: float) -> int:
    """Whole kilobytes a second, and no less than one of what is not nothing."""
    return max(int(value * factor) // 1000, 1) if value else 0


def _bytes(unit: str) -> float:
    """Bytes per second in a unit."""
    plain = unit.strip().lower()
    if plain in OLD_UNITS:
        return OLD_UNITS[plain]
    found = RATE_UNIT.fullmatch(plain)
    if found is None:
        raise invalid(f"AllocationUnits '{unit[:40]}' is no rate; {UNIT} and the like are")
    power = int(found[2]) ** int(found[3]) if found[2] else 1
    return float(power) if found[1] == "byte" else power / 8


def limits(before: Facts, after: Facts) -> InterfaceParameters | None:
    """The rates that are others, for the engine to change while a guest runs; None if they stay."""
    both = {way: (_direction(before, way), _direction(after, way)) for way in ("inbound", "outbound")}
    changed = {way: now for way, (old, now) in both.items() if old != now}
    return InterfaceParameters(**changed) if changed else None


def _direction(found: Facts, way: str) -> Rate:
    read = {name: found.get(f"bandwidth/{way}/@{name}", "") for name in ("average", "peak", "burst", "floor")}
    return Rate(**{name: int(text) for name, text in read.items() if text.isdecimal()})


def with_rates_of(nic: Element, other: Element) -> Element:
    """An interface with the <bandwidth> of another."""
    made = deepcopy(nic)
    for rates in made.findall("bandwidth"):
        made.remove(rates)
    made.extend(deepcopy(rates) for rates in other.findall("bandwidth"))
    return made


READ: Mapping[str, Callable[[Facts], Value]] = {name: field.read for name, field in FIELDS.items()} | dict(
    VLAN_PROPERTIES
)
"""How each property of a port's settings is read."""
