"""Reading: an element tree walked once along the compiled paths of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from lxml import etree

from frontinus.xml.mapping import (
    Element,
    Kinds,
    MappingError,
    Model,
    Node,
    Spec,
    Unknown,
    Variants,
    line_of,
    parser,
    verbatim,
)

M = TypeVar("M", bound=Model)
MAX_BYTES = 4 * 2**20
MAX_TAGS = 100_000
"""Far beyond any guest; what one document may cost is bounded by it."""


class DocumentError(ValueError):
    """Text that is no acceptable XML document."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        self.reason, self.line = reason, line
        super().__init__(f"line {line}: {reason}" if line else reason)


def parse_document(model: type[M], text: str | bytes) -> M:
    """Parse a whole document. Raises DocumentError for text that is no XML, MappingError for what does not fit."""
    return read(model, document(text, model.tag))


def document(text: str | bytes, tag: str = "") -> Element:
    """The root element of a document, limited in size, its tag checked."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise DocumentError(f"the document has {len(data)} bytes, more than {MAX_BYTES}")
    if data.count(b"<") > MAX_TAGS:
        raise DocumentError(f"the document has more than {MAX_TAGS} tags")
    try:
        root = etree.fromstring(data, parser("utf-8" if isinstance(text, str) else None))
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"not well-formed XML: {error.msg}", error.lineno) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise DocumentError("a document type declaration is not allowed")
    if tag and root.tag != tag:
        raise MappingError(root, f"expected <{tag}>")
    return root


def element_named(message: str) -> str:
    """The element that a message names first, as in "<disk>: ..."; empty when it names none."""
    return message.partition("<")[2].partition(">")[0].partition(" ")[0]


def read(model: type[M], element: Element) -> M:
    """Build a model object from an element. Raises MappingError for the first thing that does not fit."""
    result = model()
    values = result.__dict__
    _walk(model._tree, element, (), values)
    for name, spec in model._specs.items():
        if spec.required and values.get(name) is None:
            what = spec.path.replace("@", "attribute ") if "@" in spec.path else f"<{spec.path}>"
            raise MappingError(element, f"{what} is missing")
    return result


def _walk(node: Node, element: Element, path: tuple[str, ...], values: dict[str, Any]) -> None:
    consumed: tuple[str, ...] = ()
    if node.whole is not None:
        name, spec = node.whole
        values[name] = _convert(spec.codec.read, element, element)
        if spec.codec.attributes is None:
            return
        consumed = spec.codec.attributes
    if node.text is not None:
        name, spec = node.text
        text = (element.text or "").strip()
        if text or (not node.attributes and _may_be_empty(spec)):
            values[name] = _convert(spec.codec.parse, text, element)
    for attribute, word in cast(list[tuple[str, str]], element.items()):
        known = node.attributes.get(attribute)
        if known is not None:
            values[known[0]] = _convert(known[1].codec.parse, word, element, attribute)
        elif attribute not in consumed:
            values.setdefault("kept", []).append(Unknown(path, attribute, word, line_of(element), is_attribute=True))
    for attribute in node.needed:
        if attribute not in element.attrib:
            raise MappingError(element, f"attribute '{attribute}' is missing")
    if len(element):
        _children(node, element, path, values)


def _may_be_empty(spec: Spec) -> bool:
    """Whether no text is a value; else an empty element says nothing, as templates write it for what they leave open."""
    try:
        spec.codec.parse("")
    except ValueError:
        return False
    return True


def _children(node: Node, element: Element, path: tuple[str, ...], values: dict[str, Any]) -> None:
    seen: dict[str, int] = {}
    before: tuple[str, int] | None = None
    for child in element.iterchildren(tag=etree.Element):
        tag: str = child.tag
        below = node.children.get(tag)
        count = seen.get(tag, 0)
        if below is None or (count and not (below.items is not None and below.items[1].many)):
            values.setdefault("kept", []).append(Unknown(path, tag, verbatim(child), line_of(child), before))
            continue
        before = (tag, count)
        seen[tag] = count + 1
        if below.items is None:
            _walk(below, child, (*path, tag), values)
        elif below.items[1].many:
            values[below.items[0]].append(_item(below.items[1], child))
        elif isinstance(below.items[1].model, Kinds) and below.items[0] in values:
            raise MappingError(child, "one element of this kind is too many here")
        else:
            values[below.items[0]] = _item(below.items[1], child)


def _item(spec: Spec, element: Element) -> Any:
    """One model object, or one value of a repeated text or attribute."""
    if spec.model is not None:
        return read(spec.model.model(element) if isinstance(spec.model, (Variants, Kinds)) else spec.model, element)
    attribute = spec.path.partition("@")[2]
    text = element.get(attribute) if attribute else (element.text or "").strip()
    if text is None:
        raise MappingError(element, f"attribute '{attribute}' is missing")
    return _convert(spec.codec.parse, text, element, attribute)


def _convert(convert: Callable[[Any], Any], source: object, element: Element, attribute: str = "") -> Any:
    try:
        return convert(source)
    except MappingError:
        raise
    except ValueError as error:
        raise MappingError(element, f"attribute '{attribute}': {error}" if attribute else str(error)) from None
