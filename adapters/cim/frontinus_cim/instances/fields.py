"""Where a property stands in an element, and how its text is a value: said once, for reading and for writing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lxml import etree

from frontinus.client.details import Facts, facts
from frontinus_cim.wire.model import Value

Element = etree._Element
OPPOSITE = {"yes": "no", "on": "off"}
"""What a switch's text is when it is not `yes`."""


@dataclass(frozen=True)
class Field:
    """`path`: of attributes, as `facts` has it. `yes`: a switch's text, '' where the element itself is the switch.

    `none`: the number that stands for nothing there, by which a client takes the text away.
    """

    path: str
    yes: str | None = None
    number: bool = False
    none: int | None = None

    def read(self, facts: Facts) -> Value:
        if self.yes == "":
            return self.path in facts
        text = facts.get(self.path)
        if text is None:
            return None
        if self.yes is not None:
            return text == self.yes
        if self.number:
            return int(text) if text.isdecimal() else None
        return text

    def write(self, element: Element, value: Value) -> None:
        """Set the place."""
        if self.yes == "":
            put(element, self.path, "" if value else None)
        elif self.yes is not None:
            put(element, self.path, self.yes if value else OPPOSITE[self.yes])
        elif self.none is not None and value == self.none:
            put(element, self.path, None)
        else:
            put(element, self.path, str(value) or None)


def update(element: Element, fields: Mapping[str, Field], values: Mapping[str, Value]) -> None:
    """Write the values that differ from what the element says. Two properties may have one place: the one that differs counts."""
    before = facts(element)
    for name, field in fields.items():
        value = values.get(name)
        if value is not None and value != field.read(before):
            field.write(element, value)


def clear(element: Element, fields: Mapping[str, Field], names: Iterable[str]) -> None:
    """Take properties away."""
    for name in names:
        if name in fields:
            put(element, fields[name].path, None)


def text(element: Element) -> str:
    """An element as XML."""
    return etree.tostring(element, encoding="unicode")


def put(element: Element, path: str, value: str | None) -> None:
    """Set what a path names, making the elements on the way. None takes it away, and the elements that then say nothing."""
    *way, last = path.split("/")
    at, above = element, list[Element]()
    for tag in way if last.startswith("@") else (*way, last):
        found = at.find(tag)
        if found is None:
            if value is None:
                return
            found = etree.SubElement(at, tag)
        above.append(at)
        at = found
    if value is None:
        _take_away(at, last, above)
    elif last.startswith("@"):
        at.set(last[1:], value)
    else:
        at.text = value or None


def _take_away(at: Element, last: str, above: list[Element]) -> None:
    if last.startswith("@"):
        at.attrib.pop(last[1:], "")
    elif above:
        above[-1].remove(at)
        return
    for parent in reversed(above):
        if at.attrib or len(at) or (at.text or "").strip():
            return
        parent.remove(at)
        at = parent
