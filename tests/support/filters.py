"""Filters in tests: rules in the words of nft, and a NIC's ruleset from a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frontinus.filter.instance import Instance, instantiate
from frontinus.filter.model import Filter, parse_filter
from frontinus.filter.ruleset import Abilities, Ruleset, compile_rules
from frontinus.filter.standard import standard_filters

MAC = "52:54:00:00:00:01"
LINK = "vnet0"


def instance(text: str, parameters: Mapping[str, tuple[str, ...]] | None = None) -> Instance:
    """A filter, given as a document or by the name of a standard one, for a NIC."""
    own: dict[str, Filter] = {}
    name = text
    if text.lstrip().startswith("<"):
        parsed = parse_filter(text)
        own[parsed.name] = parsed
        name = parsed.name
    return instantiate(name, lambda wanted: own.get(wanted) or standard_filters().get(wanted), parameters or {}, MAC)


def ruleset(text: str, parameters: Mapping[str, tuple[str, ...]] | None = None, *, reject: bool = False) -> Ruleset:
    return compile_rules(instance(text, parameters), LINK, Abilities(reject=reject))


def rule(inside: str, action: str = "accept", direction: str = "out", more: str = "", chain: str = "root") -> str:
    """A filter of one rule."""
    return (f"<filter name='x' chain='{chain}'><rule action='{action}' direction='{direction}' {more}>{inside}</rule>"
            "</filter>")  # fmt: skip


def words(made: Ruleset) -> dict[str, list[str]]:
    """Every chain's rules as text."""
    return {chain: [" ".join(map(_said, one["expr"])) for one in rules] for chain, rules in made.chains.items()}


def _said(expression: dict[str, Any]) -> str:
    (kind, what), *_ = expression.items()
    match kind:
        case "match":
            op = "" if what["op"] == "==" else "!= "
            return f"{_side(what['left'])} {op}{_side(what['right'])}"
        case "jump":
            return f"jump {what['target']}"
        case "set":
            elem = what["elem"]["elem"]
            return f"{what['op']} {what['set']} {{ {_side(elem['val'])} timeout {elem['timeout']}s }}"
    return str(kind)


def _side(side: Any) -> str:
    match side:
        case {"payload": {"protocol": protocol, "field": field}}:
            return f"{protocol} {field}"
        case {"payload": {"base": base, "offset": offset, "len": length}}:
            return f"@{base},{offset},{length}"
        case {"meta": {"key": key}}:
            return str(key)
        case {"&": [left, right]}:
            return f"{_side(left)} & {_side(right)} =="
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"concat": parts}:
            return " . ".join(map(_side, parts))
        case {"set": parts}:
            return "{ " + ", ".join(map(_side, parts)) + " }"
    return hex(side) if isinstance(side, int) and side > 255 else str(side)


def shown(made: Ruleset) -> str:
    """A whole ruleset as text, for a golden file."""
    lines = [f"set {name} {spec}" for name, spec in made.sets.items()]
    lines += [f"{name} -> {chain}" for name, chain in made.entries.items()]
    for chain, rules in words(made).items():
        lines += [f"chain {chain}", *(f"  {text}" for text in rules)]
    return "\n".join(lines + [f"note: {note}" for note in made.notes]) + "\n"
