"""How things are named on the bus: object paths, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "domain": "Domain", "domainsnapshot": "DomainSnapshot", "interface": "Interface", "network": "Network",
    "nodedev": "NodeDevice", "nwfilter": "NWFilter", "secret": "Secret", "storagepool": "StoragePool",
    "storagevol": "StorageVol",
}  # fmt: skip
"""The folders under a connection of org.libvirt, and the interface of what is in each."""

MODEL: Mapping[str, str] = {"guest": "domain", "pool": "storagepool", "filter": "nwfilter"}
"""The folders of org.frontinus1 that have another name under org.libvirt."""

UUID_LENGTH = 37
"""Characters of the path element of a UUID."""
UUID = re.compile(r"_([0-9a-fA-F]{8})_([0-9a-fA-F]{4})_([0-9a-fA-F]{4})_([0-9a-fA-F]{4})_([0-9a-fA-F]{12})")


def of_uuid(uuid: str) -> str:
    """The path element of a UUID."""
    return "_" + uuid.replace("-", "_")


def to_uuid(element: str) -> str | None:
    """The UUID of a path element, None if it is none."""
    found = UUID.fullmatch(element)
    return "-".join(found.groups()).lower() if found else None


def of_text(text: str) -> str:
    """The path element of a name or key: bytes that a path cannot have become _hh."""
    return "".join(
        chr(b) if chr(b).isascii() and chr(b).isalnum() else f"_{b:02x}" for b in text.encode(errors="surrogateescape")
    )


def to_text(element: str) -> str:
    """The name or key of a path element."""
    raw = re.sub(rb"_([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), element.encode())
    return raw.decode(errors="surrogateescape")
