"""What the guest's firmware tables say: the <sysinfo> elements."""

from __future__ import annotations

from frontinus.xml import Model, many, one, texts, xml
from frontinus.xml.codecs import one_of


class Entry(Model, tag="entry"):
    """A named value of a table, or a blob for the guest from a value or a host file."""

    name: str = xml("@name", required=True)
    file: str | None = xml("@file")
    value: str | None = xml("")


class Table(Model):
    """One SMBIOS structure."""

    entries: list[Entry] = many("entry", Entry)

    def get(self, name: str) -> str | None:
        """The value of an entry."""
        return next((entry.value for entry in self.entries if entry.name == name), None)


class Sysinfo(Model, tag="sysinfo"):
    """SMBIOS structures, or with type fwcfg blobs."""

    type: str = xml("@type", one_of("smbios", "fwcfg"), required=True)
    bios: Table | None = one("bios", Table)
    system: Table | None = one("system", Table)
    boards: list[Table] = many("baseBoard", Table)
    chassis: Table | None = one("chassis", Table)
    processors: list[Table] = many("processor", Table)
    memory_devices: list[Table] = many("memory_device", Table)
    oem_strings: list[str] = texts("oemStrings/entry")
    blobs: list[Entry] = many("entry", Entry)
