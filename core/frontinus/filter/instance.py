"""Instantiation: a filter, what it refers to, and the values of its variables become one flat list of rules for a NIC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from frontinus.api.errors import InvalidValue, NoSuchFilter
from frontinus.filter.model import Filter, FilterRef, Rule
from frontinus.filter.protocols import Protocol
from frontinus.filter.variables import IP, LEARNED, LEARNING, MAC, SERVERS, Variables, combinations, missing, variables

Lookup = Callable[[str], Filter | None]
Learning = Literal["any", "dhcp", "none"]

DEEPEST = 32
"""References within references."""
MOST_REFERENCES = 1000
"""Of one filter, counted as often as they are met."""
MOST_RULES = 20_000
"""Of one NIC, after all combinations of variables."""


@dataclass(frozen=True)
class FlatRule:
    """One rule without variables. `kind` None: of every packet. `negated`: each condition is turned round."""

    chain: str
    action: str
    direction: str
    priority: int
    kind: Protocol | None
    values: Mapping[str, Any]
    negated: bool = False
    statematch: bool = True
    comment: str | None = None


@dataclass(frozen=True)
class Instance:
    """A filter for one NIC. `chains`: when the root chain visits each of the others.

    `learning`: how the guest's addresses are found where they are not given. `servers`: DHCP servers that are believed;
    empty: all.
    """

    filter: str
    mac: str
    rules: tuple[FlatRule, ...]
    chains: Mapping[str, int]
    learning: Learning = "none"
    servers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    """The guest's addresses where they are given."""


@dataclass(frozen=True)
class Filtered:
    """A NIC's filter, with the addresses that were learned before: the Unix time when each ends, or None for never."""

    instance: Instance
    addresses: Mapping[str, float | None] = field(default_factory=dict)


BLOCKED = Filtered(Instance("", "00:00:00:00:00:00", (FlatRule("root", "drop", "inout", 500, None, {}),), {}))
"""Nothing passes: for a NIC whose filter is lost."""


@dataclass(frozen=True)
class FilterUse:
    """A filter that a NIC asks for, with values of its variables."""

    filter: str
    parameters: tuple[tuple[str, str], ...] = ()


def instantiate(name: str, lookup: Lookup, parameters: Variables, mac: str) -> Instance:
    """A filter for a NIC. Raises NoSuchFilter, InvalidValue for variables without a value or with one that does not fit."""
    known: Variables = {MAC: (mac,), **parameters}
    learning = _learning(known)
    lacking: set[str] = set()
    rules: list[FlatRule] = []
    chains: dict[str, int] = {}
    for filter, rule, values in _Walk(lookup).rules(name, known):
        chains.setdefault(filter.chain, filter.visited)
        lacking |= missing(rule.match.values() if rule.match else {}, values, learning=learning != "none")
        if not lacking:
            rules += _flat(filter, rule, values)
        if len(rules) > MOST_RULES:
            raise InvalidValue(f"filter '{name}' has more than {MOST_RULES} rules", field="filter")
    if lacking:
        raise InvalidValue(f"filter '{name}' needs values for {', '.join(sorted(lacking))}", field="parameter")
    learned = any(value is LEARNED for rule in rules for value in rule.values.values())
    return Instance(name, mac, tuple(rules), chains, learning if learned else "none", known.get(SERVERS, ()),
                    known.get(IP, ()))  # fmt: skip


def _learning(known: Variables) -> Learning:
    chosen = known.get(LEARNING, ("any",))[0].lower()
    if chosen not in ("any", "dhcp", "none"):
        raise InvalidValue(f"{LEARNING} is any, dhcp or none, not '{chosen[:40]}'", field=LEARNING)
    return cast("Learning", chosen)


class _Walk:
    """A walk through a filter and all that it includes."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._visits = 0

    def rules(self, name: str, known: Variables,
              path: tuple[str, ...] = ()) -> Iterator[tuple[Filter, Rule, Variables]]:  # fmt: skip
        """Every rule in its order, with the values of variables: what a NIC says outweighs what a reference says."""
        self._visits += 1
        if name in path:
            raise InvalidValue(f"filter '{path[0]}' includes itself, by way of '{name}'", field="filter")
        if len(path) > DEEPEST or self._visits > MOST_REFERENCES:
            raise InvalidValue(f"filter '{path[0]}' includes too many others", field="filter")
        filter = self._lookup(name)
        if filter is None:
            by = f", which filter '{path[-1]}' includes" if path else ""
            raise NoSuchFilter(f"no filter '{name[:100]}'{by}", filter=name[:100])
        for entry in filter.entries:
            if isinstance(entry, FilterRef):
                yield from self.rules(entry.filter, {**variables(entry.parameters), **known}, (*path, name))
            else:
                yield filter, entry, known


def _flat(filter: Filter, rule: Rule, known: Variables) -> Iterator[FlatRule]:
    match = rule.match
    if match is None:
        yield FlatRule(filter.chain, rule.action, rule.direction, rule.priority, None, {})
        return
    for values in combinations(match.kind, match.values(), known):
        yield FlatRule(
            filter.chain if match.kind.link else "root", rule.action, rule.direction, rule.priority, match.kind, values,
            negated=match.match == "no", statematch=rule.statematch is not False, comment=match.comment,
        )  # fmt: skip


def included(filter: Filter, lookup: Lookup) -> set[str]:
    """The names of all filters that one includes, near or far; its own among them if they go in a circle."""
    found: set[str] = set()
    ahead = [filter]
    while ahead:
        new = {reference.filter for reference in ahead.pop().references()} - found
        found |= new
        ahead += [below for name in new if name != filter.name and (below := lookup(name)) is not None]
    return found
