"""Translation: the flat rules of one NIC become chains and sets of nftables' bridge family.

Each NIC has a chain for what comes from its guest and one for what goes to it, for each of two layers. In the link
layer's the chains of filters are visited as the root chain says; what it lets pass is looked at by the chain of the
network layer, where rules of TCP and its like stand. Every object's name begins with the link's: NICs never share one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from frontinus.api.errors import Unsupported
from frontinus.filter import flows
from frontinus.filter.instance import FlatRule, Instance
from frontinus.filter.matches import BRIDGE_GROUP, ETHER_TYPE, Json, equal, matches, payload
from frontinus.filter.model import chain_kind
from frontinus.filter.values import ETHER_TYPES

Side = Literal["from", "to"]
SIDES: Mapping[str, tuple[Side, ...]] = {"out": ("from",), "in": ("to",), "inout": ("from", "to")}
"""The direction of a rule is the guest's, the sides are the bridge's."""
OTHER: Mapping[Side, Side] = {"from": "to", "to": "from"}
VERDICTS: Mapping[str, Json] = {"accept": {"accept": None}, "drop": {"drop": None}, "return": {"return": None}}
REJECT: Json = {"reject": {"type": "icmpx", "expr": "port-unreachable"}}
LONGEST_COMMENT = 127
"""Bytes that nftables takes."""


@dataclass(frozen=True)
class Abilities:
    """What this kernel can do in the bridge family. `reject`: answer what it does not let pass; else that is dropped."""

    reject: bool = False


@dataclass
class Ruleset:
    """The objects of one NIC: rules by chain, sets by name, and by map of the base chains the chain that it leads to."""

    link: str
    chains: dict[str, list[Json]] = field(default_factory=dict)
    sets: dict[str, Json] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What could not be said as it was meant, for a person."""

    @property
    def learned(self) -> str:
        """The set of the guest's addresses."""
        return f"{self.link}/addresses"

    def add(self, chain: str, expressions: Sequence[Json], comment: str | None = None) -> None:
        rule: Json = {"expr": list(expressions)}
        if comment:
            rule["comment"] = comment.encode()[:LONGEST_COMMENT].decode(errors="ignore").replace('"', "'")
        self.chains.setdefault(chain, []).append(rule)


def compile_rules(instance: Instance, link: str, abilities: Abilities) -> Ruleset:
    """The rules of an instance on a link. Raises Unsupported for what nftables cannot say, InvalidValue."""
    made = Ruleset(link)
    if instance.learning != "none":
        made.sets[made.learned] = {"type": "ipv4_addr", "flags": ["timeout"]}
    for side in ("from", "to"):
        _link_layer(made, instance, side)
    _Network(made, abilities).add([rule for rule in instance.rules if rule.kind is not None and not rule.kind.link])
    return made


def _link_layer(made: Ruleset, instance: Instance, side: Side) -> None:
    rules = [rule for rule in instance.rules if side in SIDES[rule.direction] and (rule.kind is None or rule.kind.link)]
    if not rules:
        return
    root = f"{made.link}/{side}"
    made.chains[root] = []
    made.entries[side] = root
    visits = sorted((priority, chain) for chain, priority in instance.chains.items()
                    if chain != "root" and any(rule.chain == chain for rule in rules))  # fmt: skip
    for rule in sorted((rule for rule in rules if rule.chain == "root"), key=lambda rule: rule.priority):
        while visits and visits[0][0] <= rule.priority:
            _visit(made, root, visits.pop(0)[1])
        _link_rule(made, root, rule, side)
    for _, chain in visits:
        _visit(made, root, chain)
    for rule in sorted((rule for rule in rules if rule.chain != "root"), key=lambda rule: rule.priority):
        _link_rule(made, f"{root}/{rule.chain}", rule, side)


def _visit(made: Ruleset, root: str, chain: str) -> None:
    """Send what a chain is for through it."""
    kind = chain_kind(chain)
    condition = [equal(ETHER_TYPE, ETHER_TYPES[kind])] if kind in ETHER_TYPES else []
    if kind == "stp":
        condition = [equal(payload("ether", "daddr"), BRIDGE_GROUP)]
    made.chains.setdefault(f"{root}/{chain}", [])
    made.add(root, [*condition, {"jump": {"target": f"{root}/{chain}"}}])


def _link_rule(made: Ruleset, chain: str, rule: FlatRule, side: Side) -> None:
    if rule.action == "continue":
        return
    found = matches(rule, made.learned, mirrored=_is_reversed(rule, side))
    if found is None:
        return
    if rule.values.get("gratuitous"):
        found += _gratuitous(made, rule)
    if rule.action == "reject":
        made.notes.append(f"reject in chain {rule.chain}: frames of the link layer are dropped, nobody is told")
    made.add(chain, [*found, VERDICTS.get(rule.action, VERDICTS["drop"])], rule.comment)


def _gratuitous(made: Ruleset, rule: FlatRule) -> list[Json]:
    """Sender and target are the same address. Two fields cannot be compared: one is put into a set, the other looked up."""
    if rule.kind is None or rule.kind.name != "arp":
        raise Unsupported("gratuitous: nftables knows the addresses of ARP alone")
    name = f"{made.link}/gratuitous"
    made.sets[name] = {"type": "ipv4_addr", "flags": ["timeout"], "timeout": 1, "size": 256}
    sender = {"elem": {"val": payload("arp", "saddr ip"), "timeout": 1}}
    target = equal(payload("arp", "daddr ip"), f"@{name}", "!=" if rule.negated else "==")
    return [{"set": {"op": "update", "elem": sender, "set": f"@{name}"}}, target]


class _Network:
    """The chains of the network layer: rules of all filters in the order of their priorities."""

    def __init__(self, made: Ruleset, abilities: Abilities) -> None:
        self._made, self._abilities = made, abilities
        self._limits = 0
        self._flows: set[str] = set()

    def add(self, rules: Sequence[FlatRule]) -> None:
        """Add rules, and the flows that they begin and ask for."""
        for rule in sorted(rules, key=lambda rule: rule.priority):
            if rule.action == "continue":
                continue
            if "ipset" in rule.values:
                raise Unsupported(f"ipset '{rule.values['ipset']}': nftables cannot look into sets of ipset")
            self._rule(rule)
        if self._flows:
            self._forget_unbegun()

    def _forget_unbegun(self) -> None:
        """Take out what asks for flows that no rule ever begins: there are none."""
        rules = [rule for chain in self._made.chains.values() for rule in chain]
        begun = {
            said["set"]["set"] for rule in rules for said in rule["expr"] if said.get("set", {}).get("op") == "add"
        }
        unbegun = {f"@{name}" for name in self._flows if f"@{name}" not in begun}
        for name, chain in self._made.chains.items():
            self._made.chains[name] = [
                {**rule, "expr": [said for said in rule["expr"] if _asked(said) not in unbegun]}
                for rule in chain
                if not any(_asked(said) in unbegun and said["match"]["op"] == "==" for said in rule["expr"])
            ]
        for name in unbegun:
            del self._made.sets[name[1:]]

    def _rule(self, rule: FlatRule) -> None:
        sides = SIDES[rule.direction]
        if "state" in rule.values:
            for side in sides:
                self._by_state(rule, side)
        elif "connlimit-above" in rule.values:
            for side in sides:
                self._limited(rule, side)
        elif rule.action == "accept" and rule.direction != "inout" and rule.statematch and not _is_typed(rule):
            self._stateful(rule, sides[0])
        else:
            self._plain(rule)

    def _plain(self, rule: FlatRule) -> None:
        """Without state a rule holds for both directions; in the other one, source and destination change places."""
        own = SIDES[rule.direction][-1]
        self._emit(rule, own, [])
        if rule.direction == "inout" or not _is_typed(rule):
            self._emit(rule, OTHER[own], [], mirrored=not _is_typed(rule))

    def _stateful(self, rule: FlatRule, side: Side) -> None:
        """Connections that this side begins, and their answers."""
        for share in self._shares(rule, side):
            self._emit(rule, side, share.as_new(side))
        for share in self._shares(rule, OTHER[side]):
            self._emit(rule, OTHER[side], share.as_answer(OTHER[side]), mirrored=True)

    def _by_state(self, rule: FlatRule, side: Side) -> None:
        mirrored = _is_reversed(rule, side)
        states = rule.values["state"]
        if "NONE" in states:
            self._emit(rule, side, [], mirrored=mirrored)
        for state in ("RELATED", "INVALID"):
            if state in states:
                self._made.notes.append(f"state {state}: no packet is known to be so without connection tracking")
        for share in self._shares(rule, side):
            if "ESTABLISHED" in states:
                self._emit(rule, side, share.as_answer(side), mirrored=mirrored)
                self._emit(rule, side, [*share.condition, share.begun.known(side)], mirrored=mirrored)
            if "NEW" in states:
                begins = [share.begun.kept(side, "add", flows.NEW_SECONDS)] if rule.action == "accept" else []
                self._emit(rule, side, [*share.as_first(side), *begins], mirrored=mirrored)

    def _limited(self, rule: FlatRule, side: Side) -> None:
        """A set that takes as many connections as are allowed: what is in it, or finds room, is not above the limit."""
        assert rule.kind is not None
        counted = flows.limited(self._made.link, rule.kind, self._limits, int(rule.values["connlimit-above"]))
        self._limits += 1
        chain = f"{counted.name}/{side}"
        self._made.sets[counted.name] = counted.spec()
        if counted.limit:
            self._made.add(chain, [counted.kept(side, "update", flows.LIMIT_SECONDS), VERDICTS["return"]])
        self._made.add(chain, [self._verdict(rule, side)], rule.comment)
        self._emit(rule, side, [], mirrored=_is_reversed(rule, side), verdict={"jump": {"target": chain}})

    def _shares(self, rule: FlatRule, side: Side) -> Iterator[flows.Share]:
        assert rule.kind is not None
        for share in flows.shares(self._made.link, rule.kind, side):
            for flow in (share.begun, share.other):
                self._flows.add(flow.name)
                self._made.sets[flow.name] = flow.spec()
            yield share

    def _emit(self, rule: FlatRule, side: Side, state: Sequence[Json], *, mirrored: bool = False,
              verdict: Json | None = None) -> None:  # fmt: skip
        found = matches(rule, self._made.learned, mirrored=mirrored)
        if found is None:
            return
        chain = f"{self._made.link}/{side}-ip"
        self._made.entries[f"{side}-ip"] = chain
        self._made.add(chain, [*found, *state, verdict or self._verdict(rule, side)], rule.comment)

    def _verdict(self, rule: FlatRule, side: Side) -> Json:
        if rule.action != "reject":
            return VERDICTS[rule.action]
        if side == "from" and self._abilities.reject:
            return REJECT
        why = "to a guest" if side == "to" else "on this kernel"
        self._made.notes.append(f"reject {why}: the bridge family can only drop, nobody is told")
        return VERDICTS["drop"]


def _asked(said: Json) -> object:
    """The set that an expression looks into."""
    right = said.get("match", {}).get("right")
    return right if isinstance(right, str) else None


def _is_reversed(rule: FlatRule, side: Side) -> bool:
    """A rule of both directions is written as for what goes to the guest."""
    return rule.direction == "inout" and side == "from" and not _is_typed(rule)


def _is_typed(rule: FlatRule) -> bool:
    """A type of ICMP has a direction of its own: its answer is another type."""
    return rule.kind is not None and rule.kind.number in (1, 58) and "type" in rule.values
