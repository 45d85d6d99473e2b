"""What kinds of pools a host can have, with their formats, as the document that pool-capabilities prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lxml import etree

from frontinus.storage.pools import KINDS


def describe(usable: Mapping[str, bool]) -> str:
    """`usable`: whether a kind's tools are there, by its name."""
    root = etree.Element("storagepoolCapabilities")
    for name, kind in KINDS.items():
        pool = etree.SubElement(root, "pool", type=name, supported="yes" if usable.get(name) else "no")
        _options(pool, "poolOptions", "sourceFormatType", kind.source_formats, kind.default_source_format)
        _options(pool, "volOptions", "targetFormatType", kind.volume_formats, kind.default_volume_format)
    etree.indent(root, "  ")
    text: str = etree.tostring(root, encoding="unicode")
    return text.replace('"', "'") + "\n"


def _options(pool: etree._Element, tag: str, enum: str, formats: Sequence[str], default: str | None) -> None:
    if not formats:
        return
    options = etree.SubElement(pool, tag)
    etree.SubElement(options, "defaultFormat", type=default or formats[0])
    values = etree.SubElement(options, "enum", name=enum)
    for word in formats:
        etree.SubElement(values, "value").text = word
