"""What the commands of snapshots and checkpoints share: documents from words, options, times."""

from __future__ import annotations

import argparse
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from frontinus.api.errors import InvalidValue, InvalidXML
from frontinus.api.snapshots import CheckpointView, SnapshotView
from frontinus.client.commands.base import Output, arg, flag, switches

NAMING = (arg("name", nargs="?"), arg("description", nargs="?"), flag("--print-xml", help="show the document, do nothing"),
          arg("--diskspec", action="append", help="TARGET,word=value..."))  # fmt: skip
DELETING = (flag("--children"), flag("--children-only"), flag("--metadata", help="only what is known of it"))


def deleting(options: argparse.Namespace) -> list[str]:
    return [*switches(options, "children", "children-only"), *(["metadata-only"] if options.metadata else [])]


def say_parent(out: Output, view: SnapshotView | CheckpointView) -> int:
    out.value(view.parent)
    out.line(view.parent or f"'{view.name}' has no parent")
    return 0 if view.parent else 1


def name_of(xml: str) -> str:
    """The name that a document gives. Raises InvalidXML."""
    try:
        return (etree.fromstring(xml.encode()).findtext("name") or "").strip()
    except etree.XMLSyntaxError as error:
        raise InvalidXML(str(error)) from None


def spec(text: str) -> dict[str, str]:
    """virsh's "vda,snapshot=external,file=/x": the name first, then words with values. A comma is written twice."""
    words = text.replace(",,", "\0").split(",")
    pairs = [word.replace("\0", ",").partition("=") for word in words]
    return {"name": pairs[0][0]} | {name: value for name, _, value in pairs[1:]}


def disk(spec: dict[str, str]) -> str:
    """One <disk> of a document. Raises InvalidValue for a word that it has not."""
    known = {"name", "snapshot", "checkpoint", "bitmap", "driver", "file", "stype"}
    if unknown := set(spec) - known:
        raise InvalidValue(f"--diskspec: unknown word '{unknown.pop()}'", field="diskspec")
    block = spec.get("stype") == "block"
    attributes = {"name": spec["name"], "snapshot": spec.get("snapshot"), "checkpoint": spec.get("checkpoint"),
                  "bitmap": spec.get("bitmap"), "type": "block" if block else None}  # fmt: skip
    inside = f"<driver type={quoteattr(spec['driver'])}/>" if "driver" in spec else ""
    if "file" in spec:
        inside += f"<source {'dev' if block else 'file'}={quoteattr(spec['file'])}/>"
    said = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items() if value is not None)
    return f"<disk{said}>{inside}</disk>"


def document(options: argparse.Namespace, kind: str) -> str:
    name = f"<name>{escape(options.name)}</name>" if options.name else ""
    text = f"<description>{escape(options.description)}</description>" if options.description else ""
    disks = "".join(disk(spec(words)) for words in options.diskspec or ())
    memory = ""
    if getattr(options, "memspec", None):
        said = spec(
            f"memory,file={options.memspec}" if options.memspec.startswith("/") else f"memory,{options.memspec}"
        )
        memory = (
            "<memory" + "".join(f" {n}={quoteattr(v)}" for n, v in said.items() if n in ("file", "snapshot")) + "/>"
        )
    return f"<domain{kind}>{name}{text}{memory}{f'<disks>{disks}</disks>' if disks else ''}</domain{kind}>"
