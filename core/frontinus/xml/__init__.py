"""The mapping between XML and dataclasses: small, declarative, and it loses nothing."""

from frontinus.xml.mapping import (
    Element,
    ElementCodec,
    Flag,
    Kinds,
    MappingError,
    Model,
    Raw,
    Size,
    Unknown,
    Variants,
    many,
    one,
    texts,
    xml,
)
from frontinus.xml.reader import DocumentError, document, element_named, parse_document
from frontinus.xml.writer import View, format_document, to_element, written

__all__ = [
    "DocumentError", "Element", "ElementCodec", "Flag", "Kinds", "MappingError", "Model", "Raw", "Size", "Unknown",
    "Variants", "View", "document", "element_named", "format_document", "many", "one", "parse_document", "texts",
    "to_element", "written", "xml",
]  # fmt: skip
