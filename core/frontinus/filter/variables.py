"""Variables of filters: their values, and the combinations that a rule with variables stands for.

Variables under one iterator ($A, $B or $A[@1], $B[@1]) go through their values side by side, those under different
iterators through every combination, the first iterator fastest. A combination that comes again says nothing new.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from frontinus.api.errors import InvalidValue
from frontinus.filter.model import Parameter
from frontinus.filter.protocols import Protocol
from frontinus.filter.values import IPV4, Reference

IP, MAC, SERVERS, LEARNING = "IP", "MAC", "DHCPSERVER", "CTRL_IP_LEARNING"
"""Variables that have a meaning of their own."""
MOST_COMBINATIONS = 4096
"""Of one rule."""

Variables = Mapping[str, tuple[str, ...]]


class Learned:
    """Stands for the addresses of a NIC that are learned as it goes."""

    def __repr__(self) -> str:
        return "LEARNED"


LEARNED = Learned()


def variables(parameters: Sequence[Parameter]) -> dict[str, tuple[str, ...]]:
    """Values by variable, in the order of the document."""
    found: dict[str, tuple[str, ...]] = {}
    for parameter in parameters:
        found[parameter.name] = (*found.get(parameter.name, ()), parameter.value)
    return found


def missing(values: Mapping[str, Any], known: Variables, *, learning: bool) -> set[str]:
    """The variables that have no value. One that is learned needs none."""
    return {
        str(value)
        for value in values.values()
        if isinstance(value, Reference) and value.name not in known and not (learning and value.name == IP)
    }


def combinations(kind: Protocol, values: Mapping[str, Any], known: Variables) -> Iterator[dict[str, Any]]:
    """What a rule says with each combination of its variables' values. Raises InvalidValue for values that do not fit."""
    fixed = {name: value for name, value in values.items() if not isinstance(value, Reference)}
    lists: dict[int, dict[str, list[Any]]] = {}
    for name, value in values.items():
        if not isinstance(value, Reference):
            continue
        if value.name not in known:
            fixed[name] = _learned(kind, name)
        elif value.index is not None:
            fixed[name] = _value(kind, name, value, _at(value, known[value.name]))
        else:
            lists.setdefault(value.iterator, {})[name] = [_value(kind, name, value, text) for text in known[value.name]]
    steps = [_side_by_side(lists[iterator]) for iterator in sorted(lists)]
    if math.prod(map(len, steps)) > MOST_COMBINATIONS:
        raise InvalidValue(f"a rule's variables have more than {MOST_COMBINATIONS} combinations", field="parameter")
    for chosen in itertools.product(*reversed(steps)):
        yield {**fixed, **{name: value for step in chosen for name, value in step.items()}}


def _learned(kind: Protocol, attribute: str) -> Learned:
    if kind.attributes[attribute] is not IPV4:
        raise InvalidValue(f"{attribute} of <{kind.name}>: addresses that are learned are IPv4 addresses", field=IP)
    return LEARNED


def _side_by_side(lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    if len({len(values) for values in lists.values()}) > 1:
        raise InvalidValue("variables under one iterator have different numbers of values", field="parameter")
    steps = dict.fromkeys(zip(*lists.values(), strict=True))
    return [dict(zip(lists, step, strict=True)) for step in steps]


def _at(reference: Reference, values: tuple[str, ...]) -> str:
    assert reference.index is not None
    if reference.index >= len(values):
        raise InvalidValue(f"{reference}: the variable has {len(values)} values", field=reference.name)
    return values[reference.index]


def _value(kind: Protocol, attribute: str, reference: Reference, text: str) -> Any:
    try:
        if text.strip().startswith("$"):
            raise ValueError("a variable's value is no variable")
        return kind.attributes[attribute].parse(text)
    except ValueError as error:
        raise InvalidValue(
            f"variable {reference.name}, for {attribute} of <{kind.name}>: {error}", field=reference.name
        ) from None
