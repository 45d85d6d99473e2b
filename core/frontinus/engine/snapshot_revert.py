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

from frontinus.api.errors import Busy, InvalidXML, StorageFailed, WrongState
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.disk import Disk
from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import Chain, overlay, path_of, paths
from frontinus.domain.snapshots.deciding import inside
from frontinus.domain.snapshots.snapshot import DomainSnapshot, find_disk
from frontinus.engine import blockends, ending, halves, runstate, savefile, trail
from frontinus.engine.blockjobs import backing_of
from frontinus.engine.books import Pending
from frontinus.engine.launch import launch
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot_create import run_job
from frontinus.engine.world import World


async def revert(world: World, record: Record, snapshot: DomainSnapshot, flags: Collection[str]) -> None:
    """Go back; the guest's lock is held. Raises InvalidXML, WrongState, Busy, StorageFailed, HypervisorFailed."""
    definition = _goal(record, snapshot)
    if "force" not in flags:
        _refuse_to_tear(record, snapshot)
    saved = await _open_memory(snapshot)
    try:
        pending = await _plan(world, record, snapshot, definition)
        await _go_back(world, record, snapshot, pending, definition)
        if "reset-nvram" in flags:
            await _reset_nvram(world, definition)
        await _start(world, record, snapshot, flags, saved[0] if saved is not None else None)
    finally:
        if saved is not None:
            os.close(saved[0])


def _goal(record: Record, snapshot: DomainSnapshot) -> Guest:
    """The definition of that moment. Raises WrongState, Busy, InvalidXML."""
    if record.definition is None:
        raise WrongState(f"guest '{record.name}' is transient: it would not come back", state=record.state)
    if record.running is not None and (busy := next(iter(record.running.works), None)):
        raise Busy(f"disk '{busy.disk}' has a job: {busy.kind}", job=busy.kind)
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


async def _open_memory(snapshot: DomainSnapshot) -> tuple[int, savefile.Header] | None:
    if snapshot.memory_file is None:
        return None
    return await asyncio.to_thread(savefile.open_saved, Path(snapshot.memory_file))


async def _plan(world: World, record: Record, snapshot: DomainSnapshot, definition: Guest) -> Pending:
    """Have the definition name the images that the guest will have, and what is to be done to them."""
    assert snapshot.guest is not None
    tops, internal = {}, {}
    for mine in snapshot.disks:
        disk = find_disk(snapshot.guest, mine.name)
        if mine.snapshot == "external":
            over = _over(disk, f"{snapshot.name}-{int(world.host.time())}")
            blockends.put(definition, Chain.of(over).on(find_disk(definition, mine.name)))
            tops[mine.name] = over.source_path or ""
        elif mine.snapshot == "internal" and disk.source_path is not None:
            internal[disk.source_path] = disk.format or ""
        else:
            _as_now(record, definition, mine.name)
    pending = Pending(op="revert", name=snapshot.name or "", definition=format_guest(definition, secrets=True),
                      files=list(tops.values()), tops=tops, internal=internal)  # fmt: skip
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


async def _go_back(world: World, record: Record, snapshot: DomainSnapshot, pending: Pending, definition: Guest) -> None:
    """End the guest, change the images, then the definition. What memory has inside comes with the start."""
    books = record.books
    books.pending = pending
    await books.save_snapshots(world.store, record.uuid)
    if record.running is not None:
        record.running.ending = "from snapshot"
        await ending.kill(record, graceful=False)
    await change_images(world, snapshot, pending)
    await settle(world, record, pending, definition)


async def change_images(world: World, snapshot: DomainSnapshot, pending: Pending) -> None:
    """Once more is no harm: what was done is done again, or is there."""
    if snapshot.memory != "internal":
        for path, kind in pending.internal.items():
            await world.images.snapshot("apply", path, kind, snapshot.name or "")
    assert snapshot.guest is not None
    for target, path in pending.tops.items():
        if await world.images.present([path]):
            continue
        below = Chain.of(find_disk(snapshot.guest, target)).layers[0]
        size = await world.images.size(path_of(below) or "", below.format or "raw")
        await world.images.create(path, "qcow2", size, backing=backing_of(below))


async def settle(world: World, record: Record, pending: Pending, definition: Guest) -> None:
    """The definition, then the books; then what nobody needs any more goes."""
    abandoned = _abandoned(record, definition)
    await world.store.save(halves.KIND, record.uuid, format_guest(definition, secrets=True))
    record.definition = parse_guest(format_guest(definition, secrets=True))
    books = record.books
    books.snapshots.current = pending.name
    books.made = (books.made | set(pending.files)) - set(abandoned)
    books.pending = None
    await books.save_snapshots(world.store, record.uuid)
    await world.images.remove(abandoned)
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


async def _reset_nvram(world: World, definition: Guest) -> None:
    """The UEFI variable store is made anew from its template at the next start."""
    caps = await world.hypervisor.capabilities(definition.devices.emulator)
    nvram = with_firmware(definition, caps, world.host).os.nvram
    if nvram is not None and nvram.path:
        await world.images.remove([nvram.path])


# --- starting again


async def _start(
    world: World, record: Record, snapshot: DomainSnapshot, flags: Collection[str], fd: int | None
) -> None:
    """Bring the guest to the state of the snapshot, or the one asked for."""
    runs = "running" in flags or (snapshot.state == "running" and "paused" not in flags)
    if snapshot.memory not in ("internal", "external"):
        if not ({"running", "paused"} & set(flags)):
            return
        running = await _launch(world, record, record.need_definition(), runs=runs)
    elif fd is not None:
        assert snapshot.guest is not None
        running = await _launch(world, record, _with_images_of(record, snapshot.guest), runs=runs, incoming=fd)
    else:
        assert snapshot.guest is not None
        running = await _launch(world, record, snapshot.guest, runs=runs)
        await _load(world, record, running, snapshot)
    await _enter(world, record, running, runs=runs)


def _with_images_of(record: Record, guest: Guest) -> Guest:
    """The guest of that moment on the layers that it has now."""
    found = guest.clone(name=record.name)
    for disk in record.need_definition().devices.disks:
        then = next((one for one in found.devices.disks if one.target == disk.target), None)
        if then is not None and not disk.is_empty:
            blockends.put(found, Chain.of(disk).on(then))
    return found


async def _launch(world: World, record: Record, guest: Guest, *, runs: bool, incoming: int | None = None) -> Running:
    state: runstate.Soon = ("running", "from snapshot") if runs else ("paused", "from snapshot")
    return await launch(world, record, guest, soon=state, incoming=incoming)


async def _load(world: World, record: Record, running: Running, snapshot: DomainSnapshot) -> None:
    try:
        await run_job(
            world, running, "load", snapshot.name or "", [find_disk(running.guest, n) for n in inside(snapshot)]
        )
    except BaseException:
        running.ending = "failed"
        await ending.kill(record, graceful=False)
        raise


async def _enter(world: World, record: Record, running: Running, *, runs: bool) -> None:
    record.become("paused", "from snapshot")
    if runs:
        running.quiet = True
        try:
            await running.process.resume()
        finally:
            running.quiet = False
        record.become("running", "from snapshot")
    world.lifecycle(record, "started", "snapshot")
    trail.started(world, record, "from-snapshot")
    if not runs:
        world.lifecycle(record, "suspended", "snapshot")
