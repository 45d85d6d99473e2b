"""Making a snapshot. What it will be is decided first; what is done is written down before, so that no crash tears it.

New layers are empty: a disk with one reads as it did without. So the definition gets them first, and QEMU after it:
whoever dies between, the definition names what holds all that the guest wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from frontinus.api.errors import Busy, FrontinusError, StorageFailed, WrongState
from frontinus.api.events import DiskChangeEvent
from frontinus.domain.definition import format_cpu, format_guest, parse_guest
from frontinus.domain.devices.block.disk import BackingStore, Disk, last_layer
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import Chain, path_of
from frontinus.domain.snapshots.checkpoint import RECORDING
from frontinus.domain.snapshots.deciding import decide, inside, overlaid
from frontinus.domain.snapshots.snapshot import DomainSnapshot, find_disk
from frontinus.domain.snapshots.variables import refuse_variables
from frontinus.engine import halves, runstate, trail
from frontinus.engine.block import blockends
from frontinus.engine.block.blockjobs import backing_of
from frontinus.engine.guest import ending, savefile
from frontinus.engine.guest.preparing import carry_out
from frontinus.engine.guest.saving import written
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot import doomed
from frontinus.engine.snapshot.books import Pending
from frontinus.engine.snapshot.variables import inside_image, with_variables
from frontinus.engine.world import World
from frontinus.ports.blocks import GraphFacts, Overlaid
from frontinus.xml import format_document

log = logging.getLogger(__name__)

JOB = "snapshot-save"
AGENT_SECONDS = 10.0


async def create(world: World, record: Record, wanted: DomainSnapshot, flags: Collection[str]) -> DomainSnapshot:
    """Make a snapshot, wholly or not at all; the guest's lock is held. Raises InvalidXML, WrongState, StorageFailed..."""
    guest = _guest(record)
    decide(wanted, guest, state=_state(record), disk_only="disk-only" in flags)
    if inside(wanted):
        refuse_variables(wanted, await with_variables(world, guest))
    wanted.parent = record.books.snapshots.current
    wanted.domain = guest.clone()
    wanted.inactive = record.definition.clone() if record.running and record.definition else None
    wanted.cpu = record.running.asked_cpu if record.running else None
    before = record.definition
    running = record.running
    first = (last_layer(guest.devices.disks) if running else 0) + 1
    overlays = overlaid(wanted, guest, first, record.books.bitmaps)
    if running is not None and any(one.bitmaps for one in overlays):
        overlays = _recording(await running.process.graph(), overlays)
    pending = _pending(record, wanted, overlays, flags)
    if running is None:
        pending.internal |= await inside_image(world, wanted, guest)
    await doomed.refuse_present(world, pending.files)
    if "reuse-external" in flags:
        await _refuse_smaller(world, running, overlays)
    record.books.pending = pending
    await record.books.save_snapshots(world.store, record.uuid)
    try:
        async with world.jobs.run("snapshot", record.uuid) as job:
            job.measure = written(running) if running is not None and wanted.memory_file is not None else None
            if running is None:
                await _offline(world, record, wanted, pending, overlays, flags)
            else:
                await _online(world, record, running, wanted, overlays, flags)
    except BaseException:
        await undo(world, record, before, pending)
        raise
    await adopt(world, record, wanted, pending)
    if running is not None:
        await _end_or_let_go(record, running, pending, halt="halt" in flags)
    return wanted


def _guest(record: Record) -> Guest:
    if record.running is None:
        return record.need_inactive()
    running = record.need_running()
    if busy := next(iter(running.works), None):
        raise Busy(f"disk '{busy.disk}' has a job: {busy.kind}", job=busy.kind)
    return running.guest


def _state(record: Record) -> str:
    if record.running is None:
        return "shutoff"
    if record.state not in ("running", "paused"):
        raise WrongState(f"guest '{record.name}' is {record.state}", state=record.state)
    return record.state


def _recording(graph: GraphFacts, overlays: Sequence[Overlaid]) -> list[Overlaid]:
    """A new layer goes on with what the one below records. Of any other bitmap it could only tell half."""
    found = []
    for one in overlays:
        index = one.old.source.index if one.old.source is not None else None
        there = graph.bitmaps.get(index or 0, {})
        names = (name for name in one.bitmaps if name in there and there[name].recording and there[name].sound)
        found.append(replace(one, bitmaps=tuple(names)))
    return found


async def _refuse_smaller(world: World, running: Running | None, overlays: Sequence[Overlaid]) -> None:
    """Raises StorageFailed for an overlay that is there and would cut off the end of what the guest sees."""
    sizes = (await running.process.graph()).sizes if running is not None else {}
    for one in overlays:
        top, below = Chain.of(one.new).layers[:2]
        place, path = path_of(below), path_of(top)
        size = sizes.get(below.index or 0) if running is not None else None
        if size is None and place is not None:
            size = await world.images.size(place, below.format or "raw")
        if path is not None and size is not None and await world.images.present([path]):
            found = await world.images.size(path, top.format or "qcow2")
            if found < size:
                raise StorageFailed(f"{path} has {found} bytes, disk '{one.old.target}' has {size}", path=path)


def _pending(record: Record, wanted: DomainSnapshot, overlays: Sequence[Overlaid], flags: Collection[str]) -> Pending:
    tops = {one.new.target or "": one.new.source_path or "" for one in overlays}
    files = [] if "reuse-external" in flags else [
        one.new.source_path for one in overlays if one.new.type == "file" and one.new.source_path]  # fmt: skip
    if wanted.memory_file is not None:
        files = [*files, wanted.memory_file]
    guest = wanted.guest
    insides = [find_disk(guest, name) for name in inside(wanted)] if guest is not None else []
    return Pending(
        op="create", name=wanted.name or "", xml=format_document(wanted, secrets=True), files=files, tops=tops,
        definition=format_guest(record.definition, secrets=True) if record.definition is not None else None,
        indexes={one.new.target or "": one.new.source.index or 0 for one in overlays if one.new.source is not None},
        keep="no-metadata" not in flags,
        resume=record.state == "running", internal={disk.source_path: disk.format or "" for disk in insides if disk.source_path},
    )  # fmt: skip


# --- a guest that is off


async def _offline(world: World, record: Record, wanted: DomainSnapshot, pending: Pending, overlays: Sequence[Overlaid],
                   flags: Collection[str]) -> None:  # fmt: skip
    for path, kind in pending.internal.items():
        await world.images.snapshot("create", path, kind, wanted.name or "")
    if "reuse-external" not in flags:
        for one in overlays:
            below = Chain.of(one.new).layers[1]
            place = path_of(below)
            if place is None:
                raise StorageFailed(f"disk '{one.old.target}': its size is known only while the guest runs", path="")
            path, size = one.new.source_path or "", await world.images.size(place, below.format or "raw")
            await world.images.create(path, one.new.format or "qcow2", size, backing=backing_of(below))
            await go_on_recording(world, path, Chain.of(one.old).layers, one.bitmaps)
    if overlays:
        assert record.definition is not None
        changed = record.definition.clone()
        for one in overlays:
            blockends.put(changed, _unnumbered(one.new))
        await world.store.save(halves.KIND, record.uuid, format_guest(changed, secrets=True))
        record.definition = changed


def _unnumbered(disk: Disk) -> Disk:
    chain = Chain.of(disk)
    return Chain(tuple(layer.clone(index=None) for layer in chain.layers), chain.ends).on(disk)


async def go_on_recording(world: World, path: str, below: Sequence[BackingStore], bitmaps: Sequence[str]) -> None:
    """Give a new layer those bitmaps that record in the one below. Of any other it could only tell half."""
    top = below[0]
    there: Mapping[str, bool] = {}
    if bitmaps and top.format in RECORDING and (place := path_of(top)) is not None:
        there = await world.images.bitmaps(place, top.format or "")
    for bitmap in bitmaps:
        if there.get(bitmap):
            await world.images.bitmap("add", path, "qcow2", bitmap)


# --- a guest that runs


async def _online(world: World, record: Record, running: Running, wanted: DomainSnapshot,
                  overlays: Sequence[Overlaid], flags: Collection[str]) -> None:  # fmt: skip
    if wanted.memory == "internal":
        await _save_inside(world, record, running, wanted)
        return
    async with frozen(running, asked="quiesce" in flags):
        if wanted.memory_file is not None:
            await _save_memory(record, running, wanted.memory_file, live="live" in flags)
        if "reuse-external" not in flags:
            await _make(world, running, overlays)
        halves_after = await _define(world, record, overlays)
        insides = [find_disk(running.guest, name) for name in inside(wanted)]
        plan = blockends.planner(world, running).overlay(overlays, insides, wanted.name or "")
        await carry_out(world, record, running, plan)
    await switched(world, record, running, [one.new for one in overlays], halves_after)


async def _save_inside(world: World, record: Record, running: Running, wanted: DomainSnapshot) -> None:
    """Memory and disks into the images, by QEMU, which stops the guest meanwhile and lets it go on."""
    disks = [find_disk(running.guest, name) for name in inside(wanted)]
    running.quiet = True
    try:
        await run_job(world, running, "save", wanted.name or "", disks)
    finally:
        running.quiet = False
    trail.disk_changed(world, record, "snapshot", None, wanted.name)


async def run_job(world: World, running: Running, verb: str, name: str, disks: Sequence[Disk]) -> None:
    """Save, load or delete a state inside images. Raises HypervisorFailed."""
    plan = blockends.planner(world, running).state(verb, JOB, name, disks)  # type: ignore[arg-type]
    await running.process.update(plan, {})
    facts = await blockends.until(running, JOB, blockends.ENDED)
    if facts is not None:
        await running.process.steer_job(JOB, "dismiss")
        blockends.raise_failed(facts)


async def job_done(running: Running) -> bool:
    """Whether the job that an earlier engine began did what it should; False too when QEMU knows none."""
    facts = await blockends.until(running, JOB, blockends.ENDED)
    if facts is None:
        return False
    await running.process.steer_job(JOB, "dismiss")
    return not facts.error


@asynccontextmanager
async def frozen(running: Running, *, asked: bool) -> AsyncIterator[None]:
    """The guest's file systems frozen by its agent, and thawed whatever happens. Raises AgentUnavailable."""
    if not asked:
        yield
        return
    try:
        await _ask_agent(running, "guest-fsfreeze-freeze")
    except FrontinusError:
        with contextlib.suppress(FrontinusError):  # some of them may be frozen
            await _ask_agent(running, "guest-fsfreeze-thaw")
        raise
    try:
        yield
    finally:
        await _thaw(running)


async def _thaw(running: Running) -> None:
    """What was done meanwhile stands, also if this fails."""
    try:
        await _ask_agent(running, "guest-fsfreeze-thaw")
    except FrontinusError as error:
        log.warning("the file systems of guest %s may still be frozen: %s", running.guest.name, error.message)


async def _ask_agent(running: Running, command: str) -> None:
    await running.process.agent_command(json.dumps({"execute": command}), AGENT_SECONDS)


async def _save_memory(record: Record, running: Running, path: str, *, live: bool) -> None:
    """The guest's state into a new file. It is stopped afterwards, until the disks are done too."""
    header = savefile.Header(xml=format_guest(running.guest, active=True, secrets=True), running=record.state == "running",
                             uuid=record.uuid, name=record.name, cpu=format_cpu(running.asked_cpu))  # fmt: skip
    running.quiet = True
    fd = await asyncio.to_thread(savefile.create, Path(path), header)
    try:
        await running.process.save(path, fd, live=live)
        await asyncio.to_thread(savefile.finish, fd, Path(path))
    except OSError as error:
        raise StorageFailed(f"cannot write '{path}': {error.strerror}", path=path) from None
    finally:
        os.close(fd)


async def _make(world: World, running: Running, overlays: Sequence[Overlaid]) -> None:
    sizes = (await running.process.graph()).sizes
    for one in overlays:
        below = Chain.of(one.new).layers[1]
        size = sizes.get(below.index or 0, 0)
        await world.images.create(one.new.source_path or "", one.new.format or "qcow2", size, backing=backing_of(below))


async def _define(world: World, record: Record, overlays: Sequence[Overlaid]) -> bool:
    """The definition with the new layers, durably; whether it has the guest's images at all."""
    if record.definition is None or not overlays:
        return False
    changed = halves.Halves(record, None, record.definition.clone())
    for one in overlays:
        blockends.carry(changed, one.old, Chain.of(one.old), Chain.of(one.new))
        if changed.definition is None:
            return False
    assert changed.definition is not None
    await world.store.save(halves.KIND, record.uuid, format_guest(changed.definition, secrets=True))
    record.definition = changed.definition
    return True


async def switched(world: World, record: Record, running: Running, disks: Sequence[Disk], defined: bool) -> None:
    """QEMU has new layers on these disks: the running guest's model follows, durably."""
    live = running.guest.clone()
    for disk in disks:
        old = find_disk(live, disk.target or "")
        blockends.put(live, disk)
        trail.disk_changed(world, record, "snapshot", old.source_path, disk.source_path)
        world.bus.publish(DiskChangeEvent(uuid=record.uuid, name=record.name, old=old.source_path, new=disk.source_path,
                                          device=disk.alias or "", reason="changed"))  # fmt: skip
    running.guest = live
    running.redefined |= not defined and record.definition is not None and bool(disks)
    await runstate.save_running(world.store, record)


# --- afterwards


async def adopt(world: World, record: Record, wanted: DomainSnapshot, pending: Pending) -> None:
    """The snapshot is made: into the books with it."""
    books = record.books
    if pending.keep:
        books.snapshots.add(wanted)
        books.snapshots.current = wanted.name
        books.made |= set(pending.files)
    books.pending = None
    await books.save_snapshots(world.store, record.uuid)


async def _end_or_let_go(record: Record, running: Running, pending: Pending, *, halt: bool) -> None:
    if halt:
        running.ending = "from snapshot"
        await ending.kill(record, graceful=False)
    else:
        await let_go(record, running, pending)


async def let_go(record: Record, running: Running, pending: Pending) -> None:
    """A guest that was stopped for its memory runs on; one that was stopped before has its images back."""
    status = await running.process.status()
    if pending.resume and status != "running":
        await resume(record, running)
    elif status == "postmigrate":
        with running.hushed():
            await running.process.take_back()
    running.quiet = False


async def resume(record: Record, running: Running) -> None:
    with running.hushed():
        await running.process.resume()
    record.become("running", record.reason if record.state == "running" else "from snapshot")


async def undo(world: World, record: Record, before: Guest | None, pending: Pending) -> None:
    """It came to nothing: the definition as it was, the files that were made for it gone, the guest running if it was."""
    books = record.books
    if pending.definition is not None and record.definition is not None and pending.tops:
        old = before or parse_guest(pending.definition)
        await world.store.save(halves.KIND, record.uuid, format_guest(old, secrets=True))
        record.definition = old
    await world.images.remove(pending.files)
    running = record.running
    if running is None:
        for path, kind in pending.internal.items():
            if pending.name in await world.images.snapshots(path, kind):
                await world.images.snapshot("delete", path, kind, pending.name)
    elif not running.ended.is_set():
        await _undo_running(world, record, running, pending)
    if running is not None:
        running.quiet = False
    books.pending = None
    await books.save_snapshots(world.store, record.uuid)


async def _undo_running(world: World, record: Record, running: Running, pending: Pending) -> None:
    await let_go(record, running, pending)
    names = {disk.source_path: disk for disk in running.guest.devices.disks}
    insides = [names[path] for path in pending.internal if path in names]
    if insides:
        with contextlib.suppress(FrontinusError):  # it is not there, as it should be
            await run_job(world, running, "delete", pending.name, insides)
