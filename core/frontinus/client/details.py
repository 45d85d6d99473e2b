"""What only a guest's XML says, for adapters: every element as facts by path, so that a table can say where what stands.

`<disk type='file'><target dev='vda'/><readonly/></disk>` has the facts `@type` file, `target/@dev` vda, `readonly` ''.
A second element of the same name is `source#2`. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from frontinus.api.errors import InvalidXML

Facts = Mapping[str, str]


@dataclass(frozen=True)
class Device:
    """An element of <devices>: its name and its facts."""

    tag: str
    facts: Facts

    def __getitem__(self, path: str) -> str:
        """A fact, '' where there is none."""
        return self.facts.get(path, "")


@dataclass(frozen=True)
class Details:
    """A definition: its facts without the devices' and those inside <metadata>, and the devices in their order."""

    facts: Facts = field(default_factory=dict)
    devices: tuple[Device, ...] = ()

    def __getitem__(self, path: str) -> str:
        return self.facts.get(path, "")

    def of(self, *tags: str) -> list[Device]:
        """The devices of some kinds."""
        return [device for device in self.devices if device.tag in tags]


EMPTY = Details()


def parse(text: str) -> etree._Element:
    """A definition's root. Raises InvalidXML."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise InvalidXML(f"the definition does not parse: {error}") from None


def details(text: str) -> Details:
    """Read a definition. Raises InvalidXML."""
    return of_root(parse(text))


def of_root(domain: etree._Element) -> Details:
    devices = domain.find("devices")
    listed = tuple(Device(str(e.tag), facts(e)) for e in devices) if devices is not None else ()
    return Details(dict(_facts(domain, "", ("devices", "metadata"))), listed)


def facts(element: etree._Element) -> Facts:
    """All facts of an element; what it says itself is at `.`."""
    own = (element.text or "").strip()
    return {**({".": own} if own else {}), **dict(_facts(element, "", ()))}


def _facts(element: etree._Element, prefix: str, but: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        yield sys.intern(f"{prefix}@{str(name)}"), str(value)
    seen: dict[str, int] = {}
    for child in element:
        tag = str(child.tag)
        if tag in but:
            continue
        seen[tag] = seen.get(tag, 0) + 1
        path = f"{prefix}{tag}" if seen[tag] == 1 else f"{prefix}{tag}#{seen[tag]}"
        text = (child.text or "").strip()
        if text or not len(child):
            yield sys.intern(path), text
        yield from _facts(child, f"{path}/", but)
