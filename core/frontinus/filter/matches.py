"""What a rule says of a packet, as nftables expressions (libnftables-json(5)).

Places in a packet are a table. Frames are told by their EtherType as it is on the wire, tag and all, before anything
behind it is looked at: a tagged frame is no IP packet here.
Sources: RFC 826 (ARP), IEEE 802.1D clause 9 (BPDUs), linux/netfilter_bridge/ebtables.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from frontinus.api.errors import InvalidValue
from frontinus.filter.instance import FlatRule
from frontinus.filter.protocols import Protocol
from frontinus.filter.values import TCP_FLAGS
from frontinus.filter.variables import LEARNED

Json = dict[str, Any]

BRIDGE_GROUP = "01:80:c2:00:00:00"
FLAG_BITS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}


def payload(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def raw(base: str, offset: int, length: int) -> Json:
    """Bytes of a header by their place: `ll` link, `nh` network."""
    return {"payload": {"base": base, "offset": 8 * offset, "len": 8 * length}}


def equal(left: Json, right: object, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


ETHER_TYPE = payload("ether", "type")
L4PROTO: Json = {"meta": {"key": "l4proto"}}


@dataclass(frozen=True)
class Condition:
    """One condition, begun by an attribute. `mirror`: the attribute in whose place it looks when source and destination
    are exchanged; None: it cannot be said then."""

    attribute: str
    mask: str | None = None
    end: str | None = None
    mirror: str | None = ""


CONDITIONS: tuple[Condition, ...] = (
    Condition("srcmacaddr", mask="srcmacmask", mirror="dstmacaddr"),
    Condition("dstmacaddr", mask="dstmacmask", mirror="srcmacaddr"),
    Condition("protocolid"), Condition("vlanid"), Condition("encap-protocol"),
    Condition("hwtype"), Condition("protocoltype"), Condition("opcode"),
    Condition("arpsrcmacaddr", mirror="arpdstmacaddr"), Condition("arpdstmacaddr", mirror="arpsrcmacaddr"),
    Condition("arpsrcipaddr", mask="arpsrcipmask", mirror="arpdstipaddr"),
    Condition("arpdstipaddr", mask="arpdstipmask", mirror="arpsrcipaddr"),
    Condition("srcipaddr", mask="srcipmask", mirror="dstipaddr"),
    Condition("dstipaddr", mask="dstipmask", mirror="srcipaddr"),
    Condition("srcipfrom", end="srcipto", mirror="dstipfrom"), Condition("dstipfrom", end="dstipto", mirror="srcipfrom"),
    Condition("protocol"), Condition("dscp"),
    Condition("srcportstart", end="srcportend", mirror="dstportstart"),
    Condition("dstportstart", end="dstportend", mirror="srcportstart"),
    Condition("type", end="typeend"), Condition("code", end="codeend"), Condition("flags"),
    Condition("root-priority", end="root-priority-hi"), Condition("root-address", mask="root-address-mask"),
    Condition("root-cost", end="root-cost-hi"), Condition("sender-priority", end="sender-priority-hi"),
    Condition("sender-address", mask="sender-address-mask"), Condition("port", end="port-hi"), Condition("age", end="age-hi"),
    Condition("max-age", end="max-age-hi"), Condition("hello-time", end="hello-time-hi"),
    Condition("forward-delay", end="forward-delay-hi"),
)  # fmt: skip

_ETHER: Mapping[str, Json] = {"srcmacaddr": payload("ether", "saddr"), "dstmacaddr": payload("ether", "daddr")}
_PORTS: Mapping[str, Json] = {"srcportstart": payload("th", "sport"), "dstportstart": payload("th", "dport")}
_ARP: Mapping[str, Json] = {
    "hwtype": raw("nh", 0, 2), "protocoltype": raw("nh", 2, 2), "opcode": raw("nh", 6, 2), "arpsrcmacaddr": raw("nh", 8, 6),
    "arpsrcipaddr": payload("arp", "saddr ip"), "arpdstmacaddr": raw("nh", 18, 6),
    "arpdstipaddr": payload("arp", "daddr ip"),
}  # fmt: skip
_RARP: Mapping[str, Json] = {**_ARP, "arpsrcipaddr": raw("nh", 14, 4), "arpdstipaddr": raw("nh", 24, 4)}
_STP: Mapping[str, Json] = {
    "type": raw("nh", 6, 1), "flags": raw("nh", 7, 1), "root-priority": raw("nh", 8, 2), "root-address": raw("nh", 10, 6),
    "root-cost": raw("nh", 16, 4), "sender-priority": raw("nh", 20, 2), "sender-address": raw("nh", 22, 6),
    "port": raw("nh", 28, 2), "age": raw("nh", 30, 2), "max-age": raw("nh", 32, 2), "hello-time": raw("nh", 34, 2),
    "forward-delay": raw("nh", 36, 2),
}  # fmt: skip
"""Behind three bytes of LLC."""


def _internet(protocol: str) -> Mapping[str, Json]:
    source, destination = payload(protocol, "saddr"), payload(protocol, "daddr")
    return {"srcipaddr": source, "srcipfrom": source, "dstipaddr": destination, "dstipfrom": destination,
            "dscp": payload(protocol, "dscp"), "protocol": L4PROTO, **_PORTS}  # fmt: skip


def _icmp(protocol: str) -> Mapping[str, Json]:
    return {"type": payload(protocol, "type"), "code": payload(protocol, "code")}


PLACES: Mapping[str, Mapping[str, Json]] = {
    "mac": {"protocolid": ETHER_TYPE},
    "vlan": {"vlanid": payload("vlan", "id"), "encap-protocol": payload("vlan", "type")},
    "stp": _STP, "arp": _ARP, "rarp": _RARP,
    "4": {**_internet("ip"), **_icmp("icmp"), "flags": payload("tcp", "flags")},
    "6": {**_internet("ip6"), **_icmp("icmpv6"), "flags": payload("tcp", "flags")},
}  # fmt: skip
"""Where the attributes of each protocol look, of IP by its version."""


def place(kind: Protocol, attribute: str) -> Json:
    return _ETHER.get(attribute) or PLACES[str(kind.version or kind.name)][attribute]


def matches(rule: FlatRule, learned: str, *, mirrored: bool = False) -> list[Json] | None:
    """The expressions that a packet must satisfy; None where none can, or nothing is left of a mirrored rule.

    `learned`: the set of the guest's addresses, for those that are not given.
    """
    if rule.kind is None:
        return []
    found = list(_protocol(rule.kind))
    said = lost = 0
    for condition in CONDITIONS:
        if condition.attribute not in rule.values and (condition.end is None or condition.end not in rule.values):
            continue
        where = _where(rule.kind, condition, mirrored=mirrored)
        if where is None:
            lost += 1
            continue
        made = _compare(rule, condition, where, learned)
        if made is None:
            return None
        said += 1
        found += made
    return None if lost and not said else found


def _protocol(kind: Protocol) -> Iterator[Json]:
    """What makes a frame one of this protocol."""
    if kind.name == "stp":
        yield equal(_ETHER["dstmacaddr"], BRIDGE_GROUP)
        yield equal(raw("nh", 0, 3), 0x424203)
    if kind.ether_type is not None:
        yield equal(ETHER_TYPE, kind.ether_type)
    if kind.number is not None:
        yield equal(L4PROTO, kind.number)


def _where(kind: Protocol, condition: Condition, *, mirrored: bool) -> Json | None:
    if not mirrored or condition.mirror == "":
        return place(kind, condition.attribute)
    if condition.mirror is None or (condition.attribute == "srcmacaddr" and not kind.link):
        return None
    return place(kind, condition.mirror)


def _compare(rule: FlatRule, condition: Condition, where: Json, learned: str) -> list[Json] | None:
    """One condition; nothing for one that always holds, None for one that never does."""
    op = "!=" if rule.negated else "=="
    value = rule.values.get(condition.attribute)
    if value is None:
        value = _lowest(rule.values[condition.end or ""])
    if value is LEARNED:
        return [equal(where, f"@{learned}", op)]
    if condition.attribute == "flags" and isinstance(value, tuple):
        looked_at, are_set = map(_bits, value)
        return [equal({"&": [where, looked_at]}, are_set, op)]
    if condition.mask is not None and condition.mask in rule.values:
        return _masked(where, value, rule.values[condition.mask], op)
    end = rule.values.get(condition.end) if condition.end else None
    if end is not None and end != value:
        return [equal(where, {"range": _ends(condition, value, end)}, op)]
    return [equal(where, _plain(where, value), op)]


def _lowest(end: Any) -> Any:
    """Where a range begins of which only the end is said."""
    return 0 if isinstance(end, int) else "::" if ":" in end else "0.0.0.0"


def _plain(where: Json, value: object) -> object:
    """Raw bytes are compared with a number, whatever is in them."""
    if "base" not in where.get("payload", {}) or isinstance(value, int):
        return int(value) if isinstance(value, int) else value
    text = str(value)
    return int(text.replace(":", ""), 16) if ":" in text else int.from_bytes(socket.inet_aton(text), "big")


def _masked(where: Json, value: str, mask: Any, op: str) -> list[Json] | None:
    if isinstance(mask, int):
        network = ipaddress.ip_network(f"{value}/{mask}", strict=False)
        if network.prefixlen == 0:
            return [] if op == "==" else None
        if "base" in where["payload"]:
            return [equal({"&": [where, int(network.netmask)]}, int(network.network_address), op)]
        return [equal(where, {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}, op)]
    bits, wanted = (int(mac.replace(":", ""), 16) for mac in (mask, value))
    if bits == 2**48 - 1:
        return [equal(where, _plain(where, value), op)]
    if "base" in where["payload"]:
        return [equal({"&": [where, bits]}, wanted & bits, op)]
    return [equal({"&": [where, mask]}, ":".join(f"{byte:02x}" for byte in (wanted & bits).to_bytes(6, "big")), op)]


def _ends(condition: Condition, value: Any, end: Any) -> list[object]:
    first, last = (int(ipaddress.ip_address(one)) if isinstance(one, str) else int(one) for one in (value, end))
    if last < first:
        raise InvalidValue(f"{condition.attribute} {value}: the range ends before, at {end}", field=condition.attribute)
    return [str(value), str(end)] if isinstance(value, str) else [int(value), int(end)]


def _bits(flags: tuple[str, ...]) -> int:
    names = TCP_FLAGS if "ALL" in flags else () if "NONE" in flags else flags
    return sum(FLAG_BITS[name] for name in names)
