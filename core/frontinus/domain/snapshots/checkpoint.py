"""The <domaincheckpoint> document: since when changes of which disks are recorded, in bitmaps."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.document import PlainName, parse, refuse_doubles, refuse_unknown
from frontinus.domain.snapshots.snapshot import find_disk
from frontinus.xml import Model, many, one, xml
from frontinus.xml.codecs import Int, one_of

RECORDING = frozenset({"qcow2"})
"""Formats that keep bitmaps."""


class CheckpointDisk(Model, tag="disk"):
    """One disk of a checkpoint. `size`: bytes changed since, where it was asked for."""

    name: str = xml("@name", required=True)
    checkpoint: str | None = xml("@checkpoint", one_of("no", "bitmap"))
    bitmap: str | None = xml("@bitmap", PlainName)
    size: int | None = xml("@size", Int)


class DomainCheckpoint(Model, tag="domaincheckpoint"):
    """One checkpoint."""

    name: str | None = xml("name", PlainName)
    description: str | None = xml("description")
    parent: str | None = xml("parent/name", PlainName)
    created: int | None = xml("creationTime", Int)
    disks: list[CheckpointDisk] = many("disks/disk", CheckpointDisk)
    domain: Guest | None = one("domain", Guest)

    def bitmaps(self) -> dict[str, str]:
        """The bitmap of each recorded disk, by target."""
        return {disk.name: disk.bitmap or self.name or "" for disk in self.disks if disk.checkpoint == "bitmap"}


def parse_checkpoint(text: str | bytes, *, validate: bool = False, redefine: bool = False) -> DomainCheckpoint:
    """Read a document. Raises InvalidXML."""
    found = parse(DomainCheckpoint, text)
    if validate:
        refuse_unknown(found)
    for disk in found.disks:
        if not disk.name:
            raise InvalidXML("<disk>: attribute 'name' is empty", element="disk")
        if disk.checkpoint == "no" and disk.bitmap is not None:
            raise InvalidXML(f"disk '{disk.name}': without checkpoint it has no bitmap", element="disk")
        if disk.bitmap is not None:
            disk.checkpoint = "bitmap"
    refuse_doubles((disk.name for disk in found.disks), "checkpoint")
    if redefine:
        for what, value in (("name", found.name), ("creationTime", found.created), ("domain", found.domain)):
            if value is None:
                raise InvalidXML(f"<{what}> is missing: a checkpoint that is redefined has one", element=what)
        if found.name == found.parent:
            raise InvalidXML(f"the checkpoint '{found.name}' is its own parent", element="parent")
    return found


def align_checkpoint(checkpoint: DomainCheckpoint, guest: Guest) -> None:
    """Have the document say what happens to each disk. With no disk named, all that are written; else those alone.

    Raises InvalidXML.
    """
    said = {find_disk(guest, disk.name).target: disk for disk in checkpoint.disks}
    aligned = []
    for disk in guest.devices.disks:
        mine = said.get(disk.target)
        idle = disk.is_empty or disk.readonly
        if mine is None:
            mine = CheckpointDisk(name=disk.target or "", checkpoint="no" if idle or said else "bitmap")
        mine.name = disk.target or ""
        mine.checkpoint = mine.checkpoint or "bitmap"
        if mine.checkpoint == "bitmap":
            if idle:
                raise InvalidXML(f"disk '{mine.name}' is empty or read-only: it has no checkpoint", element="disk")
            mine.bitmap = mine.bitmap or checkpoint.name
        aligned.append(mine)
    checkpoint.disks = aligned


def refuse_formats(targets: dict[str, str], guest: Guest) -> None:
    """Raises InvalidXML for a disk whose format keeps no bitmaps."""
    for target in targets:
        disk = find_disk(guest, target)
        if disk.format not in RECORDING:
            raise InvalidXML(f"disk '{target}': format '{disk.format}' keeps no bitmaps; qcow2 does", element="disk")
