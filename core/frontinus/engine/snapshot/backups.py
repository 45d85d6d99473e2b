"""Backups of a running guest's disks as they are at one moment: pushed into images, or served by NBD to be pulled.

With a checkpoint to start from, only what changed since. A new checkpoint may be made at the same moment: the next backup
starts there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from frontinus.api.errors import Busy, FrontinusError, HypervisorFailed, WrongState
from frontinus.domain.devices.block.disk import BackingStore, Disk, last_layer
from frontinus.domain.snapshots.backup import NBD_PORT, BackupDisk, DomainBackup, align_backup, parse_backup
from frontinus.domain.snapshots.chain import path_of
from frontinus.domain.snapshots.checkpoint import DomainCheckpoint, parse_checkpoint
from frontinus.domain.snapshots.snapshot import find_disk
from frontinus.engine import runstate, trail
from frontinus.engine.block import bitmaps, blockends
from frontinus.engine.block.works import BackupState, Work
from frontinus.engine.guest.preparing import carry_out, give_back
from frontinus.engine.jobs import Job
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot import checkpoints, doomed
from frontinus.engine.world import World
from frontinus.ports.blocks import GraphFacts, JobFacts, Mark, Marks, Saved, Service
from frontinus.xml import View, format_document


class Backups:
    """The use cases on backups."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def backup_xml(self, guest: str) -> str:
        record = self.world.guests.find(guest)
        backup = record.need_running().backup
        if backup is None:
            raise WrongState(f"guest '{record.name}' has no backup under way", state="none")
        return backup.xml

    async def begin_backup(self, guest: str, xml: str, checkpoint: str | None = None,
                           reuse_external: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        wanted = parse_backup(xml)
        mark = parse_checkpoint(checkpoint) if checkpoint else None
        async with record.lock.hold("begin a backup"):
            running = record.need_running()
            if running.backup is not None:
                raise Busy(f"guest '{record.name}' has a backup under way", job="backup")
            marks = checkpoints.prepare(self.world, record, running, mark) if mark is not None else Marks()
            suffix = mark.name if mark is not None and mark.name else str(int(self.world.host.time()))
            align_backup(wanted, running.guest, suffix)
            disks = await self._disks(record, running, wanted)
            await self._begin(record, running, wanted, disks, marks, mark, reuse=reuse_external)
            follow(self.world, record, running, disks, _service(wanted))

    async def _disks(self, record: Record, running: Running, wanted: DomainBackup) -> list[Saved]:
        """What each disk needs. Raises Busy, WrongState, NoSuchCheckpoint."""
        graph = await running.process.graph()
        first = last_layer(running.guest.devices.disks) + 1
        if not wanted.chosen():
            raise WrongState(f"guest '{record.name}' has no disk to back up", state="none")
        found = []
        for number, mine in enumerate(wanted.chosen()):
            disk = find_disk(running.guest, mine.name)
            if (work := running.works.of(mine.name)) is not None:
                raise Busy(f"disk '{mine.name}' has a job: {work.kind}", job=work.kind)
            mine.index, mine.state, mine.format = first + number, "running", mine.format or "qcow2"
            if wanted.is_pull:
                mine.export_name = mine.export_name or mine.name
            found.append(saved(mine, disk, _since(record, graph, mine, disk)))
        if wanted.is_pull and wanted.server is not None and wanted.server.transport == "tcp":
            wanted.server.port = wanted.server.port or NBD_PORT
        return found

    async def _begin(self, record: Record, running: Running, wanted: DomainBackup, disks: Sequence[Saved], marks: Marks,
                     mark: DomainCheckpoint | None, *, reuse: bool) -> None:  # fmt: skip
        """Write down, make the images, start all jobs at one moment. A failure leaves nothing of it."""
        files = [path for one in disks if one.layer.type == "file" and (path := path_of(one.layer)) is not None]
        made = [] if reuse else files
        for path in await self.world.images.present(made):
            raise WrongState(f"{path} is there already: say that it is to be reused, or remove it", state="exists")
        running.backup = BackupState(xml=format_document(wanted, View.ACTIVE), made=made)
        for one in disks:
            running.works.add(Work(job=one.job, kind="backup", disk=one.disk.target or ""))
        try:
            await runstate.save_running(self.world.store, record)
            await doomed.doom(self.world, record, made)
            sizes = (await running.process.graph()).sizes
            for one in disks if not reuse else ():
                size = sizes.get(one.disk.source.index or 0, 0) if one.disk.source is not None else 0
                await self.world.images.create(path_of(one.layer) or "", one.layer.format or "qcow2", size)
            if mark is not None:
                await checkpoints.keep(self.world, record, mark)
            plan = blockends.planner(self.world, running).backup(disks, marks, _service(wanted))
            await carry_out(self.world, record, running, plan)
        except BaseException:
            if mark is not None and record.books.checkpoints.get(mark.name or "") is mark:
                await checkpoints.drop(self.world, record, mark)
            await _close(self.world, record, running, disks, _service(wanted), [], failed=True)
            raise
        if mark is not None:
            checkpoints.tell(self.world, record, mark, "created")
        for one in disks:
            running.works.begun(one.job)
            trail.disk_changed(self.world, record, "backup", one.disk.source_path, path_of(one.layer))
        await runstate.save_running(self.world.store, record)


def _since(record: Record, graph: GraphFacts, mine: BackupDisk, disk: Disk) -> tuple[Mark, ...]:
    """What tells all that changed since the checkpoint that an incremental backup starts from."""
    if mine.mode != "incremental":
        return ()
    start = checkpoints.find(record, mine.incremental or "")
    if mine.name not in start.bitmaps():
        raise WrongState(f"disk '{mine.name}' is not in checkpoint '{start.name}'", state="missing")
    return bitmaps.since(graph, record.books.checkpoints, start, disk)


def saved(mine: BackupDisk, disk: Disk, since: tuple[Mark, ...] = ()) -> Saved:
    """One disk of a backup as the hypervisor's planner takes it."""
    layer = BackingStore(type=mine.type, index=mine.index, format=mine.format, source=mine.store)
    return Saved(f"backup-{mine.name}", disk, layer, mine.mode == "incremental", since, mine.export_name or mine.name,
                 mine.export_bitmap or "")  # fmt: skip


def _service(wanted: DomainBackup) -> Service | None:
    if not wanted.is_pull:
        return None
    server = wanted.server
    if server is None:
        return Service(host="localhost", port=NBD_PORT)
    if server.transport == "unix":
        return Service(path=server.socket, tls=bool(server.tls))
    return Service(host=server.name or "localhost", port=server.port or NBD_PORT, tls=bool(server.tls))


# --- under way


def follow(world: World, record: Record, running: Running, disks: Sequence[Saved], service: Service | None) -> None:
    """Watch a backup to its end, as a job that can be aborted: a pull ends that way only."""
    world.spawn(_follow(world, record, running, disks, service), f"backup of {record.name}")


async def _follow(
    world: World, record: Record, running: Running, disks: Sequence[Saved], service: Service | None
) -> None:
    stop = asyncio.Event()

    async def measure(job: Job) -> None:
        mine = {one.job for one in disks}
        facts = [one for one in await running.process.block_jobs() if one.id in mine]
        job.processed, job.total = sum(one.current for one in facts), sum(one.total for one in facts)

    try:
        async with world.jobs.run("backup", record.uuid) as job:
            job.on_abort, job.measure = stop.set, measure
            ends = asyncio.ensure_future(_all_end(running, disks))
            asked = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait({ends, asked}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ends.cancel()
                asked.cancel()
            await _finish(world, record, running, disks, service, aborted=stop.is_set())
            if stop.is_set() and service is None:
                raise asyncio.CancelledError
    except FrontinusError as error:
        blockends.log.warning("the backup of guest %s failed: %s", record.name, error.message)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise  # the engine stops; the backup goes on


async def _all_end(running: Running, disks: Sequence[Saved]) -> None:
    for one in disks:
        await blockends.until(running, one.job, blockends.ENDED)


async def _finish(world: World, record: Record, running: Running, disks: Sequence[Saved], service: Service | None, *,
                  aborted: bool) -> None:  # fmt: skip
    async with record.lock.hold("end a backup", wait=blockends.FOREVER):
        if running.ended.is_set():
            await doomed.remove(world, record, running.backup.made if running.backup is not None else [])
            raise HypervisorFailed("the guest ended before its backup did")
        await running.process.attempt(blockends.planner(world, running).stop_serving(disks, service))
        facts = [await _ended(running, one) for one in disks]
        errors = [one.error for one in facts if one is not None and one.error]
        failed = service is None and (bool(errors) or any(one is None for one in facts))
        await _close(world, record, running, disks, service, facts, failed=failed or service is not None)
    if failed and not aborted:
        raise HypervisorFailed("; ".join(errors) or "the job is gone")


async def _ended(running: Running, one: Saved) -> JobFacts | None:
    """How a job of a backup ended; one that has not is cancelled."""
    facts = await blockends.facts_of(running, one.job)
    if facts is not None and facts.status not in blockends.ENDED:
        await running.process.steer_job(one.job, "cancel")
        facts = await blockends.until(running, one.job, blockends.ENDED)
    if facts is not None:
        await running.process.steer_job(one.job, "dismiss")
    return facts


async def _close(world: World, record: Record, running: Running, disks: Sequence[Saved], service: Service | None,
                 facts: Sequence[JobFacts | None], *, failed: bool) -> None:  # fmt: skip
    """Close what the backup had open and give back what it had on the host; of a pull or a failure no file is left."""
    planner = blockends.planner(world, running)
    await running.process.attempt([*planner.stop_serving(disks, service), *planner.end_backup(disks)])
    await give_back(world, running, [one for one in running.undo if one.get("alias") == "backup"])
    if failed and running.backup is not None:
        await doomed.remove(world, record, running.backup.made)
    else:
        await world.images.sync([path for one in disks if (path := path_of(one.layer)) is not None])
        await doomed.spare(world, record, running.backup.made if running.backup is not None else [])
    running.backup = None
    outcomes = list(facts) or [None] * len(disks)
    for one, fact in zip(disks, outcomes, strict=True):
        work = running.works.get(one.job)
        if work is not None:
            running.works.remove(work)
            if facts:
                status = "completed" if fact is not None and not fact.error else "cancelled" if service else "failed"
                blockends.tell(world, record, work, status)
    await runstate.save_running(world.store, record)


async def resume_backup(world: World, record: Record, running: Running) -> None:
    """After a restart of the engine: a backup is watched again, one that had not begun is taken back."""
    await checkpoints.drop_unmade(world, record, running)
    if running.backup is None:
        return
    wanted = parse_backup(running.backup.xml)
    disks = [saved(mine, find_disk(running.guest, mine.name)) for mine in wanted.chosen()]
    known = {facts.id for facts in await running.process.block_jobs()}
    if not any(one.job in known for one in disks):
        await _close(world, record, running, disks, _service(wanted), [], failed=True)
        return
    follow(world, record, running, disks, _service(wanted))
