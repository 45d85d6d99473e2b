"""A NIC of a namespace behind filters, and which packets come through."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from frontinus.filter.instance import Filtered, instantiate
from frontinus.filter.model import Filter, parse_filter
from frontinus.filter.standard import standard_filters
from support.packets import (
    GUEST,
    PARAMETERS,
    Wire,
    open_tap,
)

TABLE = "test"


def filtered(text: str, values: Sequence[tuple[str, str]] = PARAMETERS,
             addresses: Mapping[str, float | None] | None = None) -> Filtered:  # fmt: skip
    """A filter, a document or a standard one's name, for the guest."""
    own: dict[str, Filter] = {}
    name = text
    if text.startswith("<"):
        parsed = parse_filter(text)
        own, name = {parsed.name: parsed}, parsed.name
    known: dict[str, tuple[str, ...]] = {}
    for key, value in values:
        known[key] = (*known.get(key, ()), value)
    made = instantiate(name, lambda one: own.get(one) or standard_filters().get(one), known, GUEST)
    return Filtered(made, addresses or {})


def tables() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def on_wire() -> Wire:
    wire = Wire()
    wire.join(open_tap("tap0"), "tap0")
    return wire
