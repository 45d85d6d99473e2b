"""Filters and bindings as they stand in their documents: what <filter> and <filterbinding> say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from frontinus.api.errors import InvalidXML
from frontinus.filter.protocols import MATCHES, Match
from frontinus.xml import DocumentError, Kinds, MappingError, Model, format_document, many, one, parse_document, xml
from frontinus.xml.codecs import Codec, Mac, Uuid, integer, one_of
from frontinus.xml.mapping import M

ACTIONS = ("drop", "accept", "reject", "return", "continue")
DIRECTIONS = ("in", "out", "inout")
RULE_PRIORITY = 500
CHAINS = {"root": 0, "stp": -810, "mac": -800, "vlan": -750, "ipv4": -700, "ipv6": -600, "arp": -500, "rarp": -400}
"""Kinds of chain, by which their names begin, and when the root chain visits them unless a filter says otherwise."""
LONGEST_CHAIN = 12
LONGEST_NAME = 255


def _chain(text: str) -> str:
    known = text == "root" or any(text.startswith(kind) for kind in CHAINS if kind != "root")
    if not known or len(text) > LONGEST_CHAIN or not re.fullmatch(r"[A-Za-z0-9_.:-]+", text):
        kinds = ", ".join(CHAINS)
        raise ValueError(
            f"'{text[:40]}' is no chain: its name begins with one of {kinds}, and has {LONGEST_CHAIN} letters"
        )
    return text


def _name(text: str) -> str:
    if not text or len(text) > LONGEST_NAME or re.search(r"[/\x00-\x1f]", text):
        raise ValueError(f"a name has 1 to {LONGEST_NAME} characters, none of them '/' or a control character")
    return text


def _statematch(text: str) -> bool:
    if text.lower() not in ("false", "0", "true", "1"):
        raise ValueError(f"'{text[:20]}' is neither true nor false")
    return text.lower() in ("true", "1")


NAME: Codec[str] = Codec(_name, str)
STATEMATCH: Codec[bool] = Codec(_statematch, lambda value: "true" if value else "false")
PRIORITY = integer(-1000, 1000)


class Parameter(Model, tag="parameter"):
    """One value of a variable."""

    name: str = xml("@name", required=True)
    value: str = xml("@value", required=True)


class FilterRef(Model, tag="filterref"):
    """Another filter, with values for its variables."""

    filter: str = xml("@filter", NAME, required=True)
    parameters: list[Parameter] = many("parameter", Parameter)


class Rule(Model, tag="rule"):
    """What to do with packets that match; all packets where nothing is said of them."""

    action: str = xml("@action", one_of(*ACTIONS), required=True)
    direction: str = xml("@direction", one_of(*DIRECTIONS), required=True)
    priority: int = xml("@priority", PRIORITY, default=RULE_PRIORITY)
    statematch: bool | None = xml("@statematch", STATEMATCH)
    match: Match | None = one("", Kinds(MATCHES))


class Filter(Model, tag="filter"):
    """Rules of one chain, and references to other filters, in the order of the document."""

    name: str = xml("@name", NAME, required=True)
    chain: str = xml("@chain", Codec(_chain, str, tuple(CHAINS)), default="root")
    priority: int | None = xml("@priority", PRIORITY)
    uuid: str | None = xml("uuid", Uuid)
    entries: list[Rule | FilterRef] = many("", Kinds({"filterref": FilterRef, "rule": Rule}))

    @property
    def visited(self) -> int:
        """The priority by which the root chain visits this filter's chain."""
        return chain_priority(self.chain) if self.priority is None else self.priority

    def references(self) -> Iterator[FilterRef]:
        """The filters that this one includes."""
        return (entry for entry in self.entries if isinstance(entry, FilterRef))


class Binding(Model, tag="filterbinding"):
    """A filter in force on a link: whose it is, and the values of its variables."""

    owner_name: str = xml("owner/name", required=True)
    owner_uuid: str = xml("owner/uuid", Uuid, required=True)
    link: str = xml("portdev/@name", required=True)
    lower: str | None = xml("linkdev/@name")
    mac: str = xml("mac/@address", Mac, required=True)
    filterref: FilterRef | None = one("filterref", FilterRef)


def chain_kind(chain: str) -> str:
    """The kind of a chain: the longest that its name begins with."""
    return max((kind for kind in CHAINS if chain.startswith(kind)), key=len)


def chain_priority(chain: str) -> int:
    return CHAINS[chain_kind(chain)]


def parse_filter(text: str | bytes) -> Filter:
    """Parse a filter. Raises InvalidXML, also for what is not known: a condition that is overlooked lets packets pass."""
    found = _parse(Filter, text)
    for entry in found.entries:
        if isinstance(entry, FilterRef):
            entry.parameters.sort(key=lambda parameter: parameter.name)
    if found.priority == chain_priority(found.chain):
        found.priority = None
    return found


def parse_binding(text: str | bytes) -> Binding:
    """Parse a binding. Raises InvalidXML."""
    found = _parse(Binding, text)
    if found.filterref is None:
        raise InvalidXML("element <filterbinding>: <filterref> is missing", element="filterbinding", line="0")
    found.filterref.parameters.sort(key=lambda parameter: parameter.name)
    return found


def _parse(model: type[M], text: str | bytes) -> M:
    try:
        found = parse_document(model, text)
    except MappingError as error:
        raise InvalidXML(str(error), element=error.element, line=str(error.line)) from None
    except DocumentError as error:
        raise InvalidXML(str(error), line=str(error.line or 0)) from None
    for unknown in found.unknown():
        kind = "attribute" if unknown.is_attribute else "element"
        raise InvalidXML(f"line {unknown.line}: unknown {kind} '{unknown.name}'", element=unknown.name,
                         line=str(unknown.line))  # fmt: skip
    return found


def format_filter(filter: Filter) -> str:
    return format_document(filter)


def format_binding(binding: Binding) -> str:
    return format_document(binding)
