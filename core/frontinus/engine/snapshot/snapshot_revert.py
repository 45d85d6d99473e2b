"""Going back to a snapshot: the guest ends, its images and its definition become what they were, and it starts again if
that is what it was.

Images inside which the snapshot is are changed in place. Those of an external one stay as they are: a new layer over them
takes what is written from now on. What was written since, and no snapshot holds, is given up; that is what going back is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from frontinus.api.errors import Busy, InvalidXML, StorageFailed, WrongState
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import Chain, overlay, path_of, paths
from frontinus.domain.snapshots.deciding import inside
from frontinus.domain.snapshots.snapshot import DomainSnapshot, find_disk
from frontinus.engine import halves, runstate, trail
from frontinus.engine.block import blockends
from frontinus.engine.block.blockjobs import backing_of
from frontinus.engine.guest import ending, savefile
from frontinus.engine.guest.launch import launch
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot.books import Pending
from frontinus.engine.snapshot.snapshot_create import go_on_recording, job_done, run_job
from frontinus.engine.snapshot.variables import inside_image, reset_variables
from frontinus.engine.world import World


async def revert(world: World, record: Record, snapshot: DomainSnapshot, flags: Collection[str]) -> None:
    """Go back; the guest's lock is held. Raises InvalidXML, WrongState, Busy, StorageFailed, HypervisorFailed."""
    definition = _goal(record, snapshot)
    if "force" not in flags:
        _refuse_to_tear(record, snapshot)
    await _check_memory(snapshot)
    pending = await _plan(world, record, snapshot, definition)
    pending.start, pending.fresh_nvram = _aim(snapshot, flags), "reset-nvram" in flags
    await _write_down(world, record, pending)
    try:
        await make_layers(world, record, snapshot, pending)
        if record.running is not None:
            record.running.ending = "from snapshot"
            await ending.kill(record, graceful=False)
    except Exception:
        if record.running is not None:
            record.running.ending = None
        await forgo(world, record, pending)
        raise
    await finish(world, record, snapshot, pending)


async def _write_down(world: World, record: Record, pending: Pending | None) -> None:
    record.books.pending = pending
    await record.books.save_snapshots(world.store, record.uuid)


async def forgo(world: World, record: Record, pending: Pending) -> None:
    """The guest has not been ended: nothing was changed, and what was made is not needed."""
    await world.images.remove(pending.files)
    await _write_down(world, record, None)


async def finish(world: World, record: Record, snapshot: DomainSnapshot, pending: Pending) -> None:
    """The guest of before has ended: change images and definition, and start the guest, as far as that is not done.

    After an error the guest is off, and the error says why; it can be started, or brought back once more.
    """
    try:
        if not pending.settled:
            await change_images(world, record, snapshot, pending)
            await settle(world, record, pending)
        await world.images.remove(pending.gone)
        if pending.start is not None:
            await _start(world, record, snapshot, runs=pending.start == "running")
    except Exception:
        await _write_down(world, record, None)
        raise
    await _write_down(world, record, None)


def _aim(snapshot: DomainSnapshot, flags: Collection[str]) -> Literal["running", "paused"] | None:
    """What the guest is brought to: what it was, unless the caller says otherwise; None leaves it off."""
    if "running" in flags:
        return "running"
    if "paused" in flags:
        return "paused"
    if snapshot.memory not in ("internal", "external"):
        return None
    return "running" if snapshot.state == "running" else "paused"


def _goal(record: Record, snapshot: DomainSnapshot) -> Guest:
    """The definition of that moment. Raises WrongState, Busy, InvalidXML."""
    if record.definition is None:
        raise WrongState(f"guest '{record.name}' is transient: it would not come back", state=record.state)
    if record.running is not None and (busy := next(iter(record.running.works), None)):
        raise Busy(f"disk '{busy.disk}' has a job: {busy.kind}", job=busy.kind)
    if snapshot.name in record.books.torn:
        raise WrongState(f"the deletion of snapshot '{snapshot.name}' began: its image is not whole any more; delete it",
                         state="torn")  # fmt: skip
    if snapshot.definition is None:
        raise InvalidXML(
            f"the snapshot '{snapshot.name}' does not say what the guest was; redefine it", element="domain"
        )
    return snapshot.definition.clone(name=record.name, uuid=record.uuid)


def _refuse_to_tear(record: Record, snapshot: DomainSnapshot) -> None:
    """Going back inside an image takes the ground from under layers over it. Raises WrongState where snapshots need them."""
    assert snapshot.guest is not None
    changed = {find_disk(snapshot.guest, name).source_path for name in inside(snapshot)}
    for other in record.books.snapshots:
        guest = other.guest
        for disk in guest.devices.disks if guest is not None and other is not snapshot else ():
            if changed & set(paths(disk)[1:]):
                raise WrongState(f"the snapshot '{other.name}' lies over an image that would change: delete it, or say force",
                                 state="in use")  # fmt: skip


async def _check_memory(snapshot: DomainSnapshot) -> None:
    """Raises StorageFailed when the file with the guest's memory cannot be read: before the guest is ended."""
    if snapshot.memory_file is not None:
        fd, _ = await asyncio.to_thread(savefile.open_saved, Path(snapshot.memory_file))
        os.close(fd)


async def _plan(world: World, record: Record, snapshot: DomainSnapshot, definition: Guest) -> Pending:
    """Have the definition name the images that the guest will have, and what is to be done to them."""
    assert snapshot.guest is not None
    tops = {}
    for mine in snapshot.disks:
        disk = find_disk(snapshot.guest, mine.name)
        if mine.snapshot == "external":
            over = _over(disk, f"{snapshot.name}-{int(world.host.time())}")
            blockends.put(definition, Chain.of(over).on(find_disk(definition, mine.name)))
            tops[mine.name] = over.source_path or ""
        elif mine.snapshot != "internal":
            _as_now(record, definition, mine.name)
    pending = Pending(op="revert", name=snapshot.name or "", definition=format_guest(definition, secrets=True),
                      files=list(tops.values()), tops=tops)  # fmt: skip
    for path in await world.images.present(pending.files):
        raise StorageFailed(f"{path} is there already", path=path)
    return pending


def _over(disk: Disk, suffix: str) -> Disk:
    """A new layer over the image of the snapshot, beside it."""
    chain = Chain.of(disk)
    path = path_of(chain.layers[0])
    if path is None or disk.type != "file":
        raise InvalidXML(f"disk '{disk.target}': a new layer can be made beside a file alone", element="source")
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    return chain.with_top(overlay(f"{folder}/{stem}.{suffix}", block=False, format="qcow2", index=0)).on(disk)


def _as_now(record: Record, definition: Guest, target: str) -> None:
    """A disk that took no part keeps the images it has."""
    assert record.definition is not None
    now = next((one for one in record.definition.devices.disks if one.target == target), None)
    then = next((one for one in definition.devices.disks if one.target == target), None)
    if now is not None and then is not None and not now.is_empty and not then.is_empty:
        blockends.put(definition, Chain.of(now).on(then))


async def make_layers(world: World, record: Record, snapshot: DomainSnapshot, pending: Pending) -> None:
    """New layers over the images of an external snapshot, which go on recording what those record for checkpoints.

    Whatever is there under their names was left unfinished by an engine that died.
    """
    assert snapshot.guest is not None
    await world.images.remove(pending.files)
    for target, path in pending.tops.items():
        layers = Chain.of(find_disk(snapshot.guest, target)).layers
        size = await world.images.size(path_of(layers[0]) or "", layers[0].format or "raw")
        await world.images.create(path, "qcow2", size, backing=backing_of(layers[0]))
        await go_on_recording(world, path, layers, record.books.bitmaps(target))


async def change_images(world: World, record: Record, snapshot: DomainSnapshot, pending: Pending) -> None:
    """Go back inside images. Once more is no harm.

    That is a change which no bitmap records: those of checkpoints are removed, so that no backup is believed to have it.
    """
    assert snapshot.guest is not None
    for target in inside(snapshot):
        disk = find_disk(snapshot.guest, target)
        path, kind = disk.source_path or "", disk.format or ""
        for bitmap in set(record.books.bitmaps(target)) & set(await world.images.bitmaps(path, kind)):
            await world.images.bitmap("remove", path, kind, bitmap)
        if snapshot.memory != "internal":
            await world.images.snapshot("apply", path, kind, snapshot.name or "")
    if snapshot.memory != "internal":
        for path, kind in (await inside_image(world, snapshot, snapshot.guest)).items():
            if snapshot.name in await world.images.snapshots(path, kind):
                await world.images.snapshot("apply", path, kind, snapshot.name or "")
    if pending.fresh_nvram:
        await reset_variables(world, parse_guest(pending.definition or ""))


async def settle(world: World, record: Record, pending: Pending) -> None:
    """The definition, then the books."""
    definition = parse_guest(pending.definition or "")
    pending.gone = pending.gone or _abandoned(record, definition)
    await _write_down(world, record, pending)
    await world.store.save(halves.KIND, record.uuid, format_guest(definition, secrets=True))
    record.definition = definition
    books = record.books
    books.snapshots.current = pending.name
    books.made = (books.made | set(pending.files)) - set(pending.gone)
    pending.settled = True
    await _write_down(world, record, pending)
    trail.disk_changed(world, record, "revert", None, pending.name)
    world.changed(record)


def _abandoned(record: Record, definition: Guest) -> list[str]:
    """Layers of ours that hold what was written since, and that no snapshot and not the guest itself will need."""
    needed = {path for disk in definition.devices.disks for path in paths(disk)}
    for snapshot in record.books.snapshots:
        for half in (snapshot.guest, snapshot.inactive):
            needed |= {path for disk in half.devices.disks for path in paths(disk)} if half is not None else set()
        needed |= {snapshot.memory_file} if snapshot.memory_file is not None else set()
    now = record.definition
    mine = [path for disk in now.devices.disks for path in paths(disk)] if now is not None else []
    return [path for path in mine if path in record.books.made and path not in needed]


# --- starting again


async def _start(world: World, record: Record, snapshot: DomainSnapshot, *, runs: bool) -> None:
    """Bring the guest to the state of the snapshot, or the one asked for. An engine that died may have begun that."""
    running = record.running
    if snapshot.memory == "external" and running is None:
        running = await _launch_with_memory(world, record, snapshot, runs=runs)
    elif snapshot.memory == "internal":
        assert snapshot.guest is not None
        running = running or await _launch(world, record, snapshot.guest, runs=runs, asked_cpu=snapshot.cpu)
        await _load(world, record, running, snapshot)
    elif running is None:
        await _launch(world, record, record.need_definition(), runs=runs)
    await _enter(world, record, record.need_running(), runs=runs)


async def _launch_with_memory(world: World, record: Record, snapshot: DomainSnapshot, *, runs: bool) -> Running:
    assert snapshot.guest is not None and snapshot.memory_file is not None
    fd, _ = await asyncio.to_thread(savefile.open_saved, Path(snapshot.memory_file))
    try:
        return await _launch(world, record, _with_images_of(record, snapshot.guest), runs=runs, incoming=fd,
                             asked_cpu=snapshot.cpu)  # fmt: skip
    finally:
        os.close(fd)


def _with_images_of(record: Record, guest: Guest) -> Guest:
    """The guest of that moment on the layers that it has now."""
    found = guest.clone(name=record.name)
    for disk in record.need_definition().devices.disks:
        then = next((one for one in found.devices.disks if one.target == disk.target), None)
        if then is not None and not disk.is_empty:
            blockends.put(found, Chain.of(disk).on(then))
    return found


async def _launch(world: World, record: Record, guest: Guest, *, runs: bool, incoming: int | None = None,
                  asked_cpu: Cpu | None = None) -> Running:  # fmt: skip
    state: runstate.Soon = ("running", "from snapshot") if runs else ("paused", "from snapshot")
    return await launch(world, record, guest, soon=state, incoming=incoming, asked_cpu=asked_cpu)


async def _load(world: World, record: Record, running: Running, snapshot: DomainSnapshot) -> None:
    """Memory from inside the images; what an earlier engine began is waited for, and done again if that failed."""
    disks = [find_disk(running.guest, name) for name in inside(snapshot)]
    try:
        if not await job_done(running):
            await run_job(world, running, "load", snapshot.name or "", disks)
    except Exception:
        running.ending = "failed"
        await ending.kill(record, graceful=False)
        raise


async def _enter(world: World, record: Record, running: Running, *, runs: bool) -> None:
    record.become("paused", "from snapshot")
    if runs:
        with running.hushed():
            await running.process.resume()
        record.become("running", "from snapshot")
    world.lifecycle(record, "started", "snapshot")
    trail.started(world, record, "from-snapshot")
    if not runs:
        world.lifecycle(record, "suspended", "snapshot")
