"""What a block job needs the guest stopped for: to go over to a copy or a base, and to change what headers say.

Nothing is written meanwhile. So bitmaps can be carried from the layers that go to the one that stays, and source and copy
say the same. That the guest is to run on is in its run state before it is stopped: a later engine sees to it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from frontinus.api.errors import FrontinusError, HypervisorFailed, WrongState
from frontinus.domain.devices.block.disk import BackingStore, Disk
from frontinus.domain.snapshots.chain import Chain
from frontinus.domain.snapshots.checkpoint import RECORDING
from frontinus.engine import runstate
from frontinus.engine.block import bitmaps, blockends
from frontinus.engine.block.blockends import ENDED, FOREVER, PENDING, facts_of
from frontinus.engine.block.works import Work
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World
from frontinus.ports.blocks import GraphFacts, JobFacts

PIVOT_SECONDS = 60.0


async def ended(world: World, record: Record, running: Running, work: Work, wanted: Collection[str] = ENDED,
                seconds: float = FOREVER) -> JobFacts | None:  # fmt: skip
    """Wait for the end of a job, or another state of it; one that is to be finalized is. As `blockends.until`."""
    return await blockends.until(running, work.job, wanted, seconds, partial(finalize, world, record, running, work))


async def _stop(world: World, record: Record, running: Running) -> None:
    """Stop the guest; every image is written out then, also of one that is stopped already."""
    running.held = running.held or record.state == "running"
    await runstate.save_running(world.store, record)
    running.quiet = True
    await running.process.pause()


async def go_on(world: World, record: Record, running: Running) -> None:
    """Let a guest run that was stopped for a job."""
    try:
        if running.held and not running.ended.is_set():
            await running.process.resume()
            running.held = False
            record.become("running", record.reason if record.state == "running" else "unpaused")
            await runstate.save_running(world.store, record)
    finally:
        running.quiet = False


# --- to change what headers say


async def finalize(world: World, record: Record, running: Running, work: Work) -> None:
    """Have everything on disk that was copied, then the headers changed that say where it is to be found.

    If what bitmaps recorded cannot be kept, the job is given up: the chain stays as it is.
    """
    try:
        await _stop(world, record, running)
        await _carry(world, record, running, work)
        await running.process.steer_job(work.job, "finalize")
    except FrontinusError as error:
        if running.ended.is_set():
            raise
        blockends.log.warning("%s of guest %s is given up: %s", work.job, record.name, error.message)
        await running.process.steer_job(work.job, "cancel")
    finally:
        await go_on(world, record, running)


async def finalize_pending(world: World, record: Record, running: Running, work: Work) -> None:
    """Finalize a job that nobody waits for."""
    async with record.lock.hold("finalize a block job", wait=FOREVER):
        facts = await facts_of(running, work.job)
        if facts is not None and facts.status == PENDING:
            await finalize(world, record, running, work)


async def _carry(world: World, record: Record, running: Running, work: Work) -> None:
    """Bitmaps of layers that go: what they recorded goes into the layer that takes the data, or reads it then."""
    disk = blockends.disk_of(running.guest, work)
    if disk is None or not record.books.bitmaps(work.disk):
        return
    chain = Chain.of(disk)
    gone, into = _moves(work, disk, chain)
    if into is None or not gone:
        return
    marks = bitmaps.carried(await running.process.graph(), chain, gone, into)
    if marks:
        await running.process.update(blockends.planner(world, running).mark(marks), {})


def _moves(work: Work, disk: Disk, chain: Chain) -> tuple[list[int], int | None]:
    """The layers that go, by index, and the one that their bitmaps go to."""
    first, base = chain.position(work.top), chain.position(work.base)
    if work.kind == "copy" and disk.mirror is not None and disk.mirror.source is not None:
        store = disk.mirror.backing_store
        shallow = store is not None and store.type is not None
        return _indexes(chain.layers[:1] if shallow else chain.layers), disk.mirror.source.index
    if work.kind == "pull":
        return _indexes(chain.layers[1:base]), chain.layers[0].index
    if first is None or base is None:
        return [], None
    keeps = chain.layers[base].format in RECORDING
    if not keeps and first > 1:
        raise WrongState(f"disk '{disk.target}': its bitmaps cannot be kept in format '{chain.layers[base].format}'",
                         state="missing")  # fmt: skip
    return _indexes(chain.layers[first:base]), chain.layers[base if keeps or first == 0 else 0].index


def _indexes(layers: Collection[BackingStore]) -> list[int]:
    return [layer.index for layer in layers if layer.index is not None]


async def give_up(world: World, record: Record, running: Running, work: Work, seconds: float = FOREVER) -> None:
    """End a job: a mirror in step is left whole, and its copy is what the disk was at that moment."""
    facts = await facts_of(running, work.job)
    if facts is not None and facts.status not in ENDED:
        await running.process.steer_job(work.job, "finish" if facts.status == "ready" else "cancel")
    facts = await ended(world, record, running, work, seconds=seconds)
    await blockends.conclude(world, record, running, work, facts)


# --- to go over


async def pivot(world: World, record: Record, running: Running, work: Work) -> None:
    """Go over to the copy or the base, the guest stopped meanwhile. Raises WrongState, HypervisorFailed, Unresponsive."""
    facts = await facts_of(running, work.job)
    if facts is None or facts.status not in ("ready", "standby"):
        raise WrongState(f"disk '{work.disk}': the copy is not in step yet", state=facts.status if facts else "none")
    disk, names = blockends.disk_of(running.guest, work), record.books.bitmaps(work.disk)
    if names and disk is not None and disk.mirror is not None:
        refuse_loss(await running.process.graph(), disk, disk.mirror.format, names)
    running.works.owned.add(work.job)
    try:
        work.phase = "pivot"
        await _stop(world, record, running)
        await _carry(world, record, running, work)
        await _complete(running, work)
        await finish_pivot(world, record, running, work)
    except BaseException:
        await go_on(world, record, running)
        raise
    finally:
        running.works.owned.discard(work.job)


async def _complete(running: Running, work: Work) -> None:
    """Tell the job to go over. What QEMU refuses will not happen; after anything else it may."""
    try:
        await running.process.steer_job(work.job, "complete")
    except HypervisorFailed:
        work.phase = "running"
        raise


async def finish_pivot(world: World, record: Record, running: Running, work: Work) -> None:
    """The job was told to go over: wait until it has, then carry it into the books, then let the guest go on."""
    facts = await blockends.until(running, work.job, ENDED, PIVOT_SECONDS)
    await blockends.conclude(world, record, running, work, facts)
    await go_on(world, record, running)
    if facts is not None and facts.error:
        raise HypervisorFailed(f"disk '{work.disk}': {facts.error}")


def refuse_loss(graph: GraphFacts, disk: Disk, format: str | None, names: Sequence[str]) -> None:
    """Raises WrongState when the image that is gone over to cannot keep what checkpoints need."""
    if gone := bitmaps.lost(graph, disk, format, names):
        raise WrongState(f"disk '{disk.target}': format '{format}' keeps no bitmaps; delete the checkpoints first that "
                         f"have {', '.join(gone[:5])}", state="checkpoints")  # fmt: skip
