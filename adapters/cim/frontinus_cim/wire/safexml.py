"""Reading foreign XML: with limits before anything is allocated, without document types, entities and places outside."""

from __future__ import annotations

from lxml import etree

MAX_BYTES = 2 * 2**20
MAX_TAGS = 60_000
"""Starts of tags in one document: a tree of a hundred bytes a node must not become large."""


class BadXML(Exception):
    """Not well-formed, or beyond a limit; the message says what."""


def parse(data: bytes) -> etree._Element:
    """The root element of a UTF-8 document. Raises BadXML."""
    if len(data) > MAX_BYTES:
        raise BadXML(f"more than {MAX_BYTES} bytes")
    if data.count(b"<") > 2 * MAX_TAGS:
        raise BadXML(f"more than {MAX_TAGS} elements")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadXML("a document type is not taken")
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                             remove_comments=True, remove_pis=True)  # fmt: skip
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadXML(str(error)) from None
