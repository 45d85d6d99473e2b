"""Writing: a model object as canonical XML, what was unknown put back in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lxml import etree

from frontinus.xml.mapping import NAMESPACES, Element, ElementCodec, Kinds, Model, Node, Raw, Spec, Unknown, parser

TAG = re.compile(r'<[^<>]*"[^<>]*>')
"""A tag with attributes as it is serialized: there < and > stand unescaped nowhere else."""
ATTRIBUTE = re.compile(r'="([^"]*)"')


class View(Enum):
    """What is written: INACTIVE leaves out what lives only while the guest runs."""

    INACTIVE = "inactive"
    ACTIVE = "active"


@dataclass
class _Writing:
    """One writing under way. What is not ours is put in last, so that indenting leaves its whitespace alone."""

    view: View
    secrets: bool
    places: list[tuple[Element, Element]] = field(default_factory=list)
    """An empty element, and what comes in its stead."""

    def finish(self) -> None:
        for place, content in self.places:
            content.tail = place.tail
            parent = place.getparent()
            if parent is not None:
                parent.replace(place, content)


def format_document(model: Model, view: View = View.INACTIVE, *, secrets: bool = False) -> str:
    """The model as an indented document."""
    writing = _Writing(view, secrets)
    element = _element(writing, model, model.tag, None)
    etree.indent(element, "  ")
    writing.finish()
    return quoted(element)


def written(root: Element) -> str:
    """An element that was built by hand as an indented document."""
    etree.indent(root, "  ")
    return quoted(root)


def quoted(root: Element) -> str:
    """A document with its attributes in single quotes."""
    text: str = etree.tostring(root, encoding="unicode")
    return TAG.sub(lambda tag: ATTRIBUTE.sub(_single_quoted, tag[0]), text) + "\n"


def _single_quoted(match: re.Match[str]) -> str:
    """An attribute in single quotes, which scripts around these documents look for."""
    value = match[1]
    if "'" in value or "&quot;" in value:
        value = value.replace("'", "&apos;").replace("&quot;", '"')
    return f"='{value}'"


def to_element(model: Model, view: View = View.INACTIVE, *, secrets: bool = False, tag: str = "") -> Element:
    """The model as an element."""
    writing = _Writing(view, secrets)
    element = _element(writing, model, tag or model.tag, None)
    writing.finish()
    return element


def _element(writing: _Writing, model: Model, tag: str, parent: Element | None) -> Element:
    said = _said(writing, model)
    prefixes = {model._specs[name].path.partition(":")[0] for name in said if ":" in model._specs[name].path}
    names = {prefix: NAMESPACES[prefix] for prefix in prefixes}
    element = etree.Element(tag, nsmap=names) if parent is None else etree.SubElement(parent, tag, nsmap=names)
    _fill(writing, element, model._tree, said)
    if model.kept:
        _put_back(writing, element, model.kept)
    return element


def _said(writing: _Writing, model: Model) -> dict[str, Any]:
    """The fields that this view shows."""
    said = {}
    for name, value in {**model._defaults, **model.__dict__}.items():
        spec = model._specs.get(name)
        if spec is None or value is None or value == [] or (spec.secret and not writing.secrets):
            continue
        if value is False and isinstance(spec.codec, ElementCodec):
            continue
        if spec.live and writing.view is View.INACTIVE and (spec.live is True or spec.live(value)):
            continue
        said[name] = value
    return said


def _fill(writing: _Writing, element: Element, node: Node, said: dict[str, Any]) -> None:
    for attribute, (name, spec) in node.attributes.items():
        if name in said:
            element.set(attribute, spec.codec.format(said[name]))
    if node.text is not None and node.text[0] in said:
        element.text = node.text[1].codec.format(said[node.text[0]])
    if node.whole is not None and node.whole[0] in said:
        if node.whole[1].codec is Raw:
            writing.places.append((element, etree.fromstring(said[node.whole[0]], parser())))
        else:
            node.whole[1].codec.write(element, said[node.whole[0]])
    written: set[str] = set()
    for child in node.children.values():
        if said.keys().isdisjoint(child.names):
            continue
        if child.items is None:
            _fill(writing, etree.SubElement(element, child.tag), child, said)
        elif child.items[0] not in written:
            written.add(child.items[0])
            _append(writing, element, child, *child.items, said)


def _append(writing: _Writing, element: Element, node: Node, name: str, spec: Spec, said: dict[str, Any]) -> None:
    """Write a model, or each item of what repeats."""
    attribute = spec.path.partition("@")[2]
    for item in said[name] if spec.many else (said[name],):
        if isinstance(item, Model):
            _element(writing, item, item.tag if isinstance(spec.model, Kinds) else node.tag, element)
        elif attribute:
            etree.SubElement(element, node.tag).set(attribute, spec.codec.format(item))
        else:
            etree.SubElement(element, node.tag).text = spec.codec.format(item)


def _put_back(writing: _Writing, root: Element, kept: Sequence[Unknown]) -> None:
    """Make room for what was kept, in its order, each behind the sibling that it stood behind."""
    places: dict[tuple[str, ...], Element] = {}
    siblings: dict[tuple[tuple[str, ...], str], list[Element]] = {}
    for unknown in kept:
        if unknown.path not in places:
            places[unknown.path] = _descend(root, unknown.path)
        tag = unknown.after[0] if unknown.after is not None else ""
        if unknown.after is not None and (unknown.path, tag) not in siblings:
            siblings[unknown.path, tag] = places[unknown.path].findall(tag)
    last: dict[tuple[tuple[str, ...], tuple[str, int] | None], Element] = {}
    for unknown in kept:
        place, key = places[unknown.path], (unknown.path, unknown.after)
        if unknown.is_attribute:
            place.set(unknown.name, unknown.value)
            continue
        child = etree.Element(unknown.name)
        writing.places.append((child, etree.fromstring(unknown.value, parser())))
        known = siblings[unknown.path, unknown.after[0]] if unknown.after is not None else []
        if key in last:
            last[key].addnext(child)
        elif known and unknown.after is not None:
            known[min(unknown.after[1], len(known) - 1)].addnext(child)
        else:
            place.insert(0, child)
        last[key] = child


def _descend(root: Element, path: tuple[str, ...]) -> Element:
    for tag in path:
        found = root.find(tag)
        root = etree.SubElement(root, tag) if found is None else found
    return root
