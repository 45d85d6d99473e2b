"""Labels of an operator's choice, out of guests' metadata.

    [labels]
    project = "http://openstack.org/xmlns/libvirt/nova/1.1 /instance/owner/project/text()"

A label is a namespace, a space, and the way from the metadata's element with that namespace: names of elements, then
text() or @attribute. Prefixes do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from frontinus.api.errors import InvalidValue

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
WAY = re.compile(r"(\S+) ((?:/[\w.-]+)+)/(text\(\)|@[\w:.-]+)")
TAKEN = frozenset({"name", "uuid"})
MOST = 16


@dataclass(frozen=True)
class Place:
    """Where in <metadata> a label's value is: elements from the top, and an attribute or the text."""

    path: str
    attribute: str | None

    def read(self, metadata: etree._Element) -> str:
        """The value; empty where there is none."""
        found = metadata.find(self.path)
        if found is None:
            return ""
        return (found.get(self.attribute, "") if self.attribute else found.text or "").strip()


def places(given: Mapping[str, object]) -> dict[str, Place]:
    """The places of configured labels. Raises InvalidValue naming the label."""
    if len(given) > MOST:
        raise InvalidValue(f"at most {MOST} labels can be chosen", field="labels")
    return {name: _place(name, way) for name, way in given.items()}


def _place(name: str, way: object) -> Place:
    if not NAME.fullmatch(name) or name.startswith("__") or name in TAKEN:
        raise InvalidValue(f"'{name}' cannot be the name of a label", field=f"labels.{name}")
    found = WAY.fullmatch(way) if isinstance(way, str) else None
    if found is None:
        raise InvalidValue(
            f"label '{name}': '{way}' is not NAMESPACE /ELEMENT/.../text() or /@ATTRIBUTE", field=f"labels.{name}"
        )
    namespace, path, last = found.groups()
    first, *rest = path.strip("/").split("/")
    steps = [f"{{{namespace}}}{first}", *(f"{{*}}{step}" for step in rest)]
    return Place("/".join(steps), None if last == "text()" else last.removeprefix("@"))
