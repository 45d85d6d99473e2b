"""Reading: an element tree walked once along the compiled paths of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from lxml import etree

from frontinus.xml.codecs import Codec
from frontinus.xml.mapping import (
    Element,
    ElementCodec,
    MappingError,
    Model,
    Spec,
    Unknown,
    Variants,
    parser,
    qualified,
    specs,
)

M = TypeVar("M", bound=Model)
MAX_BYTES = 4 * 2**20


@dataclass
class Node:
    """One step of the compiled paths: which fields an element's attributes, text and children belong to."""

    attributes: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    whole: str | None = None
    children: dict[str, Node] = field(default_factory=dict)
    field: str | None = None
    repeats: bool = False


@cache
def tree(model: type[Model]) -> Node:
    """Compile a model's paths."""
    root = Node()
    for name, spec in specs(model).items():
        node, steps = root, spec.path.split("/")
        attribute = steps.pop()[1:] if steps[-1].startswith("@") else None
        for step in filter(None, steps):
            node = node.children.setdefault(qualified(step), Node())
        node.repeats |= spec.many
        if spec.model is not None:
            node.field = name
        elif attribute is not None:
            node.attributes[qualified(attribute)] = name
        elif isinstance(spec.codec, ElementCodec):
            node.whole = name
        else:
            node.text = name
    return root


def read(model: type[M], element: Element) -> M:
    """Build a model object from an element. Raises MappingError for the first thing that does not fit."""
    values: dict[str, object] = {}
    kept: list[Unknown] = []
    _walk(model, tree(model), element, (), values, kept)
    for name, spec in specs(model).items():
        if spec.required and name not in values:
            what = spec.path.replace("@", "attribute ") if "@" in spec.path else f"<{spec.path}>"
            raise MappingError(element, f"{what} is missing")
    return model(kept=kept, **values)  # type: ignore[arg-type]


def _walk(model: type[Model], node: Node, element: Element, path: tuple[str, ...], values: dict[str, object],
          kept: list[Unknown]) -> None:  # fmt: skip
    fields = specs(model)
    consumed: tuple[str, ...] = ()
    if node.whole is not None:
        codec = fields[node.whole].codec
        _convert(node.whole, values, codec.read, element, element)
        if codec.attributes is None:
            return
        consumed = codec.attributes
    if node.text is not None:
        _store(fields[node.text], node.text, values, (element.text or "").strip(), element)
    for attribute, text in element.attrib.items():
        name = node.attributes.get(str(attribute))
        if name is not None:
            _store(fields[name], name, values, str(text), element, str(attribute))
        elif attribute not in consumed:
            kept.append(Unknown(path, str(attribute), str(text), element.sourceline, is_attribute=True))
    _children(model, node, element, path, values, kept)


def _children(model: type[Model], node: Node, element: Element, path: tuple[str, ...], values: dict[str, object],
              kept: list[Unknown]) -> None:  # fmt: skip
    fields = specs(model)
    seen: dict[str, int] = {}
    before: tuple[str, int] | None = None
    for child in element:
        if not isinstance(child.tag, str):
            continue
        below = node.children.get(child.tag)
        if below is None or (child.tag in seen and not below.repeats):
            text = etree.tostring(child, encoding="unicode", with_tail=False)
            kept.append(Unknown(path, child.tag, text, child.sourceline, before))
            continue
        before = (child.tag, seen.get(child.tag, 0))
        seen[child.tag] = seen.get(child.tag, 0) + 1
        if below.field is not None:
            _store_model(fields[below.field], below.field, values, child)
        else:
            _walk(model, below, child, (*path, child.tag), values, kept)


def _store_model(spec: Spec, name: str, values: dict[str, object], element: Element) -> None:
    model = spec.model.model(element) if isinstance(spec.model, Variants) else spec.model
    item = read(model, element)
    if spec.many:
        values.setdefault(name, []).append(item)  # type: ignore[attr-defined]
    else:
        values[name] = item


def _store(spec: Spec, name: str, values: dict[str, object], text: str, element: Element,
           attribute: str | None = None) -> None:  # fmt: skip
    codec: Codec[object] = spec.codec
    if spec.many:
        held: dict[str, object] = {}
        _convert(name, held, codec.parse, text, element, attribute)
        values.setdefault(name, []).append(held[name])  # type: ignore[attr-defined]
    else:
        _convert(name, values, codec.parse, text, element, attribute)


def _convert(name: str, values: dict[str, object], convert: object, source: object, element: Element,
             attribute: str | None = None) -> None:  # fmt: skip
    try:
        values[name] = convert(source)  # type: ignore[operator]
    except MappingError:
        raise
    except ValueError as error:
        where = f"attribute '{attribute}': " if attribute else ""
        raise MappingError(element, f"{where}{error}") from None


def parse_document(model: type[M], text: str | bytes) -> M:
    """Parse a whole document. Raises MappingError, or etree.XMLSyntaxError for text that is not XML."""
    return read(model, document(text, model.tag))


def document(text: str | bytes, tag: str = "") -> Element:
    """The root element of a document, limited in size, its tag checked."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise DocumentError(f"the document has {len(data)} bytes, more than {MAX_BYTES}")
    if b"<!DOCTYPE" in data:
        raise DocumentError("a document type declaration is not allowed")
    try:
        root = etree.fromstring(data, parser("utf-8" if isinstance(text, str) else None))
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"not well-formed XML: {error.msg}", error.lineno) from None
    if tag and root.tag != tag:
        raise MappingError(root, f"expected <{tag}>")
    return root


class DocumentError(ValueError):
    """Text that is no acceptable XML document."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        self.reason, self.line = reason, line
        super().__init__(f"line {line}: {reason}" if line else reason)
