"""How block jobs end: the chain of the disk follows, in the running guest and in its definition, then files may go.

The order keeps every image whole, whoever dies when. A definition is written before the run state forgets the job, and a
file is deleted after both. For a pivot the guest is stopped (`blockstops`): source and copy say the same then, so that either
may be taken for the disk after a crash, until the definition says which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from frontinus.api.blockjobs import BlockJobKind
from frontinus.api.errors import FrontinusError, HypervisorFailed, Unresponsive
from frontinus.api.events import BlockJobEvent, DiskChangeEvent
from frontinus.domain.devices.block.disk import BackingStore, Disk, Mirror
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.backup import parse_backup
from frontinus.domain.snapshots.chain import Chain, carried, path_of
from frontinus.engine import runstate
from frontinus.engine.block.works import Work
from frontinus.engine.guest import handing
from frontinus.engine.halves import Halves
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot import doomed
from frontinus.engine.world import World
from frontinus.ports.blocks import BlockPlanner, JobFacts

log = logging.getLogger(__name__)

PENDING = "pending"
ENDED: Collection[str] = ("concluded",)
FOREVER = 10**9


def planner(world: World, running: Running, record: Record | None = None) -> BlockPlanner:
    """Who plans work on the graph of a running guest. `record`: the guest's, where images are opened that callers gave it."""
    host = handing.host_for(world, record) if record is not None else world.host
    return world.hypervisor.blocks(running.guest, running.capabilities, host, world.secrets.value)


def indexes(running: Running) -> set[int]:
    """The indexes of all layers that the running guest's disks, their mirrors and a backup have."""
    disks = running.guest.devices.disks
    layers = [layer for disk in disks for layer in (*Chain.of(disk).layers, *aims(disk))]
    found = {layer.index for layer in layers if layer.index is not None}
    chosen = parse_backup(running.backup.xml).chosen() if running.backup is not None else ()
    return found | {disk.index for disk in chosen if disk.index is not None}


async def facts_of(running: Running, job: str) -> JobFacts | None:
    """What the hypervisor says of a job; None when it knows none."""
    return next((facts for facts in await running.process.block_jobs() if facts.id == job), None)


async def until(running: Running, job: str, wanted: Collection[str], seconds: float = FOREVER,
                pending: Callable[[], Awaitable[None]] | None = None) -> JobFacts | None:  # fmt: skip
    """Wait for one of some states of a job; None when it is gone. `pending` does what one waits for that is to be finalized.

    Raises Unresponsive, HypervisorFailed if the guest ends.
    """
    told = running.works.told(job)
    try:
        async with asyncio.timeout(seconds):
            while True:
                told.clear()
                if running.ended.is_set():
                    raise HypervisorFailed("the guest has ended meanwhile")
                facts = await facts_of(running, job)
                if facts is None or facts.status in wanted:
                    return facts
                if facts.status == PENDING and pending is not None:
                    await pending()
                await told.wait()
    except TimeoutError:
        raise Unresponsive(f"the job '{job}' did not get to its end within {seconds:g} s") from None


async def conclude(world: World, record: Record, running: Running, work: Work, facts: JobFacts | None) -> None:
    """A job has ended: carry its outcome into the books, dismiss it, close what nothing uses, delete what is to go."""
    succeeded = facts is not None and not facts.error
    with running.works.closing(work):
        leaving = await _book(world, record, running, work, succeeded=succeeded)
    await _tidy(world, running, work, leaving, facts)
    if work.delete and succeeded:
        await doomed.remove(world, record, [path for layer in leaving if (path := path_of(layer)) is not None])
    if work.made:
        await world.images.sync(await world.images.present(work.made))
        await doomed.spare(world, record, work.made)
    if facts is not None and facts.error and "cancel" not in facts.error.lower():
        log.warning("%s of disk %s of guest %s failed: %s", work.kind, work.disk, record.name, facts.error)
    tell(world, record, work, _status(work, facts))


async def _book(world: World, record: Record, running: Running, work: Work, *, succeeded: bool) -> list[BackingStore]:
    """Write the outcome of a job down durably; returns the layers that are not the disk's any more."""
    disk = disk_of(running.guest, work)
    if disk is None:
        await runstate.save_running(world.store, record)
        return []
    before = Chain.of(disk)
    after = _after(work, disk, before) if succeeded else before
    if after is not before:
        await world.images.sync(_written(work, after))
    await _settle(world, record, disk, before, after)
    stays = {layer.index for layer in after.layers}
    return [layer for layer in (*before.layers, *aims(disk)) if layer.index not in stays]


def _written(work: Work, after: Chain) -> list[str]:
    """The files that a job wrote data or a header to: they are on disk before the books say that they hold what they do."""
    base = after.position(work.base) if work.kind in ("commit", "active-commit") else 0
    return [path for layer in after.layers[: (base or 0) + 1] if (path := path_of(layer)) is not None]


def _status(work: Work, facts: JobFacts | None) -> str:
    if facts is None or facts.error:
        return "cancelled" if facts is None or "cancel" in facts.error.lower() else "failed"
    return "cancelled" if work.kind in ("copy", "active-commit") and work.phase != "pivot" else "completed"


def _after(work: Work, disk: Disk, before: Chain) -> Chain:
    """The chain that a job leaves which has done what it should."""
    if work.kind == "copy" and work.phase == "pivot" and disk.mirror is not None:
        return _copied(disk.mirror, before)
    if work.kind == "commit" or (work.kind == "active-commit" and work.phase == "pivot"):
        top, base = before.position(work.top), before.position(work.base)
        return before.without(top, base - 1) if top is not None and base is not None else before
    if work.kind == "pull":
        base = before.position(work.base) if work.base is not None else len(before.layers)
        after = before.without(1, base - 1) if base is not None and base > 1 else before
        return after if work.base is not None else Chain(after.layers, ends=True)
    return before


def _copied(mirror: Mirror, before: Chain) -> Chain:
    """The copy in place of the whole chain; a shallow one lies on the layers that the disk had."""
    (top,) = _layer(mirror)
    shared = mirror.backing_store
    if shared is not None and shared.type is not None:
        place = before.position(shared.index)
        return Chain((top, *before.layers[place or 1 :]), before.ends)
    return Chain((top,), ends=shared is not None)


def _layer(mirror: Mirror | None) -> list[BackingStore]:
    if mirror is None or mirror.source is None:
        return []
    return [BackingStore(type=mirror.type, index=mirror.source.index, format=mirror.format,
                         source=mirror.source.clone(index=None), metadata_cache=mirror.metadata_cache)]  # fmt: skip


def aims(disk: Disk) -> list[BackingStore]:
    """The copy that a disk is mirrored to. The base of an active commit is one of its layers."""
    return _layer(disk.mirror) if disk.mirror is not None and disk.mirror.job != "active-commit" else []


async def _settle(world: World, record: Record, disk: Disk, before: Chain, after: Chain) -> None:
    """Both halves with the new chain, durably."""
    halves = Halves.of(record, live=True, config=record.definition is not None)
    assert halves.live is not None
    put(halves.live, (after.on(disk) if after is not before else disk).clone(mirror=None))
    if after is not before:
        carry(halves, disk, before, after)
    else:
        halves.definition = None
    await halves.commit(world)
    if after.layers[0].index != before.layers[0].index:
        world.bus.publish(DiskChangeEvent(uuid=record.uuid, name=record.name, old=path_of(before.layers[0]),
                                          new=path_of(after.layers[0]), device=disk.alias or "", reason="changed"))  # fmt: skip


def carry(halves: Halves, disk: Disk, before: Chain, after: Chain) -> None:
    """Carry a change of the running guest's chain into the definition, if that has the same image."""
    definition = halves.definition
    if definition is None:
        return
    stored = next((one for one in definition.devices.disks if one.target == disk.target), None)
    changed = carried(stored, before, after) if stored is not None else None
    if changed is None:
        halves.definition = None
    else:
        put(definition, changed)


def put(guest: Guest, disk: Disk) -> None:
    """Put a disk in the place of the one with the same target."""
    guest.devices.disks = [disk if one.target == disk.target else one for one in guest.devices.disks]


def disk_of(guest: Guest, work: Work) -> Disk | None:
    return next((disk for disk in guest.devices.disks if disk.target == work.disk), None)


async def _tidy(
    world: World, running: Running, work: Work, leaving: list[BackingStore], facts: JobFacts | None
) -> None:
    """Dismiss the job and close its layers; an engine that finds them later does no more with them."""
    try:
        if facts is not None:
            await running.process.steer_job(work.job, "dismiss")
        await running.process.attempt(planner(world, running).close(leaving))
    except FrontinusError as error:
        log.warning("after %s: %s", work.job, error.message)


def raise_failed(facts: JobFacts) -> None:
    """Raises HypervisorFailed for a job that ended with an error."""
    if facts.error:
        raise HypervisorFailed(facts.error)


def tell(world: World, record: Record, work: Work, status: str) -> None:
    kind: BlockJobKind = work.kind
    world.bus.publish(BlockJobEvent(uuid=record.uuid, name=record.name, device=work.disk, kind=kind, status=status))


async def forget(world: World, record: Record, running: Running, work: Work, layers: list[BackingStore]) -> None:
    """A job that did not start: take back what was made for it."""
    running.works.remove(work)
    disk = disk_of(running.guest, work)
    if disk is not None:
        disk.mirror = None
    await running.process.attempt(planner(world, running).close(layers))
    await doomed.remove(world, record, work.made)
    await runstate.save_running(world.store, record)
