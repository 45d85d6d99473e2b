"""Sizes kept in a pair of attributes: <page size='2' unit='MiB'/>."""

from __future__ import annotations

from frontinus.xml import Element, ElementCodec
from frontinus.xml.codecs import scale


class Scaled(ElementCodec):
    """The attribute `name` counted in `unit`, as bytes; written in `write_unit`. Mapped at path "" of a model."""

    def __init__(self, name: str, write_unit: str = "KiB", read_unit: str = "KiB") -> None:
        self.name, self.write_unit, self.read_unit = name, write_unit, read_unit
        self.attributes = (name, "unit")

    def read(self, element: Element) -> int | None:
        text = element.get(self.name)
        return None if text is None else scale(text, element.get("unit"), self.read_unit)

    def write(self, element: Element, value: int) -> None:
        element.set(self.name, str(value // scale("1", self.write_unit, self.write_unit)))
        element.set("unit", self.write_unit)
