"""A volume's definition: its size, its format, its place, what lies below it, how it is encrypted."""

from __future__ import annotations

import re

from frontinus.domain.devices.block.credentials import Encryption
from frontinus.storage.parts import Bytes, Path, Permissions
from frontinus.xml import Flag, Model, Size, many, one, xml
from frontinus.xml.codecs import Codec, Int, one_of

TYPES = ("file", "block", "dir", "network", "netdir", "ploop")
"""Types of volumes, in virsh's order."""


def _nanoseconds(text: str) -> int:
    parts = re.fullmatch(r"(\d{1,19})(?:\.(\d{1,9}))?", text)
    if parts is None:
        raise ValueError(f"'{text[:40]}' is no time in seconds")
    return int(parts[1]) * 10**9 + int(f"{parts[2] or '':0<9}")


Timestamp: Codec[int] = Codec(_nanoseconds, lambda ns: f"{ns // 10**9}.{ns % 10**9:09d}")
"""Seconds and nanoseconds since the epoch, as ns."""


class Extent(Model, tag="extent"):
    start: int = xml("@start", Int, required=True)
    end: int = xml("@end", Int, required=True)


class ExtentDevice(Model, tag="device"):
    """A device that part of the volume is on."""

    path: str | None = xml("@path")
    extents: list[Extent] = many("extent", Extent)


class Times(Model, tag="timestamps"):
    """When a file was used; ns since the epoch."""

    accessed: int | None = xml("atime", Timestamp)
    modified: int | None = xml("mtime", Timestamp)
    changed: int | None = xml("ctime", Timestamp)


class VolumeTarget(Model, tag="target"):
    path: str | None = xml("path", Path)
    format: str | None = xml("format/@type")
    permissions: Permissions | None = one("permissions", Permissions)
    times: Times | None = one("timestamps", Times, live=True)
    encryption: Encryption | None = one("encryption", Encryption)
    compat: str | None = xml("compat")
    cluster_size: int | None = xml("clusterSize", Size("B"))
    no_cow: bool = xml("nocow", Flag)
    lazy_refcounts: bool = xml("features/lazy_refcounts", Flag)
    extended_l2: bool = xml("features/extended_l2", Flag)


class BackingStore(Model, tag="backingStore"):
    """The image below. Its format is never guessed."""

    path: str | None = xml("path", Path)
    format: str | None = xml("format/@type")
    permissions: Permissions | None = one("permissions", Permissions)
    times: Times | None = one("timestamps", Times, live=True)


class Volume(Model, tag="volume"):
    """One volume. Sizes in bytes."""

    type: str | None = xml("@type", one_of(*TYPES))
    name: str | None = xml("name")
    key: str | None = xml("key")
    extents: list[ExtentDevice] = many("source/device", ExtentDevice, live=True)
    capacity: int | None = xml("capacity", Bytes)
    allocation: int | None = xml("allocation", Bytes)
    physical: int | None = xml("physical", Bytes, live=True)
    target: VolumeTarget | None = one("target", VolumeTarget)
    backing: BackingStore | None = one("backingStore", BackingStore)

    @property
    def place(self) -> VolumeTarget:
        """The target; an empty one where there is none."""
        return self.target or VolumeTarget()

    @property
    def path(self) -> str:
        return self.place.path or ""

    @property
    def format(self) -> str:
        """The format of its content, "" for kinds of pools whose volumes have none."""
        return self.place.format or ""

    @property
    def encryption(self) -> Encryption | None:
        return self.place.encryption
