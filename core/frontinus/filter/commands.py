"""Transactions: what must be said to nftables to give a NIC its rules, to change them, and to take them away.

All of them are pure. A NIC's rules change in one transaction, which the kernel shows to packets at one moment: a packet
meets the old rules or the new ones, never none. What a NIC's sets have learned stays, but for what the rules no longer use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from frontinus.filter.matches import Json
from frontinus.filter.ruleset import REJECT, Ruleset

FAMILY = "bridge"
BASES: tuple[tuple[str, str, str, int], ...] = (
    ("from", "prerouting", "iifname", -300), ("from-ip", "prerouting", "iifname", -290),
    ("to", "postrouting", "oifname", -300), ("to-ip", "postrouting", "oifname", -290),
)  # fmt: skip
"""Base chains, each with a map of its name from links to their chains: name, hook, the packet's link, priority. Frames
that the first lets pass are looked at by the second, both before anything else on the bridge."""


@dataclass(frozen=True)
class Objects:
    """Names of what a NIC has in the table: chains, sets, and maps that it has an entry in."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    entries: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ruleset: Ruleset) -> Objects:
        return cls(frozenset(ruleset.chains), frozenset(ruleset.sets), frozenset(ruleset.entries))


def base(table: str) -> list[Json]:
    """The table, its base chains and their maps, whether they are there or not."""
    made: list[Json] = [{"add": {"table": {"family": FAMILY, "name": table}}}]
    for name, hook, link, priority in BASES:
        made.append(_add(table, "map", name=name, type="ifname", map="verdict"))
        made.append(_add(table, "chain", name=name, type="filter", hook=hook, prio=priority, policy="accept"))
        made.append({"flush": {"chain": {"family": FAMILY, "table": table, "name": name}}})
        look_up: Json = {"vmap": {"key": {"meta": {"key": link}}, "data": f"@{name}"}}
        made.append(_add(table, "rule", chain=name, expr=[look_up]))
    return made


def put(table: str, ruleset: Ruleset, addresses: Mapping[str, int | None], old: Objects) -> list[Json]:
    """Give a NIC its rules in place of those that it has. `addresses`: what was learned, with seconds to live or None."""
    new = Objects.of(ruleset)
    made = [_add(table, "chain", name=chain) for chain in ruleset.chains if chain not in old.chains]
    made += [_add(table, "set", name=name, **spec) for name, spec in ruleset.sets.items() if name not in old.sets]
    made += [_remove(table, "element", name=name, elem=[ruleset.link]) for name in sorted(old.entries - new.entries)]
    made += [_of("flush", table, "chain", name=chain) for chain in sorted(old.chains)]
    for chain, rules in ruleset.chains.items():
        made += [_add(table, "rule", chain=chain, **rule) for rule in rules]
    if ruleset.learned in new.sets:
        made += addresses_of(table, ruleset, addresses)
    for name, chain in ruleset.entries.items():
        made.append(_add(table, "element", name=name, elem=[[ruleset.link, {"jump": {"target": chain}}]]))
    return made + _removed(table, old.chains - new.chains, old.sets - new.sets)


def addresses_of(table: str, ruleset: Ruleset, addresses: Mapping[str, int | None]) -> list[Json]:
    """Make these the addresses that a guest may use: with seconds to live, or None."""
    elements = [
        {"elem": {"val": address, "timeout": seconds}} if seconds is not None else address
        for address, seconds in addresses.items()
    ]
    added = [_add(table, "element", name=ruleset.learned, elem=elements)] if elements else []
    return [_of("flush", table, "set", name=ruleset.learned), *added]


def take(table: str, link: str, old: Objects) -> list[Json]:
    """Take away all that a NIC has."""
    made = [_remove(table, "element", name=name, elem=[link]) for name in sorted(old.entries)]
    made += [_of("flush", table, "chain", name=chain) for chain in sorted(old.chains)]
    return made + _removed(table, old.chains, old.sets)


def _removed(table: str, chains: Iterable[str], sets: Iterable[str]) -> list[Json]:
    return [*(_remove(table, "chain", name=name) for name in sorted(chains)),
            *(_remove(table, "set", name=name) for name in sorted(sets))]  # fmt: skip


def found(table: str, objects: Sequence[Json]) -> dict[str, Objects]:
    """What each link has, from listings of chains, sets and maps."""
    names: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for entry in objects:
        kind, what = next(iter(entry.items()))
        if (what.get("family"), what.get("table")) != (FAMILY, table):
            continue
        if kind == "map":
            for link, _ in what.get("elem", ()):
                names.setdefault(link, (set(), set(), set()))[2].add(what["name"])
        elif "/" in what["name"]:
            link = what["name"].partition("/")[0]
            names.setdefault(link, (set(), set(), set()))[0 if kind == "chain" else 1].add(what["name"])
    return {link: Objects(*map(frozenset, kinds)) for link, kinds in names.items()}


def _add(table: str, kind: str, **what: object) -> Json:
    return _of("add", table, kind, **what)


def _remove(table: str, kind: str, **what: object) -> Json:
    return _of("delete", table, kind, **what)


def _of(verb: str, table: str, kind: str, **what: object) -> Json:
    return {verb: {kind: {"family": FAMILY, "table": table, **what}}}


def trial(table: str) -> list[Json]:
    """A transaction that changes nothing, and that a kernel takes which can reject in this family."""
    chain = "trial"
    reject = [
        {"match": {"op": "==", "left": {"payload": {"protocol": "ether", "field": "type"}}, "right": "ip"}},
        REJECT,
    ]
    return [_add(table, "chain", name=chain), _add(table, "rule", chain=chain, expr=reject),
            _of("flush", table, "chain", name=chain), _remove(table, "chain", name=chain)]  # fmt: skip
