"""A secret's definition: what it is for, and how long and from whom it is kept. Never its value."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.xml import Model, one, xml
from frontinus.xml.codecs import Uuid, YesNo, one_of

USAGES = ("none", "volume", "ceph", "iscsi", "tls", "vtpm")
"""Uses of secrets, in virsh's order."""


class Usage(Model, tag="usage"):
    """What definitions refer to: the path of a volume, the name of anything else, the target of iSCSI."""

    type: str = xml("@type", one_of(*USAGES), required=True)
    volume: str | None = xml("volume")
    name: str | None = xml("name")
    target: str | None = xml("target")

    @property
    def id(self) -> str:
        return {"volume": self.volume, "iscsi": self.target}.get(self.type, self.name) or ""


ELEMENTS = {"volume": "volume", "iscsi": "target", "ceph": "name", "tls": "name", "vtpm": "name"}
"""The element that names the use, by type."""


class Secret(Model, tag="secret"):
    """One secret. Ephemeral: its value is in memory only. Private: no caller is ever told its value."""

    ephemeral: bool = xml("@ephemeral", YesNo, default=False)
    private: bool = xml("@private", YesNo, default=False)
    uuid: str | None = xml("uuid", Uuid)
    description: str | None = xml("description")
    usage: Usage | None = one("usage", Usage)

    @property
    def usage_type(self) -> str:
        return self.usage.type if self.usage else "none"

    @property
    def usage_id(self) -> str:
        return self.usage.id if self.usage else ""

    def check(self) -> Iterator[str]:
        """Every reason why this secret cannot be."""
        if self.usage is not None and self.usage.type != "none" and not self.usage.id:
            yield f"<usage> of type '{self.usage.type}': <{ELEMENTS[self.usage.type]}> is missing"
