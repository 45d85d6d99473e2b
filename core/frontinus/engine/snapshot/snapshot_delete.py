"""Deleting a snapshot: inside an image it is dropped; of an external one the layer above is merged into the one it held.

That is a commit on the running guest, or on a hidden process of one that is off. Where more than one layer lies over the
image, or none that the guest has, nothing is merged: others need it as it is, and it stays, or goes if nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from frontinus.api.errors import Busy, HypervisorFailed, WrongState
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import Chain, path_of, paths
from frontinus.domain.snapshots.deciding import inside
from frontinus.domain.snapshots.snapshot import DomainSnapshot, find_disk
from frontinus.engine.block import blockends, blockjobs, blockstops
from frontinus.engine.jobs import Job, Measure
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot.books import Merge, Pending
from frontinus.engine.snapshot.hidden import at_work
from frontinus.engine.snapshot.snapshot_create import run_job
from frontinus.engine.snapshot.variables import inside_image
from frontinus.engine.world import World


async def delete(world: World, record: Record, snapshot: DomainSnapshot, *, metadata_only: bool,
                 begun: Pending | None = None) -> None:  # fmt: skip
    """Delete one snapshot; its children become its parent's. The guest's lock is held. `begun`: what was cut off.

    Raises WrongState, Busy, HypervisorFailed.
    """
    books = record.books
    if metadata_only:
        await _forget(world, record, snapshot, [], [])
        return
    ours = {merge.target for merge in begun.merges} if begun is not None else set()
    if busy := next((work for work in (record.running.works if record.running else ()) if work.disk not in ours), None):
        raise Busy(f"disk '{busy.disk}' has a job: {busy.kind}", job=busy.kind)
    merges, orphans = (begun.merges, begun.files) if begun is not None else _layers(record, snapshot)
    books.pending = Pending(op="delete", name=snapshot.name or "", files=orphans, merges=merges)
    books.torn |= {snapshot.name or ""} if merges else set()
    await books.save_snapshots(world.store, record.uuid)
    try:
        async with world.jobs.run("snapshot-delete", record.uuid) as job:
            job.measure = _merged(record, merges)
            await _drop_inside(world, record, snapshot)
            if merges:
                async with at_work(world, record) as running:
                    await _refuse_loss(record, running, merges)
                    for merge in merges:
                        await _merge(world, record, running, merge)
    except BaseException:
        books.pending = None
        await books.save_snapshots(world.store, record.uuid)
        raise
    await _forget(world, record, snapshot, merges, orphans)


def _layers(record: Record, snapshot: DomainSnapshot) -> tuple[list[Merge], list[str]]:
    """What is to be merged, and files that nobody needs afterwards."""
    merges: list[Merge] = []
    orphans: list[str] = []
    guest = snapshot.guest
    for mine in snapshot.disks if guest is not None else ():
        if mine.snapshot != "external" or guest is None:
            continue
        below = find_disk(guest, mine.name).source_path or ""
        others = list(_chains(record, mine.name, snapshot))
        above = {chain[chain.index(below) - 1] for chain in others if below in chain[1:]}
        held = any(chain[:1] == [below] for chain in others)
        now = _now(record, mine.name)
        if not above and not held and below in record.books.made:
            orphans.append(below)
        elif len(above) == 1 and not held and below in now[1:]:
            merges.append(Merge(mine.name, above.pop(), below))
    if snapshot.memory_file is not None and snapshot.memory_file in record.books.made:
        orphans.append(snapshot.memory_file)
    return merges, orphans


def _now(record: Record, target: str) -> list[str]:
    """The paths of the guest's own chain."""
    return next((paths(disk) for disk in record.guest.devices.disks if disk.target == target), [])


def _chains(record: Record, target: str, without: DomainSnapshot) -> Iterator[list[str]]:
    """The paths of every chain of a disk: the guest's, and those of the other snapshots."""
    halves: list[Guest | None] = [record.guest, record.definition]
    for other in record.books.snapshots:
        if other is not without:
            halves += [other.guest]
    for half in halves:
        for disk in half.devices.disks if half is not None else ():
            if disk.target == target:
                yield paths(disk)


async def _refuse_loss(record: Record, running: Running, merges: list[Merge]) -> None:
    """Raises WrongState when an image that is to take all cannot keep what checkpoints need."""
    graph = await running.process.graph() if len(record.books.checkpoints) else None
    for merge in merges if graph is not None else ():
        disk = find_disk(running.guest, merge.target)
        layers = Chain.of(disk).layers
        base = next((layer for layer in layers if path_of(layer) == merge.below), None)
        active = path_of(layers[0]) == merge.above
        if active and base is not None and graph is not None:
            blockstops.refuse_loss(graph, disk, base.format, record.books.bitmaps(merge.target))


def _merged(record: Record, merges: list[Merge]) -> Measure:
    """How far the merges are; one that has not begun is unknown, one that is done does not count any more."""
    targets = {merge.target for merge in merges}

    async def measure(job: Job) -> None:
        running = record.running
        mine = {work.job for work in running.works if work.disk in targets} if running is not None else set()
        if running is not None and mine:
            facts = [one for one in await running.process.block_jobs() if one.id in mine]
            job.processed, job.total = sum(one.current for one in facts), sum(one.total for one in facts)

    return measure


async def _merge(world: World, record: Record, running: Running, merge: Merge) -> None:
    """Commit one layer into the next, and wait until the books have it. What was merged before is passed over."""
    disk = find_disk(running.guest, merge.target)
    places = [path_of(layer) for layer in Chain.of(disk).layers]
    if merge.above not in places:
        return
    first = places.index(merge.above)
    work = running.works.of(merge.target)  # an engine that died has begun it
    if work is None:
        work = await blockjobs.commit(world, record, running, disk, first, first + 1, own=True)
    running.works.owned.add(work.job)
    try:
        if work.kind == "active-commit":
            facts = await blockstops.ended(world, record, running, work, ("ready", *blockends.ENDED))
            if facts is not None and facts.status == "ready":
                await blockstops.pivot(world, record, running, work)
                return
        ended = await blockstops.ended(world, record, running, work)
        await blockends.conclude(world, record, running, work, ended)
        if ended is not None:
            blockends.raise_failed(ended)
    except asyncio.CancelledError:
        await blockstops.give_up(world, record, running, work)
        raise
    finally:
        running.works.owned.discard(work.job)


async def _drop_inside(world: World, record: Record, snapshot: DomainSnapshot) -> None:
    """Delete what is inside images: by QEMU where it has them open. Raises WrongState for a layer below that it only reads."""
    guest, name = snapshot.guest, snapshot.name or ""
    if guest is None:
        return
    disks = [find_disk(guest, target) for target in inside(snapshot)]
    running = record.running
    open_now = []
    for disk in disks:
        chain = _now(record, disk.target or "") if running is not None else []
        if disk.source_path in chain[1:]:
            raise WrongState(f"disk '{disk.target}': the snapshot is inside a layer that the running guest only reads",
                             state="running")  # fmt: skip
        if disk.source_path in chain and running is not None:
            open_now.append(find_disk(running.guest, disk.target or ""))
        elif disk.source_path is not None and name in await world.images.snapshots(disk.source_path, disk.format or ""):
            await world.images.snapshot("delete", disk.source_path, disk.format or "", name)
    if running is None:
        for path, kind in (await inside_image(world, snapshot, guest)).items():
            if name in await world.images.snapshots(path, kind):
                await world.images.snapshot("delete", path, kind, name)
    if open_now and running is not None:
        try:
            await run_job(world, running, "delete", name, open_now)
        except HypervisorFailed as error:
            if "does not exist" not in error.message and "no snapshot" not in error.message.lower():
                raise


async def _forget(
    world: World, record: Record, snapshot: DomainSnapshot, merges: list[Merge], orphans: list[str]
) -> None:
    """Out of the books; other snapshots that were on a merged layer are on the one that took it. Then files may go."""
    books = record.books
    for merge in merges:
        for other in books.snapshots:
            for half in (other.guest, other.inactive):
                if half is not None:
                    _renamed(half, merge)
    gone = [*orphans, *(merge.above for merge in merges if merge.above in books.made)]
    books.snapshots.remove(snapshot.name or "")
    books.torn.discard(snapshot.name or "")
    books.made -= set(gone)
    books.pending = Pending(op="delete", name=snapshot.name or "", settled=True, gone=gone) if gone else None
    await world.images.sync([path for merge in merges for path in _now(record, merge.target)])
    await books.save_snapshots(world.store, record.uuid)
    if gone:
        await throw_away(world, record, gone)


async def throw_away(world: World, record: Record, gone: list[str]) -> None:
    """The files that the books have no use for any more."""
    await world.images.remove(gone)
    record.books.pending = None
    await record.books.save_snapshots(world.store, record.uuid)


def _renamed(guest: Guest, merge: Merge) -> None:
    """The chain of one disk with the merged layer gone, and the one that took it in its place."""
    for disk in guest.devices.disks:
        chain = Chain.of(disk)
        names = [path_of(layer) for layer in chain.layers]
        if disk.target == merge.target and merge.above in names:
            place = names.index(merge.above)
            if merge.below in names:
                blockends.put(guest, chain.without(place, place).on(disk))
