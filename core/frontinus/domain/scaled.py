"""Sizes kept in a pair of attributes: <page size='2' unit='MiB'/>."""

from __future__ import annotations

from frontinus.xml import Element, ElementCodec
from frontinus.xml.codecs import scale


class Scaled(ElementCodec):
    """The attribute `name` counted in `unit`, as bytes; written in `write_unit`,
    rounded up, or without one in the largest that fits. Mapped at path "" of a model."""

    def __init__(self, name: str, write_unit: str = "KiB", read_unit: str = "KiB") -> None:
        self.name, self.write_unit, self.read_unit = name, write_unit, read_unit
        self.attributes = (name, "unit")

    def read(self, element: Element) -> int | None:
        text = element.get(self.name)
        return None if text is None else scale(text, element.get("unit"), self.read_unit)

    def write(self, element: Element, value: int) -> None:
        unit = self.write_unit or largest_unit(value)
        element.set(self.name, str(-(-value // scale("1", unit, unit))))
        element.set("unit", unit)


def largest_unit(value: int) -> str:
    """The largest unit that a size is a whole number of."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    return next(unit for unit in reversed(units) if value % scale("1", unit, unit) == 0)
