"""The protocols that rules speak of: a row each, with the attributes that its element may have.

Link layer protocols (`link`) are looked at in the chain of their filter; the others, of the network layer, in one chain
for all filters of a NIC, after the link layer has let a packet pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frontinus.filter import values as v
from frontinus.xml import Model, xml
from frontinus.xml.codecs import Codec

Attributes = Mapping[str, Codec[Any]]

SOURCE_MAC: Attributes = {"srcmacaddr": v.MAC}
SOURCE_MACS: Attributes = {"srcmacaddr": v.MAC, "srcmacmask": v.MAC}
MACS: Attributes = {**SOURCE_MACS, "dstmacaddr": v.MAC, "dstmacmask": v.MAC}
PORTS: Attributes = {"srcportstart": v.U16, "srcportend": v.U16, "dstportstart": v.U16, "dstportend": v.U16}
ICMP: Attributes = {"type": v.U8, "code": v.U8}
ICMP_RANGES: Attributes = {"type": v.U8, "typeend": v.U8, "code": v.U8, "codeend": v.U8}
ARP: Attributes = {
    "hwtype": v.U16, "protocoltype": v.U16, "opcode": v.ARP_OPERATION, "arpsrcmacaddr": v.MAC, "arpdstmacaddr": v.MAC,
    "arpsrcipaddr": v.IPV4, "arpsrcipmask": v.MASK4, "arpdstipaddr": v.IPV4, "arpdstipmask": v.MASK4,
    "gratuitous": v.TRUTH,
}  # fmt: skip
STP: Attributes = {
    "type": v.U8, "flags": v.U8, "root-priority": v.U16, "root-priority-hi": v.U16, "root-address": v.MAC,
    "root-address-mask": v.MAC, "root-cost": v.U32, "root-cost-hi": v.U32, "sender-priority": v.U16,
    "sender-priority-hi": v.U16, "sender-address": v.MAC, "sender-address-mask": v.MAC, "port": v.U16, "port-hi": v.U16,
    "age": v.U16, "age-hi": v.U16, "max-age": v.U16, "max-age-hi": v.U16, "hello-time": v.U16, "hello-time-hi": v.U16,
    "forward-delay": v.U16, "forward-delay-hi": v.U16,
}  # fmt: skip
COMMON: Attributes = {"connlimit-above": v.U16, "state": v.STATE, "ipset": v.SET_NAME, "ipsetflags": v.SET_FLAGS}


def _addresses(address: Codec[Any], mask: Codec[Any]) -> Attributes:
    return {"srcipaddr": address, "srcipmask": mask, "dstipaddr": address, "dstipmask": mask}


def _network(address: Codec[Any], mask: Codec[Any], **more: Attributes) -> Attributes:
    """What all protocols of the network layer have, and what one of them has besides."""
    ends = {name: address for name in ("srcipfrom", "srcipto", "dstipfrom", "dstipto")}
    own = {name: codec for part in more.values() for name, codec in part.items()}
    return {**SOURCE_MAC, **_addresses(address, mask), **ends, "dscp": v.DSCP, **own, **COMMON}


@dataclass(frozen=True)
class Protocol:
    """One protocol. `ether_type`: of its frames. `number`: of the packets in them. `link`: of the link layer."""

    name: str
    attributes: Attributes
    ether_type: int | None = None
    number: int | None = None
    link: bool = False

    @property
    def version(self) -> int | None:
        """Of the Internet Protocol that carries it: 4, 6, or None for another protocol."""
        return {0x0800: 4, 0x86DD: 6}.get(self.ether_type or 0)


def _twins(name: str, number: int | None, six: str | None = None, **more: Attributes) -> tuple[Protocol, Protocol]:
    """A protocol over both versions of IP."""
    return (
        Protocol(name, _network(v.IPV4, v.MASK4, **more), 0x0800, number),
        Protocol(six or f"{name}-ipv6", _network(v.IPV6, v.MASK6, **more), 0x86DD, 58 if name == "icmp" else number),
    )


_ALL: tuple[Protocol, ...] = (
    Protocol("mac", {**MACS, "protocolid": v.ETHER_TYPE}, link=True),
    Protocol("vlan", {**MACS, "vlanid": v.VLAN_ID, "encap-protocol": v.ETHER_TYPE}, 0x8100, link=True),
    Protocol("stp", {**SOURCE_MACS, **STP}, link=True),
    Protocol("arp", {**MACS, **ARP}, 0x0806, link=True),
    Protocol("rarp", {**MACS, **ARP}, 0x8035, link=True),
    Protocol("ip", {**MACS, **_addresses(v.IPV4, v.MASK4), "protocol": v.PROTOCOL, **PORTS, "dscp": v.DSCP}, 0x0800,
             link=True),
    Protocol("ipv6", {**MACS, **_addresses(v.IPV6, v.MASK6), "protocol": v.PROTOCOL, **PORTS, **ICMP_RANGES}, 0x86DD,
             link=True),
    *_twins("tcp", 6, ports=PORTS, flags={"flags": v.FLAGS}),
    *_twins("udp", 17, ports=PORTS),
    *_twins("udplite", 136),
    *_twins("sctp", 132, ports=PORTS),
    *_twins("icmp", 1, "icmpv6", icmp=ICMP),
    *_twins("esp", 50),
    *_twins("ah", 51),
    *_twins("all", None),
    Protocol("igmp", _network(v.IPV4, v.MASK4), 0x0800, 2),
)  # fmt: skip
PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


class Match(Model):
    """The element of a protocol in a rule: what a packet of it must be. `match='no'` turns each condition round."""

    kind: Protocol
    match: str | None = xml("@match", v.MATCH)
    comment: str | None = xml("@comment", v.COMMENT, last=True)

    def values(self) -> dict[str, Any]:
        """What is said of the packet, by attribute; values are parsed, or variables."""
        return {name: value for name in self.kind.attributes if (value := getattr(self, field(name))) is not None}


def field(attribute: str) -> str:
    """The field of an attribute: `match` and `comment` are those of all protocols."""
    return attribute.replace("-", "_")


def _model(protocol: Protocol) -> type[Match]:
    fields = {field(name): xml(f"@{name}", codec) for name, codec in protocol.attributes.items()}
    return type(f"{protocol.name.title()}Match", (Match,), {"kind": protocol, **fields}, tag=protocol.name)


MATCHES: Mapping[str, type[Match]] = {name: _model(protocol) for name, protocol in PROTOCOLS.items()}
