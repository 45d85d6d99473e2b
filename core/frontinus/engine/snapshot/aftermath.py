"""What an engine that died left of work on images is finished or undone by the next one, guest by guest.

A guest that lives is asked what became of the work; of one that does not, its definition and its images tell.
"""

from __future__ import annotations

import asyncio
import logging

from frontinus.api.errors import FrontinusError
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.snapshots.chain import Chain, overlay
from frontinus.domain.snapshots.deciding import inside, layer_of
from frontinus.domain.snapshots.snapshot import DomainSnapshot, find_disk, parse_snapshot
from frontinus.engine.block import blockends, blocknews
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot import hidden, snapshot_create, snapshot_delete, snapshot_revert
from frontinus.engine.snapshot.backups import resume_backup
from frontinus.engine.snapshot.books import Pending
from frontinus.engine.snapshot.variables import inside_image
from frontinus.engine.world import World

log = logging.getLogger(__name__)

ENDING = 5.0
"""Seconds within which a guest ends that was told to."""


async def settle(world: World, record: Record) -> None:
    """Find block jobs again, finish or undo what was under way, end a process that was there for it alone."""
    async with record.lock.hold("finish what an earlier engine began", wait=blockends.FOREVER):
        running = record.running
        if running is not None:
            await blocknews.relearn(world, record, running)
            await resume_backup(world, record, running)
        pending = record.books.pending
        try:
            if pending is not None:
                await _finish_or_undo(world, record, pending)
            if running is not None and running is record.running:
                await _tidy(world, running)
            await hidden.dismiss(record)
        except FrontinusError as error:
            what = f"the {pending.op} of snapshot {pending.name}" if pending is not None else "work on images"
            log.error("guest %s: %s is neither finished nor undone: %s", record.name, what, error.message)


async def _tidy(world: World, running: Running) -> None:
    """Dismiss jobs whose end is in the books, and close layers that no disk has: an engine died before it could."""
    for facts in await running.process.block_jobs():
        if facts.status in blockends.ENDED and running.works.get(facts.id) is None:
            await running.process.steer_job(facts.id, "dismiss")
    known = blockends.indexes(running)
    stray = sorted((await running.process.graph()).open - known, reverse=True)
    layers = [overlay("/", block=False, format="qcow2", index=index) for index in stray]
    await running.process.attempt(blockends.planner(world, running).close(layers))


async def _finish_or_undo(world: World, record: Record, pending: Pending) -> None:
    log.warning("guest %s: %s of snapshot %s was cut off", record.name, pending.op, pending.name)
    if record.running is None:
        await _repair(world, record, pending)
    if pending.op == "create":
        await _create(world, record, pending)
    elif pending.op == "revert":
        await _revert(world, record, pending)
    else:
        await _delete(world, record, pending)


async def _repair(world: World, record: Record, pending: Pending) -> None:
    """Images inside which something was changed when the power went: what was reserved there for it is given back."""
    images = dict(pending.internal)
    snapshot = record.books.snapshots.get(pending.name)
    if snapshot is not None and snapshot.guest is not None and not pending.settled:
        disks = [find_disk(snapshot.guest, name) for name in inside(snapshot)]
        images |= {disk.source_path: disk.format or "" for disk in disks if disk.source_path}
        images |= await inside_image(world, snapshot, snapshot.guest)
    for path, kind in images.items():
        try:
            await world.images.repair(path, kind)
        except FrontinusError as error:
            log.warning("guest %s: %s", record.name, error.message)


async def _create(world: World, record: Record, pending: Pending) -> None:
    wanted = parse_snapshot(pending.xml or "")
    running = record.running
    if running is None:
        done = bool(pending.tops) and _defined(record, pending)
    elif pending.tops:
        done = await _switched(world, record, running, wanted, pending)
    else:
        done = await snapshot_create.job_done(running)
    if not done:
        await snapshot_create.undo(world, record, None, pending)
        return
    await snapshot_create.adopt(world, record, wanted, pending)
    if running is not None:
        await snapshot_create.let_go(record, running, pending)


def _defined(record: Record, pending: Pending) -> bool:
    """Whether the definition has the new layers."""
    now = record.definition
    return now is not None and all(find_disk(now, target).source_path == path for target, path in pending.tops.items())


async def _switched(world: World, record: Record, running: Running, wanted: DomainSnapshot, pending: Pending) -> bool:
    """Whether QEMU has the new layers; then the running guest's model gets them too."""
    tops = (await running.process.graph()).tops
    disks = [find_disk(running.guest, target) for target in pending.tops]
    if not all(tops.get(disk.alias or "") == pending.indexes.get(disk.target or "") for disk in disks):
        return False
    stale = [disk for disk in disks if disk.source_path != pending.tops[disk.target or ""]]
    new = [_with_layer(disk, wanted, pending) for disk in stale]
    await snapshot_create.switched(world, record, running, new, _defined(record, pending))
    return True


def _with_layer(disk: Disk, wanted: DomainSnapshot, pending: Pending) -> Disk:
    target = disk.target or ""
    mine = next(one for one in wanted.disks if one.name == target)
    layer = layer_of(mine, pending.indexes[target])
    return Chain.of(disk).with_top(layer).on(disk)


async def _revert(world: World, record: Record, pending: Pending) -> None:
    """Undone while the guest of before still runs, else finished: it was ended for that."""
    books, running = record.books, record.running
    snapshot = books.snapshots.get(pending.name)
    if snapshot is None or pending.definition is None:
        await snapshot_revert.forgo(world, record, pending)
    elif pending.settled:
        if running is None or await running.process.status() != "running":
            await snapshot_revert.finish(world, record, snapshot, pending)
        else:
            books.pending = None
            await books.save_snapshots(world.store, record.uuid)
    elif running is not None and not await _ends(running):
        await snapshot_revert.forgo(world, record, pending)
    else:
        await snapshot_revert.make_layers(world, record, snapshot, pending)
        await snapshot_revert.finish(world, record, snapshot, pending)


async def _ends(running: Running) -> bool:
    """Whether a guest that an engine was about to end, does: it may have been told just before that engine died."""
    before, running.ending = running.ending, "from snapshot"
    try:
        async with asyncio.timeout(ENDING):
            await running.ended.wait()
    except TimeoutError:
        running.ending = before
        return False
    return True


async def _delete(world: World, record: Record, pending: Pending) -> None:
    snapshot = record.books.snapshots.get(pending.name)
    if snapshot is not None:
        await snapshot_delete.delete(world, record, snapshot, metadata_only=False, begun=pending)
    else:
        await snapshot_delete.throw_away(world, record, pending.gone)
