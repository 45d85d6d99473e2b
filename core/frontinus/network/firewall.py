"""The rules that a network needs, as commands of libnftables-json(5): one table of ours in each family, made anew whole.

What guests send is judged when it leaves its network, and again when it enters another. So guests of an isolated
network reach no routed one, though that one lets everybody in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from frontinus.domain.host import Paths
from frontinus.network.model import NetIp, Network, address_of

Json = dict[str, Any]
FAMILIES = {"ip": "ipv4", "ip6": "ipv6"}
NOT_ROUTED = {"ip": ("224.0.0.0/24", "255.255.255.255/32"), "ip6": ("ff02::/16",)}
"""Destinations on the link itself: their packets keep their source."""
UNPRIVILEGED = (1024, 65535)
"""Ports for rewritten connections: a guest's never looks like a service of the host's."""


def table_name(paths: Paths) -> str:
    """The name of our tables; an engine of other folders, a trial say, has its own."""
    if paths.run == Paths().run:
        return "frontinus"
    return f"frontinus_{hashlib.sha256(paths.run.encode()).hexdigest()[:8]}"


def firewall(networks: Sequence[tuple[Network, str]], paths: Paths) -> list[Json]:
    """One transaction: the tables with the rules of these networks and their bridges, or without any no tables."""
    guarded = [(network, bridge) for network, bridge in networks if network.mode in ("isolated", "nat", "route")]
    commands: list[Json] = []
    for family in FAMILIES:
        table = {"family": family, "name": table_name(paths)}
        commands += [{"add": {"table": table}}, {"delete": {"table": table}}]
        if guarded:
            commands += _Table(family, table["name"]).filled(guarded)
    return commands


class _Table:
    """The commands that fill one table."""

    def __init__(self, family: str, name: str) -> None:
        self.family, self.name = family, name

    def filled(self, networks: Sequence[tuple[Network, str]]) -> Iterator[Json]:
        yield {"add": {"table": {"family": self.family, "name": self.name}}}
        yield self._chain("leaving")
        yield self._chain("entering")
        yield self._chain("forward", type="filter", hook="forward", prio=0, policy="accept")
        for _, bridge in networks:
            yield self._rule("forward", _iif(bridge), _oif(bridge), {"accept": None})
        yield self._rule("forward", {"jump": {"target": "leaving"}})
        yield self._rule("forward", {"jump": {"target": "entering"}})
        for network, bridge in networks:
            yield from self._leaving(network, bridge)
            yield from self._entering(network, bridge)
        yield from self._translation(networks)

    def _leaving(self, network: Network, bridge: str) -> Iterator[Json]:
        """What guests may send beyond the network: from their own addresses, by the device that is named."""
        for ip in self._routed(network):
            yield self._rule("leaving", _iif(bridge), *_by(_oif, network), self._source(ip), {"return": None})
        yield self._rule("leaving", _iif(bridge), REJECT)

    def _entering(self, network: Network, bridge: str) -> Iterator[Json]:
        """What may come in: everything for routed addresses, for translated ones only answers."""
        for ip in self._routed(network):
            answers = (ESTABLISHED,) if self._translates(network) else ()
            target = self._payload("daddr", "==", ip)
            yield self._rule("entering", _oif(bridge), *_by(_iif, network), target, *answers, {"accept": None})
        yield self._rule("entering", _oif(bridge), REJECT)

    def _translation(self, networks: Sequence[tuple[Network, str]]) -> Iterator[Json]:
        translated = [network for network, _ in networks if self._translates(network) and [*self._routed(network)]]
        if not translated:
            return
        yield self._chain("postrouting", type="nat", hook="postrouting", prio=100, policy="accept")
        for network in translated:
            for ip in self._routed(network):
                for target in NOT_ROUTED[self.family]:
                    yield self._rule(
                        "postrouting", self._source(ip), self._match("daddr", "==", target), {"return": None}
                    )
                beyond = (self._source(ip), self._payload("daddr", "!=", ip), *_by(_oif, network))
                for protocol in ("tcp", "udp"):
                    yield self._rule("postrouting", *beyond, _protocol(protocol), self._translate(network, ports=True))
                yield self._rule("postrouting", *beyond, self._translate(network, ports=False))

    def _translate(self, network: Network, *, ports: bool) -> Json:
        first, last = network.beyond.nat_port_start or UNPRIVILEGED[0], network.beyond.nat_port_end or UNPRIVILEGED[1]
        port = {"port": {"range": [first, last]}} if ports else {}
        if self.family == "ip" and network.beyond.nat_start:
            whole = network.beyond.nat_start == network.beyond.nat_end
            address = (
                network.beyond.nat_start if whole else {"range": [network.beyond.nat_start, network.beyond.nat_end]}
            )
            return {"snat": {"addr": address, **port}}
        return {"masquerade": port or None}

    def _translates(self, network: Network) -> bool:
        return network.mode == "nat" and (self.family == "ip" or bool(network.beyond.nat_ipv6))

    def _routed(self, network: Network) -> Iterator[NetIp]:
        """The addresses of this family whose guests may send beyond the network."""
        if network.mode != "isolated":
            yield from (ip for ip in network.ips if ip.kind == FAMILIES[self.family])

    def _source(self, ip: NetIp) -> Json:
        return self._payload("saddr", "==", ip)

    def _payload(self, field: str, op: str, ip: NetIp) -> Json:
        return self._match(field, op, str(ip.net))

    def _match(self, field: str, op: str, net: str) -> Json:
        address, _, length = net.partition("/")
        known = address_of(address)
        whole = known is not None and int(length) == known.max_prefixlen
        right = address if whole else {"prefix": {"addr": address, "len": int(length)}}
        return {"match": {"op": op, "left": {"payload": {"protocol": self.family, "field": field}}, "right": right}}

    def _chain(self, name: str, **hook: object) -> Json:
        return {"add": {"chain": {"family": self.family, "table": self.name, "name": name, **hook}}}

    def _rule(self, chain: str, *expressions: Json) -> Json:
        return {"add": {"rule": {"family": self.family, "table": self.name, "chain": chain, "expr": list(expressions)}}}


REJECT: Json = {"reject": None}
ESTABLISHED: Json = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}


def _iif(device: str) -> Json:
    return {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": device}}


def _oif(device: str) -> Json:
    return {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": device}}


def _by(match: Any, network: Network) -> tuple[Json, ...]:
    """A match of the device that a network is bound to, if it is."""
    return (match(network.beyond.device),) if network.beyond.device else ()


def _protocol(name: str) -> Json:
    return {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": name}}
