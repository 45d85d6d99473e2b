"""Connections, without connection tracking: the bridge family has none on many kernels, so flows are kept in nft sets.

A NIC has two kinds of flow: those that its guest began (`out`) and those that others began (`in`). The key names the
guest's end first, so that a packet and its answer have the same one. A flow is added by the first packet that a rule
accepts as new, for a short time; an answer makes it last. A full set takes no more: the rule then does not match, and
what follows decides. Nothing is ever accepted because a set was full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from frontinus.filter.matches import L4PROTO, Json, equal, payload
from frontinus.filter.protocols import Protocol

WITH_PORTS = (6, 17, 33, 132, 136)
"""TCP, UDP, DCCP, SCTP, UDP-Lite: a flow is a pair of ports. Of other protocols it is a pair of hosts."""
NEW_SECONDS, ANSWERED_SECONDS, TCP_SECONDS = 120, 180, 86_400
LIMIT_SECONDS = 300
"""How long a connection that is silent counts against a limit."""
MOST_FLOWS = 16_384
"""In one set."""


@dataclass(frozen=True)
class FlowSet:
    """One set of flows, of one version of IP. `limit`: how many it takes, and then it counts for a rule of its own."""

    name: str
    version: int
    ports: bool
    limit: int | None = None

    def spec(self) -> Json:
        address = "ipv4_addr" if self.version == 4 else "ipv6_addr"
        ports = ["inet_service", "inet_service"] if self.ports else []
        return {
            "type": [address, address, "inet_proto", *ports],
            "flags": ["timeout"],
            "timeout": LIMIT_SECONDS if self.limit is not None else NEW_SECONDS,
            "size": MOST_FLOWS if self.limit is None else max(1, self.limit),
        }

    def key(self, side: str) -> Json:
        """The flow of a packet that comes from the guest (`from`) or goes to it (`to`)."""
        protocol = "ip" if self.version == 4 else "ip6"
        guest, peer = ("saddr", "daddr") if side == "from" else ("daddr", "saddr")
        ports = [payload("th", guest[0] + "port"), payload("th", peer[0] + "port")] if self.ports else []
        return {"concat": [payload(protocol, guest), payload(protocol, peer), L4PROTO, *ports]}

    def known(self, side: str, op: str = "==") -> Json:
        return equal(self.key(side), f"@{self.name}", op)

    def kept(self, side: str, op: str, seconds: int) -> Json:
        """The statement that adds a flow, or with "update" makes it last."""
        element = {"elem": {"val": self.key(side), "timeout": seconds}}
        return {"set": {"op": op, "elem": element, "set": f"@{self.name}"}}


@dataclass(frozen=True)
class Share:
    """The part of a protocol's packets whose flows are alike: its own condition, and its sets."""

    condition: tuple[Json, ...]
    begun: FlowSet
    """Flows that this side began."""
    other: FlowSet
    seconds: int

    def as_new(self, side: str) -> list[Json]:
        """A packet of no flow of the other side's: its flow begins, or goes on."""
        return [*self.condition, self.other.known(side, "!="), self.begun.kept(side, "add", NEW_SECONDS)]

    def as_answer(self, side: str) -> list[Json]:
        """A packet that answers one of the other side's."""
        return [*self.condition, self.other.known(side), self.other.kept(side, "update", self.seconds)]

    def as_first(self, side: str) -> list[Json]:
        """A packet of no flow at all."""
        return [*self.condition, self.other.known(side, "!="), self.begun.known(side, "!=")]


def shares(link: str, kind: Protocol, side: str) -> Iterator[Share]:
    """The shares of a protocol on a NIC, with one for packets with ports and one for those without where it has both."""
    version = kind.version or 4
    has = (True, False) if kind.number is None else (kind.number in WITH_PORTS,)
    for ports in has:
        out, into = (
            FlowSet(f"{link}/{way}{version}{'' if ports else '-hosts'}", version, ports) for way in ("out", "in")
        )
        condition = (equal(L4PROTO, {"set": list(WITH_PORTS)}, "==" if ports else "!="),) if len(has) > 1 else ()
        seconds = TCP_SECONDS if ports and kind.number in (None, 6, 132) else ANSWERED_SECONDS
        yield Share(condition, *((out, into) if side == "from" else (into, out)), seconds)


def limited(link: str, kind: Protocol, number: int, limit: int) -> FlowSet:
    """The set of the connections that count for one rule: it is full when the limit is reached."""
    return FlowSet(f"{link}/limit{number}-{kind.name}-{limit}", kind.version or 4, kind.number in WITH_PORTS, limit)
