"""Snapshots of a guest: shown, told of, made, gone back to, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Literal

from frontinus.api.errors import AlreadyExists, InvalidValue, InvalidXML, NoSuchSnapshot, WrongState
from frontinus.api.events import GuestSnapshotEvent
from frontinus.api.snapshots import DeleteFlag, RevertFlag, SnapshotFlag, SnapshotView
from frontinus.domain.snapshots.snapshot import DomainSnapshot, align, parse_snapshot
from frontinus.engine import apart
from frontinus.engine.record import Record
from frontinus.engine.snapshot.snapshot_create import create
from frontinus.engine.snapshot.snapshot_delete import delete
from frontinus.engine.snapshot.snapshot_revert import revert
from frontinus.engine.world import World
from frontinus.xml import format_document

Told = Literal["created", "changed", "deleted", "reverted"]


class Snapshots:
    """The use cases on snapshots."""

    def __init__(self, world: World) -> None:
        self.world = world

    # --- looking

    async def snapshots(self, guest: str) -> list[SnapshotView]:
        record = self.world.guests.find(guest)
        return [view(record, one) for one in record.books.snapshots]

    async def snapshot(self, guest: str, snapshot: str) -> SnapshotView:
        record = self.world.guests.find(guest)
        return view(record, find(record, snapshot))

    async def current_snapshot(self, guest: str) -> SnapshotView:
        record = self.world.guests.find(guest)
        current = record.books.snapshots.current
        if current is None:
            raise NoSuchSnapshot(f"guest '{record.name}' has no current snapshot", snapshot="")
        return view(record, find(record, current))

    async def snapshot_xml(self, guest: str, snapshot: str, secure: bool = False) -> str:
        record = self.world.guests.find(guest)
        return format_document(find(record, snapshot), secrets=secure)

    # --- making

    async def create_snapshot(self, guest: str, xml: str, flags: Sequence[SnapshotFlag] = ()) -> SnapshotView:
        record = self.world.guests.find(guest)
        said = {"validate": "validate" in flags, "redefine": "redefine" in flags}
        wanted = await apart.reading(xml, lambda: parse_snapshot(xml, **said))
        _check_flags(flags)
        async with record.lock.hold("make a snapshot"):
            if "redefine" in flags:
                made = await self._redefine(record, wanted, current="current" in flags)
                self._tell(record, made, "changed" if made is not wanted else "created")
                return view(record, wanted)
            wanted.created = int(self.world.host.time())
            wanted.name = wanted.name or str(wanted.created)
            if record.books.snapshots.get(wanted.name) is not None:
                raise AlreadyExists(f"guest '{record.name}' has a snapshot '{wanted.name}' already")
            shown = await create(self.world, record, wanted, frozenset(flags))
            if "no-metadata" not in flags:
                self._tell(record, wanted, "created")
            return view(record, shown)

    async def _redefine(self, record: Record, wanted: DomainSnapshot, *, current: bool) -> DomainSnapshot:
        """Take a snapshot into the books that was made before. Returns the one that it replaces, or it."""
        tree = record.books.snapshots
        assert wanted.name is not None
        known = tree.get(wanted.name)
        if wanted.parent is not None and known is not None and tree.is_below(wanted.parent, wanted.name):
            raise InvalidXML(f"<parent>: '{wanted.parent}' comes of '{wanted.name}'", element="parent")
        if wanted.parent is not None and tree.get(wanted.parent) is None:
            raise InvalidXML(f"<parent>: guest '{record.name}' has no snapshot '{wanted.parent}'", element="parent")
        if wanted.domain is not None and wanted.domain.uuid != record.uuid:
            raise InvalidXML(f"<domain>: the snapshot is of guest {wanted.domain.uuid}", element="uuid")
        if known is not None and wanted.domain is None:
            wanted.domain, wanted.inactive = known.domain, known.inactive
        if wanted.guest is not None:
            external = wanted.memory == "external" or wanted.state == "disk-snapshot" or wanted.disk_kind == "external"
            align(wanted, wanted.guest, "external" if external else "internal")
        before = tree.current
        tree.add(wanted)
        if current:
            tree.current = wanted.name
        try:
            await record.books.save_snapshots(self.world.store, record.uuid)
        except BaseException:
            tree.current = before
            tree.add(known) if known is not None else tree.remove(wanted.name)
            raise
        return known or wanted

    # --- going back, deleting

    async def revert_snapshot(self, guest: str, snapshot: str, flags: Sequence[RevertFlag] = ()) -> None:
        record = self.world.guests.find(guest)
        if "running" in flags and "paused" in flags:
            raise InvalidValue("either running or paused", field="flags")
        task = asyncio.create_task(self._revert(record, snapshot, frozenset(flags)))
        self.world.keep(task)
        await asyncio.shield(task)  # a caller that goes away must not leave the guest off

    async def _revert(self, record: Record, snapshot: str, flags: Collection[RevertFlag]) -> None:
        async with (
            record.lock.hold("go back to a snapshot"),
            self.world.jobs.run("snapshot-revert", record.uuid) as job,
        ):
            job.on_abort = _refuse_abort
            wanted = find(record, snapshot)
            await revert(self.world, record, wanted, flags)
            self._tell(record, wanted, "reverted")

    async def delete_snapshot(self, guest: str, snapshot: str, flags: Sequence[DeleteFlag] = ()) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("delete a snapshot"):
            wanted = find(record, snapshot)
            tree = record.books.snapshots
            several = "children" in flags or "children-only" in flags
            gone = [one for one in tree.branch(wanted) if several or one is wanted]
            if "children-only" in flags:
                gone.remove(wanted)
            for one in reversed(gone):
                await delete(self.world, record, one, metadata_only="metadata-only" in flags)
                self._tell(record, one, "deleted")

    def _tell(self, record: Record, snapshot: DomainSnapshot, kind: Told) -> None:
        self.world.bus.publish(GuestSnapshotEvent(uuid=record.uuid, name=record.name, what="snapshot", kind=kind,
                                                  snapshot=snapshot.name or ""))  # fmt: skip


def _refuse_abort() -> None:
    raise WrongState("going back to a snapshot cannot be aborted: the guest would be left off", state="running")


def find(record: Record, name: str) -> DomainSnapshot:
    """Raises NoSuchSnapshot."""
    found = record.books.snapshots.get(name)
    if found is None:
        raise NoSuchSnapshot(f"guest '{record.name}' has no snapshot '{name[:100]}'", snapshot=name[:100])
    return found


def view(record: Record, snapshot: DomainSnapshot) -> SnapshotView:
    tree = record.books.snapshots
    memory: dict[str | None, Literal["no", "internal", "external"]] = {"internal": "internal", "external": "external"}
    disks: dict[str, Literal["no", "internal", "external"]] = {
        "no": "no",
        "internal": "internal",
        "external": "external",
    }
    return SnapshotView(
        guest=record.uuid, name=snapshot.name or "", created=float(snapshot.created or 0), state=snapshot.state or "shutoff",
        parent=snapshot.parent, children=len(tree.children(snapshot.name or "")), current=tree.current == snapshot.name,
        memory=memory.get(snapshot.memory, "no"), disks=disks[snapshot.disk_kind], description=snapshot.description,
    )  # fmt: skip


def _check_flags(flags: Sequence[SnapshotFlag]) -> None:
    """Raises InvalidValue for flags that do not go together."""
    if "redefine" in flags and set(flags) - {"redefine", "current", "validate"}:
        raise InvalidValue("with 'redefine' only 'current' and 'validate' make sense", field="flags")
    if "quiesce" in flags and "disk-only" not in flags:
        raise InvalidValue("'quiesce' is for a snapshot of the disks alone", field="flags")
    if "live" in flags and "disk-only" in flags:
        raise InvalidValue("'live' is about memory, 'disk-only' is without", field="flags")
    if "current" in flags and "redefine" not in flags:
        raise InvalidValue("'current' goes with 'redefine'; a new snapshot is the current one anyway", field="flags")


__all__ = ["Snapshots", "WrongState", "find", "view"]
