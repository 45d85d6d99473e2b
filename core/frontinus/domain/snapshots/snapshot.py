"""The <domainsnapshot> document: how it is read, and completed against its guest."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.block.source import TYPES, Source
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.document import (
    GUEST,
    Absolute,
    GuestReference,
    Name,
    parse,
    refuse_doubles,
    refuse_unknown,
)
from frontinus.xml import Model, Size, many, one, xml
from frontinus.xml.codecs import Int, one_of

STATES = ("running", "blocked", "paused", "shutdown", "shutoff", "crashed", "disk-snapshot")
OVERLAYS = ("qcow2", "qed")
"""Formats that can lie over another image."""


class SnapshotDisk(Model, tag="disk"):
    """What a snapshot does with one disk. `name`: the target or the path of the disk; `source`: of an external one."""

    name: str = xml("@name", required=True)
    snapshot: str | None = xml("@snapshot", one_of("no", "internal", "external", "manual"))
    type: str | None = xml("@type", one_of(*TYPES))
    format: str | None = xml("driver/@type")
    metadata_cache: int | None = xml("driver/metadata_cache/max_size", Size("bytes"))
    source: Source | None = one("source", Source)

    def complete(self) -> None:
        """A source or a format makes it external; an external one has a type."""
        if self.snapshot is None and (self.source is not None or self.format):
            self.snapshot = "external"
        if self.snapshot != "external":
            if self.source is not None or self.format:
                raise InvalidXML(f"disk '{self.name}': only an external snapshot has a source or a driver",
                                 element="disk")  # fmt: skip
            self.type = None
            return
        self.type = self.type or "file"
        if self.format is not None and self.format not in OVERLAYS:
            raise InvalidXML(f"disk '{self.name}': format '{self.format}' cannot lie over another", element="driver")
        if self.source is not None:
            self.source.complete(self.type)


class DomainSnapshot(Model, tag="domainsnapshot"):
    """One snapshot. `domain` is the guest at its moment, `inactive` the definition it had beside, where that differed,
    `cpu` the one that was asked for, where the guest had another."""

    name: str | None = xml("name", Name)
    description: str | None = xml("description")
    state: str | None = xml("state", one_of(*STATES))
    parent: str | None = xml("parent/name", Name)
    created: int | None = xml("creationTime", Int)
    memory: str | None = xml("memory/@snapshot", one_of("no", "internal", "external"))
    memory_file: str | None = xml("memory/@file", Absolute)
    disks: list[SnapshotDisk] = many("disks/disk", SnapshotDisk)
    domain: Guest | GuestReference | None = one("domain", GUEST)
    inactive: Guest | None = one("inactiveDomain", Guest)
    cpu: Cpu | None = one("cookie/cpu", Cpu)
    active: int | None = xml("active", Int)

    @property
    def guest(self) -> Guest | None:
        """The guest at the moment of the snapshot, if it is known."""
        return self.domain if isinstance(self.domain, Guest) else None

    @property
    def definition(self) -> Guest | None:
        """What was defined at the moment of the snapshot."""
        return self.inactive or self.guest

    @property
    def disk_kind(self) -> str:
        """How disks are in it: "external" when any is, "internal" when any is, else "no"."""
        kinds = {disk.snapshot for disk in self.disks}
        return next((kind for kind in ("external", "internal") if kind in kinds), "no")


def parse_snapshot(text: str | bytes, *, validate: bool = False, redefine: bool = False) -> DomainSnapshot:
    """Read a document. `redefine`: it tells of a snapshot that was made before. Raises InvalidXML."""
    found = parse(DomainSnapshot, text)
    if validate:
        refuse_unknown(found)
    if found.memory_file is not None:
        found.memory = found.memory or "external"
        if found.memory != "external":
            raise InvalidXML(f"<memory>: snapshot '{found.memory}' has no file", element="memory")
    elif found.memory == "external":
        raise InvalidXML("<memory>: an external snapshot needs a file", element="memory")
    for disk in found.disks:
        disk.complete()
    refuse_doubles((disk.name for disk in found.disks), "snapshot")
    if redefine:
        _need(found)
    return found


def _need(found: DomainSnapshot) -> None:
    """Raises InvalidXML for what a redefinition cannot do without."""
    for what, value in (("name", found.name), ("creationTime", found.created), ("state", found.state)):
        if value is None:
            raise InvalidXML(f"<{what}> is missing: a snapshot that is redefined has one", element=what)
    if found.state in ("running", "paused") and found.memory is None and found.domain is not None:
        found.memory = "internal"
    if found.name == found.parent:
        raise InvalidXML(f"the snapshot '{found.name}' is its own parent", element="parent")


def find_disk(guest: Guest, name: str) -> Disk:
    """The disk that a target or a path means. Raises InvalidXML."""
    disks = guest.devices.disks
    found = next((disk for disk in disks if disk.target == name), None)  # nearly always, and soon told among thousands
    found = found or next((disk for disk in disks if disk.source_path == name), None)
    if found is not None:
        return found
    raise InvalidXML(f"<disk>: guest '{guest.name}' has no disk '{name}'", element="disk")


def align(snapshot: DomainSnapshot, guest: Guest, default: str) -> None:
    """Have the document say what happens to each disk, by its target; those that it does not name get `default`.

    Drives without a medium and read-only ones take no part. Raises InvalidXML.
    """
    said = {find_disk(guest, disk.name).target: disk for disk in snapshot.disks}
    if len(said) != len(snapshot.disks):
        raise InvalidXML("<disks>: a disk is named twice", element="disks")
    aligned = []
    for disk in guest.devices.disks:
        mine = said.get(disk.target) or SnapshotDisk(name=disk.target or "")
        mine.name = disk.target or ""
        idle = disk.is_empty or disk.readonly
        mine.snapshot = mine.snapshot or disk.snapshot or ("no" if idle else default)
        if idle and mine.snapshot in ("internal", "external"):
            raise InvalidXML(f"disk '{mine.name}' is empty or read-only: it has no snapshot", element="disk")
        if mine.snapshot == "external":
            place_overlay(mine, disk, snapshot.name or "")
        aligned.append(mine)
    snapshot.disks = aligned


def place_overlay(mine: SnapshotDisk, disk: Disk, suffix: str) -> None:
    """Decide format and place of an overlay: beside the disk's file, its ending replaced by the snapshot's name."""
    mine.type, mine.format = mine.type or "file", mine.format or "qcow2"
    if mine.source is not None and not mine.source.is_empty(mine.type):
        if mine.source.reached_path is None:
            raise InvalidXML(f"disk '{mine.name}': an overlay is a file or a block device", element="source")
        if mine.source.local_path == disk.source_path:
            raise InvalidXML(f"disk '{mine.name}': the overlay is the image itself", element="source")
        return
    path = disk.source.file if disk.source and disk.type == "file" else None
    if path is None or mine.type != "file":
        raise InvalidXML(f"disk '{mine.name}': say where the overlay shall be (<source>)", element="source")
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    mine.source = Source(file=f"{folder}/{stem}.{suffix}")
    if mine.source.file == path:
        raise InvalidXML(f"disk '{mine.name}': the image has the name already that its overlay would get",
                         element="name")  # fmt: skip
