"""Checkpoints of a guest: moments since when bitmaps in its images record what is written.

Each bitmap of ours records by itself all that changed since its checkpoint. Others stop a bitmap when the next is made: what
that means is in `bitmaps`.
"""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.api.errors import AlreadyExists, InvalidValue, InvalidXML, NoSuchCheckpoint
from frontinus.api.events import GuestSnapshotEvent
from frontinus.api.snapshots import CheckpointFlag, CheckpointView, DeleteFlag
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.snapshots.chain import Chain
from frontinus.domain.snapshots.checkpoint import (
    DomainCheckpoint,
    align_checkpoint,
    parse_checkpoint,
    refuse_formats,
)
from frontinus.domain.snapshots.snapshot import find_disk
from frontinus.engine import apart
from frontinus.engine.block import bitmaps, blockends
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot.hidden import at_work
from frontinus.engine.snapshot.snapshot_create import frozen
from frontinus.engine.world import World
from frontinus.ports.blocks import GraphFacts, Mark, Marks
from frontinus.xml import format_document


class Checkpoints:
    """The use cases on checkpoints."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def checkpoints(self, guest: str) -> list[CheckpointView]:
        record = self.world.guests.find(guest)
        return [_view(record, one) for one in record.books.checkpoints]

    async def checkpoint(self, guest: str, checkpoint: str) -> CheckpointView:
        record = self.world.guests.find(guest)
        return _view(record, find(record, checkpoint))

    async def checkpoint_xml(self, guest: str, checkpoint: str, sizes: bool = False, no_domain: bool = False) -> str:
        record = self.world.guests.find(guest)
        shown = find(record, checkpoint).clone()
        if no_domain:
            shown.domain = None
        if sizes:
            async with record.lock.hold("measure a checkpoint"):
                await self._measure(record, shown)
        return format_document(shown)

    async def _measure(self, record: Record, shown: DomainCheckpoint) -> None:
        """Tell how much has changed since, on each disk."""
        running = record.need_running()
        graph = await running.process.graph()
        for mine in shown.disks:
            if mine.checkpoint == "bitmap" and mine.bitmap is not None:
                disk = find_disk(running.guest, mine.name)
                marks = bitmaps.since(graph, record.books.checkpoints, find(record, shown.name or ""), disk)
                mine.size = await self._changed(running, graph, disk, mine.bitmap, marks)

    async def _changed(self, running: Running, graph: GraphFacts, disk: Disk, name: str, marks: Sequence[Mark]) -> int:
        if len(marks) == 1:
            layer, bitmap = marks[0]
            return graph.bitmaps[layer][bitmap].dirty
        plan, own = blockends.planner(self.world, running).measure(disk, name, marks)
        await running.process.update(plan, {})
        top = disk.source.index or 0 if disk.source is not None else 0
        try:
            return (await running.process.graph()).bitmaps[top][own].dirty
        finally:
            gone = Marks(remove=((top, own),))
            await running.process.update(blockends.planner(self.world, running).mark(gone), {})

    async def create_checkpoint(self, guest: str, xml: str, flags: Sequence[CheckpointFlag] = ()) -> CheckpointView:
        record = self.world.guests.find(guest)
        said = {"validate": "validate" in flags, "redefine": "redefine" in flags}
        wanted = await apart.reading(xml, lambda: parse_checkpoint(xml, **said))
        async with record.lock.hold("make a checkpoint"):
            if "redefine-validate" in flags and "redefine" not in flags:
                raise InvalidValue("'redefine-validate' goes with 'redefine'", field="flags")
            if "redefine" in flags:
                if "redefine-validate" in flags:
                    await _refuse_unknown_bitmaps(record.need_running(), wanted)
                await self._redefine(record, wanted)
                return _view(record, wanted)
            running = record.need_running()
            marks = prepare(self.world, record, running, wanted)
            async with frozen(running, asked="quiesce" in flags):
                plan = blockends.planner(self.world, running).mark(marks)
                await keep(self.world, record, wanted)
                try:
                    await running.process.update(plan, {})
                except BaseException:
                    await drop(self.world, record, wanted)
                    raise
            tell(self.world, record, wanted, "created")
            return _view(record, wanted)

    async def _redefine(self, record: Record, wanted: DomainCheckpoint) -> None:
        tree = record.books.checkpoints
        assert wanted.name is not None and wanted.domain is not None
        if wanted.domain.uuid != record.uuid:
            raise InvalidXML(f"<domain>: the checkpoint is of guest {wanted.domain.uuid}", element="uuid")
        if wanted.parent is not None and (tree.get(wanted.parent) is None or tree.is_below(wanted.parent, wanted.name)):
            raise InvalidXML(f"<parent>: '{wanted.parent}' is no checkpoint that it can come of", element="parent")
        align_checkpoint(wanted, wanted.domain)
        known = tree.get(wanted.name)
        tree.add(wanted)
        tree.current = tree.current or wanted.name
        await record.books.save_checkpoints(self.world.store, record.uuid)
        tell(self.world, record, wanted, "changed" if known is not None else "created")

    async def delete_checkpoint(self, guest: str, checkpoint: str, flags: Sequence[DeleteFlag] = ()) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("delete a checkpoint"):
            wanted = find(record, checkpoint)
            several = "children" in flags or "children-only" in flags
            gone = [one for one in record.books.checkpoints.branch(wanted) if several or one is wanted]
            if "children-only" in flags:
                gone.remove(wanted)
            if "metadata-only" not in flags and gone:
                async with at_work(self.world, record) as running:
                    await self._remove_bitmaps(record, running, gone)
            for one in gone:
                await drop(self.world, record, one)
                tell(self.world, record, one, "deleted")

    async def _remove_bitmaps(self, record: Record, running: Running, gone: Sequence[DomainCheckpoint]) -> None:
        """Twice is no harm, after a crash between this and the books."""
        graph = await running.process.graph()
        removal = bitmaps.without(graph, record.books.checkpoints, running.guest, gone)
        planner = blockends.planner(self.world, running)
        if removal.now:
            await running.process.update(planner.mark(removal.now), {})
        # a layer below is only read: what it recorded goes with it, or when it is merged
        await running.process.attempt([planner.mark(Marks(remove=(mark,))) for mark in removal.below])


async def _refuse_unknown_bitmaps(running: Running, wanted: DomainCheckpoint) -> None:
    """Raises InvalidXML for a bitmap that no layer of its disk has, or that QEMU does not believe."""
    graph = await running.process.graph()
    for target, bitmap in wanted.bitmaps().items():
        layers = Chain.of(find_disk(running.guest, target)).layers
        there = [graph.bitmaps.get(layer.index or 0, {}).get(bitmap) for layer in layers]
        if not any(one is not None and one.sound for one in there):
            raise InvalidXML(f"disk '{target}' has no bitmap '{bitmap}' that can be relied on", element="disk")


def find(record: Record, name: str) -> DomainCheckpoint:
    """Raises NoSuchCheckpoint."""
    found = record.books.checkpoints.get(name)
    if found is None:
        raise NoSuchCheckpoint(f"guest '{record.name}' has no checkpoint '{name[:100]}'", checkpoint=name[:100])
    return found


def prepare(world: World, record: Record, running: Running, wanted: DomainCheckpoint) -> Marks:
    """Complete a new checkpoint; the bitmaps that it needs. Raises AlreadyExists, InvalidXML."""
    wanted.created = int(world.host.time())
    wanted.name = wanted.name or str(wanted.created)
    if record.books.checkpoints.get(wanted.name) is not None:
        raise AlreadyExists(f"guest '{record.name}' has a checkpoint '{wanted.name}' already")
    align_checkpoint(wanted, running.guest)
    wished = wanted.bitmaps()
    if not wished:
        raise InvalidXML("<disks>: no disk would be recorded", element="disks")
    refuse_formats(wished, running.guest)
    wanted.parent = record.books.checkpoints.current
    wanted.domain = running.guest.clone()
    return Marks(add=tuple((_top(running, target), bitmap) for target, bitmap in wished.items()))


def _top(running: Running, target: str) -> int:
    source = find_disk(running.guest, target).source
    return source.index or 0 if source is not None else 0


async def keep(world: World, record: Record, wanted: DomainCheckpoint) -> None:
    """Into the books, as the current one."""
    tree = record.books.checkpoints
    tree.add(wanted)
    tree.current = wanted.name
    await record.books.save_checkpoints(world.store, record.uuid)


async def drop(world: World, record: Record, gone: DomainCheckpoint) -> None:
    """Out of the books."""
    record.books.checkpoints.remove(gone.name or "")
    await record.books.save_checkpoints(world.store, record.uuid)


async def drop_unmade(world: World, record: Record, running: Running) -> None:
    """A checkpoint that an engine wrote down and died before QEMU had its bitmaps never was."""
    current = record.books.checkpoints.get(record.books.checkpoints.current or "")
    if current is None:
        return
    known = (await running.process.graph()).bitmaps
    if not any(name in one for name in current.bitmaps().values() for one in known.values()):
        await drop(world, record, current)


def tell(world: World, record: Record, one: DomainCheckpoint, kind: str) -> None:
    world.bus.publish(GuestSnapshotEvent(uuid=record.uuid, name=record.name, what="checkpoint",
                                         kind=kind, snapshot=one.name or ""))  # type: ignore[arg-type]  # fmt: skip


def _view(record: Record, one: DomainCheckpoint) -> CheckpointView:
    tree = record.books.checkpoints
    return CheckpointView(guest=record.uuid, name=one.name or "", created=float(one.created or 0), parent=one.parent,
                          children=len(tree.children(one.name or "")), current=tree.current == one.name,
                          description=one.description)  # fmt: skip
