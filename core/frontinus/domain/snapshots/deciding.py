"""What a new snapshot is to be, before anything is done: kinds of disks and memory, and what cannot be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.block.disk import BackingStore, Disk
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import Chain, overlay
from frontinus.domain.snapshots.checkpoint import RECORDING
from frontinus.domain.snapshots.snapshot import DomainSnapshot, SnapshotDisk, align, find_disk


@dataclass(frozen=True)
class Overlaid:
    """A disk that gets a new layer: as it is, and with it. `bitmaps`: go on recording under these names."""

    old: Disk
    new: Disk
    bitmaps: tuple[str, ...] = ()


INSIDE = frozenset({"qcow2"})
"""Formats that can have a snapshot inside."""


def decide(snapshot: DomainSnapshot, guest: Guest, *, state: str, disk_only: bool) -> None:
    """Complete a document for a guest in a state (running, paused, shutoff). Raises InvalidXML for what cannot be."""
    active = state != "shutoff"
    external = disk_only or snapshot.memory == "external" or snapshot.disk_kind == "external"
    if snapshot.memory is None:
        snapshot.memory = "internal" if active and not external else "no"
    if snapshot.memory != "no" and not active:
        raise InvalidXML("<memory>: a guest that is off has none to save", element="memory")
    if snapshot.memory != "no" and disk_only:
        raise InvalidXML("<memory>: it was asked for the disks alone", element="memory")
    align(snapshot, guest, "external" if external else "internal")
    for mine in snapshot.disks:
        _check(snapshot, guest, mine)
    if snapshot.memory == "no" and snapshot.disk_kind == "no":
        raise InvalidXML("<disks>: nothing would be saved", element="disks")
    snapshot.state = state if not active or snapshot.memory != "no" else "disk-snapshot"


def _check(snapshot: DomainSnapshot, guest: Guest, mine: SnapshotDisk) -> None:
    disk, what = find_disk(guest, mine.name), f"disk '{mine.name}'"
    if mine.snapshot not in ("internal", "external"):
        return
    if disk.transient is not None:
        raise InvalidXML(f"{what} is transient: it has no snapshots", element="disk")
    if disk.type == "vhostuser" or disk.device == "lun":
        raise InvalidXML(f"{what}: what is not ours to write has no snapshots", element="disk")
    if mine.snapshot == "internal" and disk.source is not None and disk.source.fdgroup is not None:
        raise InvalidXML(f"{what} is reached by descriptors (fdgroup), which a guest that is off has not: ask for an external"
                         " snapshot", element="disk")  # fmt: skip
    if mine.snapshot == "internal" and disk.format not in INSIDE:
        raise InvalidXML(f"{what}: format '{disk.format}' has no snapshots inside; ask for an external one",
                         element="disk")  # fmt: skip
    if {"internal": "external", "external": "internal"}[mine.snapshot] == snapshot.memory:
        raise InvalidXML(f"{what}: memory is {snapshot.memory}, the disk is {mine.snapshot}: they must be alike",
                         element="disk")  # fmt: skip


def inside(snapshot: DomainSnapshot) -> list[str]:
    """Targets of the disks that have it inside."""
    return [disk.name for disk in snapshot.disks if disk.snapshot == "internal"]


def layer_of(mine: SnapshotDisk, index: int) -> BackingStore:
    """The new layer of an external snapshot."""
    assert mine.source is not None and mine.source.local_path is not None
    return overlay(mine.source.local_path, block=mine.type == "block", format=mine.format or "qcow2", index=index,
                   metadata_cache=mine.metadata_cache)  # fmt: skip


def overlaid(snapshot: DomainSnapshot, guest: Guest, first_index: int,
             bitmaps: Callable[[str], Sequence[str]]) -> list[Overlaid]:  # fmt: skip
    """Each disk with an external snapshot, before and after; new layers are numbered from `first_index` on."""
    found: list[Overlaid] = []
    for mine in snapshot.disks:
        if mine.snapshot != "external":
            continue
        disk = find_disk(guest, mine.name)
        layer = layer_of(mine, first_index + len(found))
        new = Chain.of(disk).with_top(layer).on(disk)
        found.append(Overlaid(disk, new, tuple(bitmaps(mine.name)) if mine.format in RECORDING else ()))
    return found
