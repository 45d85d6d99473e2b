"""How block jobs end: the chain of the disk follows, in the running guest and in its definition, then files may go.

The order keeps every image whole, whoever dies when. A definition is written before the run state forgets the job, and a
file is deleted after both. For a pivot the guest is stopped: source and copy say the same then, so that either may be taken
for the disk after a crash, until the definition says which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from frontinus.api.blockjobs import BlockJobKind
from frontinus.api.errors import FrontinusError, HypervisorFailed, Unresponsive, WrongState
from frontinus.api.events import BlockJobEvent, DiskChangeEvent
from frontinus.domain.devices.disk import BackingStore, Disk, Mirror
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.backup import parse_backup
from frontinus.domain.snapshots.chain import Chain, carried, path_of, paths
from frontinus.engine import runstate
from frontinus.engine.halves import Halves
from frontinus.engine.record import Record, Running
from frontinus.engine.works import Work
from frontinus.engine.world import World
from frontinus.ports.blocks import BlockPlanner, JobFacts

log = logging.getLogger(__name__)

PENDING = "pending"
ENDED: Collection[str] = ("concluded",)
PIVOT_SECONDS = 60.0
FOREVER = 10**9


def planner(world: World, running: Running) -> BlockPlanner:
    """Who plans work on the graph of a running guest."""
    return world.hypervisor.blocks(running.guest, running.capabilities, world.host, world.secrets.value)


def indexes(running: Running) -> set[int]:
    """The indexes of all layers that the running guest's disks, their mirrors and a backup have."""
    disks = running.guest.devices.disks
    layers = [layer for disk in disks for layer in (*Chain.of(disk).layers, *_aims(disk))]
    found = {layer.index for layer in layers if layer.index is not None}
    chosen = parse_backup(running.backup.xml).chosen() if running.backup is not None else ()
    return found | {disk.index for disk in chosen if disk.index is not None}


async def facts_of(running: Running, job: str) -> JobFacts | None:
    """What the hypervisor says of a job; None when it knows none."""
    return next((facts for facts in await running.process.block_jobs() if facts.id == job), None)


async def until(running: Running, job: str, wanted: Collection[str], seconds: float = FOREVER) -> JobFacts | None:
    """Wait for one of some states of a job; None when it is gone. Raises Unresponsive, HypervisorFailed if the guest ends."""
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
                if facts.status == PENDING:
                    await _finalize(running, job)
                await told.wait()
    except TimeoutError:
        raise Unresponsive(f"the job '{job}' did not get to its end within {seconds:g} s") from None


def told(world: World, record: Record, running: Running, job: str, status: str) -> None:
    """News of a job: who waits for it looks again; what nobody waits for is done here."""
    running.works.told(job).set()
    work = running.works.get(job)
    if work is None or job in running.works.owned or work.kind == "backup":
        return
    if status == PENDING:
        world.spawn(_flushed(record, running, work), f"{job} of {record.name} is to be finalized")
    elif status == "ready" and not work.ready:
        world.spawn(_ready(world, record, running, work), f"{job} of {record.name} is ready")
    elif status in ENDED:
        world.spawn(_ended(world, record, running, work), f"end of {job} of {record.name}")


async def _flushed(record: Record, running: Running, work: Work) -> None:
    async with record.lock.hold("finalize a block job", wait=FOREVER):
        facts = await facts_of(running, work.job)
        if facts is not None and facts.status == PENDING:
            await _finalize(running, work.job)


async def _finalize(running: Running, job: str) -> None:
    """Have everything on disk that was copied, then the headers changed that say where it is to be found."""
    runs = await running.process.status() == "running"
    running.quiet = True
    try:
        await running.process.pause()  # it writes out every image, also of a guest that is stopped
        await running.process.steer_job(job, "finalize")
    finally:
        if runs and not running.ended.is_set():
            await running.process.resume()
        running.quiet = False


async def _ready(world: World, record: Record, running: Running, work: Work) -> None:
    async with record.lock.hold("note that a block job is ready", wait=FOREVER):
        if running.works.get(work.job) is work and not work.ready:
            await make_ready(world, record, running, work)


async def make_ready(world: World, record: Record, running: Running, work: Work) -> None:
    """The mirror is in step."""
    work.ready = True
    disk = disk_of(running.guest, work)
    if disk is not None and disk.mirror is not None:
        disk.mirror.ready = "yes"
    await runstate.save_running(world.store, record)
    tell(world, record, work, "ready")


async def _ended(world: World, record: Record, running: Running, work: Work) -> None:
    async with record.lock.hold("finish a block job", wait=FOREVER):
        facts = await facts_of(running, work.job)
        if running.works.get(work.job) is work and facts is not None and facts.status in ENDED:
            await conclude(world, record, running, work, facts)


async def pivot(world: World, record: Record, running: Running, work: Work) -> None:
    """Go over to the copy or the base, the guest stopped meanwhile. Raises WrongState, HypervisorFailed, Unresponsive."""
    facts = await facts_of(running, work.job)
    if facts is None or facts.status not in ("ready", "standby"):
        raise WrongState(f"disk '{work.disk}': the copy is not in step yet", state=facts.status if facts else "none")
    running.works.owned.add(work.job)
    try:
        await _stop_for(world, record, running, work)
        await _complete(running, work)
        await finish_pivot(world, record, running, work)
    except BaseException:
        await go_on(world, record, running, work)
        raise
    finally:
        running.works.owned.discard(work.job)


async def _stop_for(world: World, record: Record, running: Running, work: Work) -> None:
    work.phase, work.resume = "pivot", record.state == "running"
    await runstate.save_running(world.store, record)
    if work.resume:
        running.quiet = True
        await running.process.pause()


async def _complete(running: Running, work: Work) -> None:
    """Tell the job to go over. What QEMU refuses will not happen; after anything else it may."""
    try:
        await running.process.steer_job(work.job, "complete")
    except HypervisorFailed:
        work.phase = "running"
        raise


async def finish_pivot(world: World, record: Record, running: Running, work: Work) -> None:
    """The job was told to go over: wait until it has, then carry it into the books, then let the guest go on."""
    ended = await until(running, work.job, ENDED, PIVOT_SECONDS)
    await conclude(world, record, running, work, ended)
    await go_on(world, record, running, work)
    if ended is not None and ended.error:
        raise HypervisorFailed(f"disk '{work.disk}': {ended.error}")


async def go_on(world: World, record: Record, running: Running, work: Work) -> None:
    """Let a guest run that was stopped for a pivot."""
    running.quiet = False
    if not work.resume or running.ended.is_set():
        return
    work.resume = False
    running.quiet = True
    try:
        await running.process.resume()
    finally:
        running.quiet = False
    record.become("running", record.reason if record.state == "running" else "unpaused")
    await runstate.save_running(world.store, record)


async def conclude(world: World, record: Record, running: Running, work: Work, facts: JobFacts | None) -> None:
    """A job has ended: carry its outcome into the books, dismiss it, close what nothing uses, delete what is to go."""
    succeeded = facts is not None and not facts.error
    with running.works.closing(work):
        leaving = await _book(world, record, running, work, succeeded=succeeded)
    await _tidy(world, running, work, leaving, facts)
    if work.delete and succeeded:
        kept = disk_of(running.guest, work)
        await world.images.sync(paths(kept) if kept is not None else [])
        await world.images.remove([path for layer in leaving if (path := path_of(layer)) is not None])
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
    await _settle(world, record, disk, before, after)
    stays = {layer.index for layer in after.layers}
    return [layer for layer in (*before.layers, *_aims(disk)) if layer.index not in stays]


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


def _aims(disk: Disk) -> list[BackingStore]:
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


async def relearn(world: World, record: Record, running: Running) -> None:
    """After a restart of the engine: what jobs there still are, and what is left to do for those that ended."""
    for work in running.works:
        if work.kind == "backup":
            continue
        try:
            await _resume(world, record, running, work)
        except FrontinusError as error:
            log.error("%s of guest %s: %s", work.job, record.name, error.message)


async def _resume(world: World, record: Record, running: Running, work: Work) -> None:
    facts = await facts_of(running, work.job)
    if work.phase == "starting":
        await begun(world, record, running, work, facts)
        return
    if work.phase == "pivot":
        if facts is not None and facts.status == "ready":
            work.phase = "running"  # it had not been told to go over
            await go_on(world, record, running, work)
        else:
            await finish_pivot(world, record, running, work)
    elif facts is None or facts.status in ENDED:
        await conclude(world, record, running, work, facts)
    elif facts.status == PENDING:
        await conclude(world, record, running, work, await until(running, work.job, ENDED, PIVOT_SECONDS))
    elif facts.status == "ready" and not work.ready:
        await make_ready(world, record, running, work)


async def begun(world: World, record: Record, running: Running, work: Work, facts: JobFacts | None) -> None:
    """An engine died while it started a job: either the job is there, or nothing is to be left of it."""
    if facts is not None:
        work.phase = "running"
        await runstate.save_running(world.store, record)
        if facts.status in ENDED:
            await conclude(world, record, running, work, facts)
        return
    disk = disk_of(running.guest, work)
    await forget(world, record, running, work, _aims(disk) if disk is not None else [])


async def forget(world: World, record: Record, running: Running, work: Work, layers: list[BackingStore]) -> None:
    """A job that did not start: take back what was made for it."""
    running.works.remove(work)
    disk = disk_of(running.guest, work)
    if disk is not None:
        disk.mirror = None
    await running.process.attempt(planner(world, running).close(layers))
    await world.images.remove(work.made)
    await runstate.save_running(world.store, record)
