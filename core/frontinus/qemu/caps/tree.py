"""Building XML for people who ask what there is: a few lines over lxml."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from frontinus.xml import written

Element = etree._Element
VENDOR_NAMES = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel", "HygonGenuine": "Hygon", "CentaurHauls": "Zhaoxin"}
"""Vendors of processors as users call them, by their CPUID string."""


def child(parent: Element, tag: str, text: object = None, /, **attributes: object) -> Element:
    """Add a child; None attributes are left out, booleans are yes and no."""
    node = etree.SubElement(parent, tag, {k: _text(v) for k, v in attributes.items() if v is not None})
    if text is not None:
        node.text = _text(text)
    return node


def enum(parent: Element, name: str, values: Iterable[str]) -> Element:
    """Add an <enum> with its values."""
    node = child(parent, "enum", name=name)
    for value in values:
        child(node, "value", value)
    return node


def supported(parent: Element, tag: str, yes: bool = True, /, **attributes: object) -> Element:
    """Add an element that says whether it is supported."""
    return child(parent, tag, supported=yes, **attributes)


def write(root: Element) -> str:
    """The document."""
    return written(root)


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
