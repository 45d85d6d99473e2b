"""Work on the disks of a running guest: copied, committed, pulled; watched, hurried, ended."""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.api.blockjobs import AbortFlag, BlockJobKind, BlockJobView, CommitFlag, CopyFlag
from frontinus.api.errors import Busy, InvalidValue, InvalidXML, NoSuchDevice, WrongState
from frontinus.domain.devices.block.disk import BackingStore, Disk, Mirror, last_layer
from frontinus.domain.devices.block.source import BACKED
from frontinus.domain.plan import DevicePlan
from frontinus.domain.plugging import parse_device
from frontinus.domain.snapshots.chain import Chain, find, layer_named, path_of, reference, relative
from frontinus.engine import runstate, trail
from frontinus.engine.block import blockends, blockstops
from frontinus.engine.block.works import Work
from frontinus.engine.guest.preparing import carry_out
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot import doomed
from frontinus.engine.world import World
from frontinus.ports.blocks import CopyOptions, JobFacts
from frontinus.ports.images import Backing

END_SECONDS = 60.0


class BlockJobs:
    """The use cases on block jobs."""

    def __init__(self, world: World) -> None:
        self.world = world

    # --- looking

    async def block_jobs(self, guest: str) -> list[BlockJobView]:
        record = self.world.guests.find(guest)
        running = record.need_running()
        facts = {one.id: one for one in await running.process.block_jobs()} if list(running.works) else {}
        return [_view(record, work, facts.get(work.job)) for work in running.works]

    async def block_job(self, guest: str, disk: str) -> BlockJobView | None:
        record = self.world.guests.find(guest)
        found, _ = find(record.need_running().guest, disk)
        return next((view for view in await self.block_jobs(guest) if view.disk == found.target), None)

    # --- starting

    async def block_copy(self, guest: str, disk: str, xml: str, bandwidth: int = 0, granularity: int = 0,
                         buffer_size: int = 0, flags: Sequence[CopyFlag] = ()) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        options = CopyOptions(bandwidth, granularity, buffer_size, "shallow" in flags, "synchronous" in flags)
        async with record.lock.hold("copy a disk"):
            running = record.need_running()
            found = free_disk(running, disk)
            mirror = _mirror_of(xml, found, shallow=options.shallow, index=last_layer(running.guest.devices.disks) + 1)
            work = Work(job=f"copy-{found.target}", kind="copy", disk=found.target or "")
            if "reuse-external" not in flags:
                work.made = await self._make_copy(record, running, found, mirror)
            found.mirror = mirror
            plan = blockends.planner(self.world, running, record).copy(work.job, found, mirror, options)
            await start(self.world, record, running, work, plan)
            aim = mirror.source.local_path if mirror.source is not None else None
            trail.disk_changed(self.world, record, "mirror", found.source_path, aim)

    async def _make_copy(self, record: Record, running: Running, disk: Disk, mirror: Mirror) -> list[str]:
        """The image of a copy, of the disk's size; returns its path if it is a new file."""
        path = mirror.source.reached_path if mirror.source is not None else None
        if path is None:
            raise InvalidXML("<source>: only a file or a block device can be made; else make it, and say reuse-external",
                             element="source")  # fmt: skip
        size = (await running.process.graph()).sizes.get(disk.source.index or 0) if disk.source else None
        store = mirror.backing_store
        below = store if store is not None and store.type is not None else None
        made = [path] if mirror.type == "file" else []
        await doomed.refuse_present(self.world, made)
        await doomed.doom(self.world, record, made)
        try:
            await self.world.images.create(path, mirror.format or "raw", size or 0, backing=backing_of(below))
        except BaseException:
            await doomed.spare(self.world, record, made)
            raise
        return made

    async def block_commit(self, guest: str, disk: str, base: str | None = None, top: str | None = None,
                           bandwidth: int = 0, flags: Sequence[CommitFlag] = ()) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        async with record.lock.hold("commit layers of a disk"):
            running = record.need_running()
            found = free_disk(running, disk)
            first, last = _range(found, base, top, shallow="shallow" in flags)
            if first == 0 and "active" not in flags:
                raise InvalidValue(
                    f"disk '{found.target}': its top layer is committed only with 'active'", field="flags"
                )
            relative_names = "relative" in flags
            await commit(self.world, record, running, found, first, last, bandwidth=bandwidth,
                         delete="delete" in flags, relative_names=relative_names)  # fmt: skip

    async def block_pull(self, guest: str, disk: str, base: str | None = None, bandwidth: int = 0,
                         relative: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        async with record.lock.hold("pull layers of a disk"):
            running = record.need_running()
            found = free_disk(running, disk)
            place = layer_named(found, base, "base") if base is not None else None
            if place == 0:
                raise InvalidValue(f"disk '{found.target}': its top layer cannot be the base of a pull", field="base")
            await pull(self.world, record, running, found, place, bandwidth=bandwidth, relative_names=relative)

    # --- steering

    async def abort_block_job(self, guest: str, disk: str, flags: Sequence[AbortFlag] = ()) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("end a block job"):
            running = record.need_running()
            work = self._work(running, disk)
            if "pivot" in flags:
                if work.kind not in ("copy", "active-commit"):
                    raise WrongState(f"disk '{work.disk}': a {work.kind} cannot pivot", state=work.kind)
                await blockstops.pivot(self.world, record, running, work)
                return
            await self._cancel(record, running, work, wait="async" not in flags)

    async def _cancel(self, record: Record, running: Running, work: Work, *, wait: bool) -> None:
        """A mirror in step is left whole: its copy is what the disk was at that moment."""
        if not wait:
            await running.process.steer_job(work.job, "finish" if work.ready else "cancel")
            return
        running.works.owned.add(work.job)
        try:
            await blockstops.give_up(self.world, record, running, work, END_SECONDS)
        finally:
            running.works.owned.discard(work.job)

    async def set_block_job_speed(self, guest: str, disk: str, bandwidth: int) -> None:
        running = self.world.guests.find(guest).need_running()
        await running.process.set_job_speed(self._work(running, disk).job, bandwidth)

    async def set_block_threshold(self, guest: str, device: str, threshold: int) -> None:
        record = self.world.guests.find(guest)
        running = record.need_running()
        disk, place = find(running.guest, device)
        index = Chain.of(disk).layers[place].index or 0
        await running.process.set_threshold(index, threshold)
        running.works.thresholds[index] = device

    def _work(self, running: Running, disk: str) -> Work:
        found, _ = find(running.guest, disk)
        work = running.works.of(found.target or "")
        if work is None or work.kind == "backup":
            raise WrongState(f"disk '{found.target}' has no block job", state="none")
        return work


def free_disk(running: Running, name: str) -> Disk:
    """The disk of a name, which no job is at work on. Raises Busy, NoSuchDevice, WrongState."""
    disk, place = find(running.guest, name)
    if place != 0:
        raise NoSuchDevice(f"'{name}' is a layer of disk '{disk.target}': name the disk")
    work = running.works.of(disk.target or "")
    if work is not None:
        raise Busy(f"disk '{disk.target}' has a job already: {work.kind}", job=work.kind)
    if disk.transient is not None:
        raise WrongState(f"disk '{disk.target}' is transient: what is written to it is not kept", state="transient")
    return disk


def _view(record: Record, work: Work, facts: JobFacts | None) -> BlockJobView:
    facts = facts or JobFacts(work.job, "", "")
    return BlockJobView(guest=record.uuid, disk=work.disk, kind=work.kind, bandwidth=facts.speed, current=facts.current,
                        end=facts.total, ready=work.ready or facts.status == "ready")  # fmt: skip


def _mirror_of(xml: str, disk: Disk, *, shallow: bool, index: int) -> Mirror:
    """Where a copy goes, as the running guest shows it. Raises InvalidXML."""
    wanted = parse_device(xml)
    if not isinstance(wanted, Disk) or wanted.source is None or wanted.source.is_empty(wanted.type):
        raise InvalidXML("a copy goes to a <disk> with a <source>", element="disk")
    format = wanted.format or disk.format or "raw"
    chain = Chain.of(disk)
    if shallow and (len(chain.layers) < 2 or format not in BACKED):
        raise InvalidXML(f"disk '{disk.target}': a shallow copy needs a layer below, and a format that lies on one",
                         element="driver")  # fmt: skip
    if wanted.source.local_path is not None and wanted.source.local_path in map(reference, chain.layers):
        raise InvalidXML(f"disk '{disk.target}': the copy would go to one of its own images", element="source")
    store = Chain(chain.layers[1:], chain.ends).store() if shallow else BackingStore() if format in BACKED else None
    mirror = Mirror(type=wanted.type, job="copy", format=format, source=wanted.source, backing_store=store)
    mirror.complete()
    assert mirror.source is not None
    mirror.source.index = index
    return mirror


def backing_of(layer: BackingStore | None) -> Backing | None:
    """A layer as the header of the one above names it. Raises InvalidXML for what is no file of this host."""
    if layer is None:
        return None
    path = reference(layer)
    if path is None:
        raise InvalidXML("an image over network storage cannot be made here; make it, and say reuse-external",
                         element="source")  # fmt: skip
    return Backing(path, layer.format or "raw")


def _range(disk: Disk, base: str | None, top: str | None, *, shallow: bool) -> tuple[int, int]:
    """Positions of the topmost layer of a commit and of the one that takes all. Raises InvalidValue."""
    layers = Chain.of(disk).layers
    first = layer_named(disk, top, "top") if top is not None else 0
    last = layer_named(disk, base, "base") if base is not None else first + 1 if shallow else len(layers) - 1
    if last >= len(layers):
        raise InvalidValue(f"disk '{disk.target}': nothing lies below the layer that is to be committed", field="top")
    if last <= first:
        raise InvalidValue(f"disk '{disk.target}': the base of a commit lies below its top", field="base")
    return first, last


async def commit(world: World, record: Record, running: Running, disk: Disk, first: int, last: int, *,
                 bandwidth: int = 0, delete: bool = False, relative_names: bool = False, own: bool = False) -> Work:  # fmt: skip
    """Start a commit of the layers from `first` to the one above `last` into `last`. `own`: the caller waits for its end."""
    chain = Chain.of(disk)
    top, base = chain.layers[first], chain.layers[last]
    active = first == 0
    kind: BlockJobKind = "active-commit" if active else "commit"
    work = Work(job=f"commit-{disk.target}", kind=kind, disk=disk.target or "", top=top.index, base=base.index,
                delete=delete)  # fmt: skip
    name = _header(chain, first - 1, base) if relative_names and not active else None
    if active:
        disk.mirror = _as_mirror(base)
    planner = blockends.planner(world, running)
    await start(world, record, running, work, planner.commit(work.job, disk, top, base, bandwidth, name), own=own)
    trail.disk_changed(world, record, "commit", path_of(top), path_of(base))
    return work


async def pull(world: World, record: Record, running: Running, disk: Disk, base: int | None, *, bandwidth: int = 0,
               relative_names: bool = False, own: bool = False) -> Work:  # fmt: skip
    """Start a pull of what lies between the top and position `base` (None: of all) into the top."""
    chain = Chain.of(disk)
    below = chain.layers[base] if base is not None else None
    work = Work(job=f"pull-{disk.target}", kind="pull", disk=disk.target or "", base=below.index if below else None)
    name = _header(chain, 0, below) if relative_names and below is not None else None
    planner = blockends.planner(world, running)
    await start(world, record, running, work, planner.pull(work.job, disk, below, bandwidth, name), own=own)
    trail.disk_changed(world, record, "rebase", disk.source_path, path_of(below) if below else None)
    return work


def _header(chain: Chain, above: int, below: BackingStore) -> str | None:
    """What the header of a layer shall name the one below, in relative words where both are files."""
    mine, other = path_of(chain.layers[above]), path_of(below)
    return relative(other, mine) if mine is not None and other is not None else None


def _as_mirror(base: BackingStore) -> Mirror:
    source = base.source.clone(index=base.index) if base.source is not None else None
    return Mirror(type=base.type, job="active-commit", format=base.format, source=source)


async def start(
    world: World, record: Record, running: Running, work: Work, plan: DevicePlan, *, own: bool = False
) -> None:
    """Write a job down, start it, and say that it runs. A failure leaves nothing of it."""
    running.works.add(work)
    if own:
        running.works.owned.add(work.job)
    try:
        await runstate.save_running(world.store, record)
        await carry_out(world, record, running, plan)
    except BaseException:
        running.works.owned.discard(work.job)
        await blockends.forget(world, record, running, work, [])
        raise
    work.phase = "running"
    await runstate.save_running(world.store, record)
