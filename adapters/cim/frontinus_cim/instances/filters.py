"""Network filters: each is a list of rules, and may include others (CIM_FilterList and its entries)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus.client.details import Device
from frontinus_cim.host.guest import Part
from frontinus_cim.host.mirror import by_name
from frontinus_cim.host.resources import Filter
from frontinus_cim.host.world import World
from frontinus_cim.instances import devices, systems
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.wire.model import HOST, Path, Value
from frontinus_cim.wire.writer import Columns

LIST, ENTRY, IP, ETHERNET = "KVM_FilterList", "KVM_FilterEntry", "KVM_IPHeadersFilter", "KVM_Hdr8021Filter"
PORT = "KVM_NetworkPort"
DIRECTIONS = {"in": 1, "out": 2, "inout": 3}
ACTIONS = {"accept": 1, "drop": 2, "reject": 2, "continue": 3, "return": 3}


@dataclass(frozen=True)
class Rule:
    """A rule of a filter: its number among the filter's entries, and its element."""

    world: World
    owner: Filter
    number: int
    element: Device

    @property
    def protocol(self) -> str:
        """The element inside <rule>, 'all' when there is none."""
        return next((path.partition("/")[0] for path in self.element.facts if not path.startswith("@")), "all")

    @property
    def name(self) -> str:
        return f"{self.owner.view.name}:{self.number}"

    def fact(self, name: str) -> str:
        return self.element[f"{self.protocol}/@{name}"]


IP_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "udplite": 136, "esp": 50, "ah": 51, "sctp": 132, "igmp": 2, "all": 0, "ip": 0,
                "tcp-ipv6": 6, "udp-ipv6": 17, "icmpv6": 58, "sctp-ipv6": 132, "ipv6": 0, "all-ipv6": 0}  # fmt: skip
ETHERNETS = {"mac": 0, "vlan": 0x8100, "stp": 0, "arp": 0x806, "rarp": 0x8035}


def class_of(rule: Rule) -> str:
    return IP if rule.protocol in IP_PROTOCOLS else ETHERNET if rule.protocol in ETHERNETS else ENTRY


def rules(world: World, owner: Filter) -> Iterable[Rule]:
    return (Rule(world, owner, number, e) for number, e in enumerate(owner.entries) if e.tag == "rule")


def _number(rule: Rule, name: str) -> int | None:
    text = rule.fact(name)
    return int(text) if text.isdecimal() and int(text) < 65536 else None


def _bytes(rule: Rule, name: str) -> list[int] | None:
    """An address as CIM has it: a number for each octet."""
    text = rule.fact(name)
    if not text or text.startswith("$"):
        return None
    try:
        if ":" in text and class_of(rule) == ETHERNET:
            return [int(part, 16) for part in text.split(":")]
        if text.isdecimal():  # a mask by the number of its bits
            anywhere = "::" if "v6" in rule.protocol else "0.0.0.0"
            return list(ipaddress.ip_network(f"{anywhere}/{text}").netmask.packed)
        return list(ipaddress.ip_address(text).packed)
    except ValueError:
        return None


def _common(cls: str) -> Columns[Rule]:
    return {
        "SystemCreationClassName": HOST, "SystemName": lambda r: r.world.hostname, "CreationClassName": cls,
        "Name": lambda r: r.name, "ElementName": lambda r: r.name, "Caption": lambda r: r.protocol, "IsNegated": False,
        "Priority": lambda r: _priority(r),
    }  # fmt: skip


def _priority(rule: Rule) -> int:
    text = rule.element["@priority"]
    return int(text) if text.isdecimal() and int(text) < 65536 else 500


def _judged() -> Columns[Rule]:
    return {
        "Action": lambda r: ACTIONS.get(r.element["@action"], 3),
        "Direction": lambda r: DIRECTIONS.get(r.element["@direction"], 3),
    }


def _at(read: Callable[[Rule, str], Value], name: str) -> Callable[[Rule], Value]:
    return lambda rule: read(rule, name)


COLUMNS: Mapping[str, Columns[Rule]] = {
    ENTRY: {**_common(ENTRY), "TrafficType": 1, "MatchConditionType": 1, "MatchConditionValue": lambda r: r.protocol,
            "Action": lambda r: ACTIONS.get(r.element["@action"], 3)},
    IP: {
        **_common(IP), **_judged(), "HdrIPVersion": lambda r: 6 if "v6" in r.protocol else 4,
        "HdrProtocolID": lambda r: IP_PROTOCOLS[r.protocol] or None, "HdrSrcAddress": _at(_bytes, "srcipaddr"),
        "HdrSrcMask": _at(_bytes, "srcipmask"), "HdrDestAddress": _at(_bytes, "dstipaddr"), "HdrDestMask": _at(_bytes, "dstipmask"),
        "HdrSrcPortStart": _at(_number, "srcportstart"), "HdrSrcPortEnd": _at(_number, "srcportend"),
        "HdrDestPortStart": _at(_number, "dstportstart"), "HdrDestPortEnd": _at(_number, "dstportend"),
    },
    ETHERNET: {
        **_common(ETHERNET), **_judged(), "HdrSrcMACAddr8021": _at(_bytes, "srcmacaddr"),
        "HdrSrcMACMask8021": _at(_bytes, "srcmacmask"), "HdrDestMACAddr8021": _at(_bytes, "dstmacaddr"),
        "HdrDestMACMask8021": _at(_bytes, "dstmacmask"), "HdrProtocolID8021": lambda r: ETHERNETS.get(r.protocol) or None,
    },
}  # fmt: skip


def _rule_kind(cls: str) -> Kind[Rule]:
    def every(world: World) -> Iterable[Rule]:
        return (rule for owner in world.filters.values() for rule in rules(world, owner) if class_of(rule) == cls)

    def find(world: World, path: Path) -> Rule | None:
        owner = by_name(world.filters, str(path.key("Name")).rpartition(":")[0])
        return (
            next((r for r in rules(world, owner) if r.name == path.key("Name") and class_of(r) == cls), None)
            if owner
            else None
        )

    return Kind(cls, COLUMNS[cls], every, find)


RULES = {cls: _rule_kind(cls) for cls in COLUMNS}


@dataclass(frozen=True)
class Listed:
    """A filter in a world."""

    world: World
    filter: Filter


LISTS: Kind[Listed] = Kind(LIST, {
    "SystemCreationClassName": HOST, "SystemName": lambda f: f.world.hostname, "CreationClassName": LIST,
    "Name": lambda f: f.filter.view.name, "ElementName": lambda f: f.filter.view.name, "InstanceID": lambda f: f.filter.view.uuid,
    "Direction": 3,
}, lambda world: (Listed(world, f) for f in world.filters.values()),
    lambda world, path: _listed(world, str(path.key("Name"))))  # fmt: skip
KINDS: Sequence[Kind[Any]] = (LISTS, *RULES.values())


def _listed(world: World, name: str) -> Listed | None:
    found = by_name(world.filters, name)
    return Listed(world, found) if found else None


def _entries(world: World, node: Node) -> Iterable[Node]:
    return (Node(RULES[class_of(rule)], rule) for rule in rules(world, node.subject.filter))


def _owner(world: World, node: Node) -> Iterable[Node]:
    return [Node(LISTS, Listed(world, node.subject.owner))]


def _nested(world: World, node: Node) -> Iterable[Node]:
    names = [e["@filter"] for e in node.subject.filter.entries if e.tag == "filterref"]
    return (Node(LISTS, found) for name in names if (found := _listed(world, name)))


def _nesting(world: World, node: Node) -> Iterable[Node]:
    name = node.subject.filter.view.name
    return (Node(LISTS, Listed(world, f)) for f in world.filters.values()
            if any(e.tag == "filterref" and e["@filter"] == name for e in f.entries))  # fmt: skip


def _ports(world: World, node: Node) -> Iterable[Node]:
    name, kind = node.subject.filter.view.name, devices.KINDS[PORT]
    return (Node(kind, part) for part in kind.every(world) if part.device["filterref/@filter"] == name)


def _filter_of(world: World, node: Node) -> Iterable[Node]:
    part: Part = node.subject
    found = _listed(world, part.device["filterref/@filter"])
    return [Node(LISTS, found)] if found else []


def _sequence(world: World, first: Node, second: Node) -> Mapping[str, Value]:
    return {"EntrySequence": second.subject.number}


ENTRY_CLASSES: Sequence[str] = tuple(RULES)
LINKS = (
    Link("KVM_EntriesInFilterList", ("GroupComponent", [LIST]), ("PartComponent", ENTRY_CLASSES), _entries, _owner, _sequence),
    Link("KVM_HostedFilterList", ("Antecedent", [HOST]), ("Dependent", [LIST]),
         lambda world, node: (Node(LISTS, Listed(world, f)) for f in world.filters.values()),
         lambda world, node: [Node(systems.HOSTS, world)]),
    Link("KVM_NestedFilterList", ("Antecedent", [LIST]), ("Dependent", [LIST]), _nested, _nesting),
    Link("KVM_AppliedFilterList", ("Antecedent", [LIST]), ("Dependent", [PORT]), _ports, _filter_of),
)  # fmt: skip
