"""`frontinus xml nwfilter` and `firewall` of filters: what a filter's document leads to, without a daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from frontinus.api.errors import FrontinusError
from frontinus.client.offline import line
from frontinus.filter import commands
from frontinus.filter.commands import Objects
from frontinus.filter.instance import instantiate
from frontinus.filter.model import (
    Filter,
    Parameter,
    format_binding,
    format_filter,
    parse_binding,
    parse_filter,
)
from frontinus.filter.ruleset import Abilities, compile_rules
from frontinus.filter.standard import standard_filters
from frontinus.filter.variables import Variables, variables

LINK, MAC = "vnet0", "52:54:00:00:00:01"
"""What a NIC has where nobody says."""


def filter_lines(files: Iterable[str]) -> Iterable[str]:
    """One line a file: {"file", "xml"} or {"file", "error"}."""
    return (line(name, lambda text: {"xml": format_filter(parse_filter(text))}) for name in files)


def binding_lines(files: Iterable[str]) -> Iterable[str]:
    """The same of bindings."""
    return (line(name, lambda text: {"xml": format_binding(parse_binding(text))}) for name in files)


def is_of_filters(text: bytes) -> bool:
    """Whether a document is a filter or a binding, as its first tag says."""
    start = text.find(b"<filter")
    network = text.find(b"<network")
    return start >= 0 and (network < 0 or start < network)


def ruleset_line(file: str, files: Sequence[str], assigned: Sequence[tuple[str, str]]) -> str:
    """{"file", "firewall", "notes"}: the commands of libnftables-json(5) that give a NIC the filter of a file.

    Filters of the other files are known to it, and the standard ones. `assigned`: values of variables, one each.
    """
    known = _known(files)
    given = variables([Parameter(name=name, value=value) for name, value in assigned])

    def planned(text: bytes) -> dict[str, object]:
        link, mac, name, values = _nic(text, given)
        made = compile_rules(instantiate(name, known.get, values, mac), link, Abilities())
        table = commands.base("frontinus")
        return {"firewall": table + commands.put("frontinus", made, {}, Objects()), "notes": made.notes}

    return line(file, planned)


def _nic(text: bytes, given: Variables) -> tuple[str, str, str, Variables]:
    """Link, MAC address, filter and variables: of a binding its own, of a filter those of a card made up."""
    if b"<filterbinding" not in text:
        filter = parse_filter(text)
        return LINK, given.get("MAC", (MAC,))[0], filter.name, given
    binding = parse_binding(text)
    assert binding.filterref is not None
    return binding.link, binding.mac, binding.filterref.filter, {**variables(binding.filterref.parameters), **given}


def _known(files: Sequence[str]) -> Mapping[str, Filter]:
    """The standard filters, and those of files that can be read; what is amiss with a file is told of its own line."""
    known = dict(standard_filters())
    for name in files:
        try:
            found = parse_filter(Path(name).read_bytes())
        except (FrontinusError, OSError):
            continue
        known[found.name] = found
    return known
