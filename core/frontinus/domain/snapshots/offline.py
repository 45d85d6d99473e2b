"""The three documents as they would be of a guest, without one that runs: for `frontinus xml`."""

from __future__ import annotations

from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.backup import DomainBackup, align_backup, parse_backup
from frontinus.domain.snapshots.checkpoint import DomainCheckpoint, align_checkpoint, parse_checkpoint
from frontinus.domain.snapshots.snapshot import DomainSnapshot, align, parse_snapshot


def offline_snapshot(text: bytes, guest: Guest | None, time: int | None) -> DomainSnapshot:
    """A snapshot of a guest that is off, unless the document says what state it is in. Raises InvalidXML."""
    found = parse_snapshot(text)
    _stamp(found, time)
    if guest is not None:
        external = found.memory == "external" or found.disk_kind == "external"
        align(found, guest, "external" if external else "internal")
        found.domain, found.state = guest, found.state or "shutoff"
        found.memory = found.memory or "no"
    return found


def offline_checkpoint(text: bytes, guest: Guest | None, time: int | None) -> DomainCheckpoint:
    """Raises InvalidXML."""
    found = parse_checkpoint(text)
    _stamp(found, time)
    if guest is not None:
        align_checkpoint(found, guest)
        found.domain = guest
    return found


def offline_backup(text: bytes, guest: Guest | None, time: int | None) -> DomainBackup:
    """Raises InvalidXML."""
    found = parse_backup(text)
    if guest is not None:
        align_backup(found, guest, str(time or 0))
    return found


def _stamp(found: DomainSnapshot | DomainCheckpoint, time: int | None) -> None:
    """The time of its making; one without a name has that for its name."""
    if time is not None:
        found.created = found.created if found.created is not None else time
        found.name = found.name or str(time)
