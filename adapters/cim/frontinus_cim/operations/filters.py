"""Network filters changed by CreateInstance, ModifyInstance and DeleteInstance of their lists, entries and associations."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.client.details import Device, facts, parse
from frontinus_cim.host.guest import Part, where
from frontinus_cim.host.mirror import by_name
from frontinus_cim.host.resources import Filter
from frontinus_cim.instances import filters
from frontinus_cim.instances.fields import Element, put
from frontinus_cim.instances.filters import (
    ENTRY,
    ETHERNET,
    ETHERNETS,
    IP,
    IP_PROTOCOLS,
    LINKS,
    LISTS,
    RULES,
    Listed,
    Rule,
)
from frontinus_cim.instances.kinds import Found, Node, Pair
from frontinus_cim.methods.define import checked
from frontinus_cim.methods.resources import elements
from frontinus_cim.operations.call import Call
from frontinus_cim.translation import new
from frontinus_cim.wire.errors import CimError, Status, invalid
from frontinus_cim.wire.model import Embedded, Path, Value

LIST, ENTRIES = filters.LIST, (ENTRY, IP, ETHERNET)
NESTED, APPLIED = "KVM_NestedFilterList", "KVM_AppliedFilterList"
DIRECTIONS = {number: word for word, number in filters.DIRECTIONS.items()}
ACTIONS = {1: "accept", 2: "drop", 3: "continue"}
WHERE: Mapping[str, str] = {
    "HdrSrcAddress": "srcipaddr", "HdrSrcMask": "srcipmask", "HdrDestAddress": "dstipaddr", "HdrDestMask": "dstipmask",
    "HdrSrcPortStart": "srcportstart", "HdrSrcPortEnd": "srcportend", "HdrDestPortStart": "dstportstart",
    "HdrDestPortEnd": "dstportend", "HdrSrcMACAddr8021": "srcmacaddr", "HdrSrcMACMask8021": "srcmacmask",
    "HdrDestMACAddr8021": "dstmacaddr", "HdrDestMACMask8021": "dstmacmask",
}  # fmt: skip
"""Attributes of a rule's protocol, by property: octets of an address, or the number of a port."""


def _engine(call: Call) -> Engine:
    return call.world.engine(call.who)


# --- what is in a rule


def protocol(given: Embedded) -> str:
    """The protocol that a new entry is about, by its class and the properties that say so. Raises CimError."""
    values = given.values
    if given.cls == ENTRY:
        return str(values.get("MatchConditionValue") or "all")
    if given.cls == ETHERNET:
        number, known = values.get("HdrProtocolID8021") or 0, ETHERNETS
        found = next((word for word, value in known.items() if value == number), None)
    else:
        six, number = values.get("HdrIPVersion") == 6, values.get("HdrProtocolID") or 0
        words = [word for word, value in IP_PROTOCOLS.items() if value == number and ("v6" in word) == six]
        found = words[0] if words else None
    if found is None:
        raise invalid(f"protocol {number} is not known")
    return found


def text(prop: str, value: Value) -> str | None:
    """A property as a rule's attribute has it; None takes it away. Raises CimError."""
    if not isinstance(value, list):
        return None if value is None else str(value)
    octets = [one for one in value if isinstance(one, int)]
    if len(octets) != len(value) or len(octets) not in (4, 6, 16) or (len(octets) == 6) != ("MAC" in prop):
        raise invalid(f"{prop} is no address: {len(value)} octets")
    return ":".join(f"{one:02x}" for one in octets) if len(octets) == 6 else str(ipaddress.ip_address(bytes(octets)))


def write(rule: Element, name: str, values: Mapping[str, Value]) -> None:
    """Set what properties say, in a rule of a protocol. Raises CimError."""
    for prop, known, attribute in (("Action", ACTIONS, "action"), ("Direction", DIRECTIONS, "direction")):
        if (number := values.get(prop)) is not None:
            if not isinstance(number, int) or number not in known:
                raise invalid(f"{prop} {number} is not offered")
            rule.set(attribute, known[number])
    if (priority := values.get("Priority")) is not None:
        rule.set("priority", str(priority))
    for prop in WHERE.keys() & values.keys():
        put(rule, f"{name}/@{WHERE[prop]}", text(prop, values[prop]))


# --- filters


def _named(call: Call, name: str) -> Filter:
    found = by_name(call.world.filters, name)
    if found is None:
        raise CimError(Status.NOT_FOUND, f"there is no filter '{name[:80]}'")
    return found


async def _document(call: Call, one: Filter) -> Element:
    return parse(await _engine(call).filter_xml(one.view.uuid))


async def _store(call: Call, root: Element, one: Filter) -> None:
    await _engine(call).define_filter(etree.tostring(root, encoding="unicode"))
    await call.world.shows(lambda: True, one)


def _entries(root: Element) -> list[Element]:
    """In the order in which their numbers count."""
    return [element for element in root if element.tag in ("rule", "filterref")]


async def create_list(call: Call, given: Embedded) -> Found:
    name, uuid = given.values.get("Name"), given.values.get("InstanceID")
    if not isinstance(name, str) or not name:
        raise invalid("Name must name the filter")
    if by_name(call.world.filters, name) is not None:
        raise CimError(Status.ALREADY_EXISTS, f"there is a filter '{name}' already")
    root = etree.Element("filter", name=name)
    if isinstance(uuid, str) and uuid:
        put(root, "uuid", uuid)
    view = await _engine(call).define_filter(checked(lambda: etree.tostring(root, encoding="unicode")))
    await call.world.shows(lambda: view.uuid in call.world.filters)
    return Node(LISTS, Listed(call.world, _named(call, name)))


async def delete_list(call: Call, found: Found) -> None:
    assert isinstance(found, Node)
    uuid = found.subject.filter.view.uuid
    await _engine(call).undefine_filter(uuid)
    await call.world.shows(lambda: uuid not in call.world.filters)


async def create_entry(call: Call, given: Embedded) -> Found:
    """A rule after those that are there. `Name` is the filter's, whatever number stands behind it."""
    owner = _named(call, str(given.values.get("Name") or "").partition(":")[0])
    root, name = await _document(call, owner), protocol(given)
    rule = etree.SubElement(root, "rule", action="accept", direction="inout", priority="500")

    def fill() -> None:
        etree.SubElement(rule, name)
        write(rule, name, given.values)

    checked(fill)
    made_of = Rule(call.world, owner, 0, Device("rule", facts(rule)))
    new.rule(made_of, given.cls, given)
    number = len(_entries(root)) - 1
    await _store(call, root, owner)
    made = next((one for one in filters.rules(call.world, owner) if one.number == number), None)
    if made is None:
        raise CimError(Status.FAILED, "the rule was stored, and changed by somebody else since")
    return Node(RULES[filters.class_of(made)], made)


def _rule(call: Call, found: Found) -> Rule:
    assert isinstance(found, Node)
    rule: Rule = found.subject
    return rule


async def modify_entry(call: Call, found: Found, changes: Mapping[str, Value]) -> None:
    rule = _rule(call, found)
    if fixed := sorted(changes.keys() - WHERE.keys() - {"Action", "Direction", "Priority"}):
        raise CimError(Status.NOT_SUPPORTED, f"{fixed[0]} of a filter's entry stays: make a new one")
    root = await _document(call, rule.owner)
    checked(lambda: write(_entries(root)[rule.number], rule.protocol, changes))
    await _store(call, root, rule.owner)


async def delete_entry(call: Call, found: Found) -> None:
    """The numbers of those behind it become less by one."""
    rule = _rule(call, found)
    root = await _document(call, rule.owner)
    root.remove(_entries(root)[rule.number])
    await _store(call, root, rule.owner)


# --- filters in filters, and on ports of guests


def _ends(call: Call, given: Embedded) -> tuple[Node, Node]:
    ends: list[Node] = []
    for prop in ("Antecedent", "Dependent"):
        path = given.values.get(prop)
        found = call.registry.find(call.world, path) if isinstance(path, Path) else None
        if found is None:
            raise invalid(f"{prop} is not there")
        ends.append(found)
    return ends[0], ends[1]


def _pair(cls: str, first: Node, second: Node) -> Pair:
    return Pair(next(link for link in LINKS if link.cls == cls), first, second)


async def create_nested(call: Call, given: Embedded) -> Found:
    first, second = _ends(call, given)
    outer: Filter = first.subject.filter
    root, name = await _document(call, outer), second.subject.filter.view.name
    if any(one.get("filter") == name for one in root.findall("filterref")):
        raise CimError(Status.ALREADY_EXISTS, f"it includes '{name}' already")
    etree.SubElement(root, "filterref", filter=name)
    await _store(call, root, outer)
    return _pair(NESTED, first, second)


async def delete_nested(call: Call, found: Found) -> None:
    assert isinstance(found, Pair)
    outer: Filter = found.first.subject.filter
    root = await _document(call, outer)
    for one in root.findall("filterref"):
        if one.get("filter") == found.second.subject.filter.view.name:
            root.remove(one)
    await _store(call, root, outer)


async def create_applied(call: Call, given: Embedded) -> Found:
    """The filter that a port has instead of the one that it had."""
    first, second = _ends(call, given)
    await _apply(call, second.subject, first.subject.filter.view.name)
    return _pair(APPLIED, first, second)


async def delete_applied(call: Call, found: Found) -> None:
    assert isinstance(found, Pair)
    await _apply(call, found.second.subject, None)


async def _apply(call: Call, part: Part, name: str | None) -> None:
    engine, guest = _engine(call), part.guest
    domain = parse(await engine.guest_xml(guest.view.uuid, ["secure"]))
    nic = dict(elements(domain))[part.name]
    for old in nic.findall("filterref"):
        nic.remove(old)
    if name is not None:
        etree.SubElement(nic, "filterref", filter=name)
    try:
        await engine.update_device(guest.view.uuid, etree.tostring(nic, encoding="unicode"), **where(guest))
    finally:
        await call.world.caught_up(engine, guest.view.uuid)
