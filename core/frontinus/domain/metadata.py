"""The elements that applications keep in <metadata>, one per namespace."""

from __future__ import annotations

from lxml import etree

from frontinus.api.errors import InvalidXML
from frontinus.xml import DocumentError, Element, document


def _elements(metadata: str | None) -> Element:
    return document(metadata or "<metadata/>", "metadata")


def element(metadata: str | None, uri: str) -> str | None:
    """The element of a namespace as text, or None."""
    for child in _elements(metadata):
        if etree.QName(child).namespace == uri:
            return etree.tostring(child, encoding="unicode", with_tail=False)
    return None


def with_element(metadata: str | None, value: str | None, key: str | None, uri: str) -> str | None:
    """The metadata with the namespace's element replaced, added, or for None removed. Raises InvalidXML."""
    root = _elements(metadata)
    for child in list(root):
        if etree.QName(child).namespace == uri:
            root.remove(child)
    if value is not None:
        root.append(_in_namespace(value, key, uri))
    return etree.tostring(root, encoding="unicode") if len(root) else None


def _in_namespace(value: str, key: str | None, uri: str) -> Element:
    try:
        given = document(value)
    except DocumentError as error:
        raise InvalidXML(f"metadata: {error}") from None
    name = etree.QName(given)
    if name.namespace == uri:
        return given
    if name.namespace is not None:
        raise InvalidXML(f"metadata: element <{name.localname}> is in namespace {name.namespace}, not {uri}")
    if not key:
        raise InvalidXML("metadata: an element without namespace needs a key, its prefix")
    moved = etree.Element(f"{{{uri}}}{name.localname}", attrib=dict(given.attrib), nsmap={key: uri})
    moved.text = given.text
    moved.extend(list(given))
    return moved
