"""News of block jobs, and what a later engine makes of those that it finds."""

from __future__ import annotations

from frontinus.api.errors import FrontinusError, HypervisorFailed
from frontinus.engine import runstate
from frontinus.engine.block import blockends, blockstops
from frontinus.engine.block.blockends import ENDED, FOREVER, PENDING, facts_of
from frontinus.engine.block.works import Work
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World
from frontinus.ports.blocks import JobFacts


def told(world: World, record: Record, running: Running, job: str, status: str) -> None:
    """News of a job: who waits for it looks again; what nobody waits for is done here."""
    running.works.told(job).set()
    work = running.works.get(job)
    if work is None or job in running.works.owned or work.kind == "backup":
        return
    if status == PENDING:
        world.spawn(
            blockstops.finalize_pending(world, record, running, work), f"{job} of {record.name} is to be finalized"
        )
    elif status == "ready" and not work.ready:
        world.spawn(_ready(world, record, running, work), f"{job} of {record.name} is ready")
    elif status in ENDED:
        world.spawn(_ended(world, record, running, work), f"end of {job} of {record.name}")


async def _ready(world: World, record: Record, running: Running, work: Work) -> None:
    async with record.lock.hold("note that a block job is ready", wait=FOREVER):
        if running.works.get(work.job) is work and not work.ready:
            await make_ready(world, record, running, work)


async def make_ready(world: World, record: Record, running: Running, work: Work) -> None:
    """The mirror is in step."""
    work.ready = True
    disk = blockends.disk_of(running.guest, work)
    if disk is not None and disk.mirror is not None:
        disk.mirror.ready = "yes"
    await runstate.save_running(world.store, record)
    blockends.tell(world, record, work, "ready")


async def _ended(world: World, record: Record, running: Running, work: Work) -> None:
    async with record.lock.hold("finish a block job", wait=FOREVER):
        try:
            facts = await facts_of(running, work.job)
        except HypervisorFailed as error:
            if error.details.get("class") != "Disconnected":
                raise
            # QEMU ended with the job: the end of the guest sees to what is left of it
            blockends.log.debug("%s of guest %s: %s", work.job, record.name, error.message)
            return
        if running.works.get(work.job) is work and facts is not None and facts.status in ENDED:
            await blockends.conclude(world, record, running, work, facts)


async def relearn(world: World, record: Record, running: Running) -> None:
    """After a restart of the engine: what jobs there still are, and what is left to do for those that ended."""
    for work in running.works:
        if work.kind == "backup":
            continue
        try:
            await _resume(world, record, running, work)
        except FrontinusError as error:
            blockends.log.error("%s of guest %s: %s", work.job, record.name, error.message)
    await blockstops.go_on(world, record, running)


async def _resume(world: World, record: Record, running: Running, work: Work) -> None:
    facts = await facts_of(running, work.job)
    if work.phase == "starting":
        await begun(world, record, running, work, facts)
        return
    if work.phase == "pivot":
        if facts is not None and facts.status == "ready":
            work.phase = "running"  # it had not been told to go over
        else:
            await blockstops.finish_pivot(world, record, running, work)
    elif facts is None or facts.status in ENDED:
        await blockends.conclude(world, record, running, work, facts)
    elif facts.status == PENDING:
        facts = await blockstops.ended(world, record, running, work, seconds=blockstops.PIVOT_SECONDS)
        await blockends.conclude(world, record, running, work, facts)
    elif facts.status == "ready" and not work.ready:
        await make_ready(world, record, running, work)


async def begun(world: World, record: Record, running: Running, work: Work, facts: JobFacts | None) -> None:
    """An engine died while it started a job: either the job is there, or nothing is to be left of it."""
    if facts is not None:
        work.phase = "running"
        await runstate.save_running(world.store, record)
        if facts.status in ENDED:
            await blockends.conclude(world, record, running, work, facts)
        return
    disk = blockends.disk_of(running.guest, work)
    await blockends.forget(world, record, running, work, blockends.aims(disk) if disk is not None else [])
