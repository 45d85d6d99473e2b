"""Work on volumes that takes a while: shown as a job, and journalled, so that a crash leaves nothing half.

What makes a volume works under another name and is undone at the next start; what wipes one is finished then.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal, TypeVar

import msgspec

from frontinus.api.errors import Cancelled, FrontinusError, StorageFailed, Unresponsive, Unsupported, WrongState
from frontinus.api.storage import WipeAlgorithm
from frontinus.domain.usedplaces import used_places
from frontinus.engine.jobs import Job
from frontinus.engine.record import Record
from frontinus.engine.storage import imagechain, scripts
from frontinus.engine.storage.poolbook import PoolRecord
from frontinus.engine.world import World
from frontinus.storage import imaging
from frontinus.storage.definition import format_volume, parse_volume
from frontinus.storage.pool import Pool
from frontinus.storage.steps import EndStrays, Remove, Step, Wipe, ask, tell
from frontinus.storage.volume import Volume

log = logging.getLogger(__name__)

KIND = "volume-work"
T = TypeVar("T")


class Work(msgspec.Struct, kw_only=True):
    """A document of the journal. `make`: the volume and where it is made; `wipe`: path and algorithm; `stage`: a copy;
    of a volume on a server the volume; `resize`: the volume as it was; `rekey`: the same, and the UUID of its new secret."""

    what: Literal["make", "wipe", "stage", "rekey", "resize"]
    pool: str
    xml: str = ""
    reserved: str = ""
    path: str = ""
    algorithm: WipeAlgorithm = "zero"
    secret: str = ""


REPAIRED = frozenset({"qcow2", "qed"})
"""Formats that reserve room inside the image."""
LATER = frozenset({"rekey"})
"""Work that a running guest may have a part in."""
RETRY = 5.0
"""Seconds between two tries to settle what a guest has a part in that does not answer."""
DYING_SECONDS = 30
LOCKED = " lock"
"""What QEMU's tools complain of when another has an image open."""
UNSETTLED = "unfinished work on a volume could not be settled and is tried again at the next start: %s"

Settle = Callable[[World, Work], Awaitable[None]]


@asynccontextmanager
async def journalled(world: World, work: Work) -> AsyncIterator[None]:
    """Have the work in the journal while the body runs. It stays there when the engine is killed, and only then."""
    key = uuid.uuid4().hex
    await world.store.save(KIND, key, msgspec.json.encode(work).decode())
    try:
        yield
    finally:
        await asyncio.shield(world.store.delete(KIND, key))


def making(record: PoolRecord, volume: Volume, reserved: str) -> Work:
    return Work(what="make", pool=record.uuid, xml=format_volume(volume), reserved=reserved)


def places_of(record: PoolRecord, volume: Volume) -> set[tuple[str, ...]]:
    """How guests may name a volume."""
    return {(volume.path,), (record.name, volume.name or ""), *record.kind.names(record.pool, volume)}


async def reached(world: World, record: PoolRecord, volume: Volume, what: str | None = None) -> Volume:
    """A volume as this host has it. Raises Unsupported where `what` needs its bytes and the host has none."""
    found = await scripts.run(world, record.kind.reach(record.need_running(), volume))
    if what is not None and found.type not in ("file", "block"):
        raise Unsupported(f"volumes of type '{found.type}' cannot {what}: this host has not their bytes")
    return found


async def wiped(world: World, record: PoolRecord, volume: Volume, algorithm: WipeAlgorithm) -> Step:
    """What overwrites a volume: of this host's bytes, or through QEMU's driver of what a server has. Raises Unsupported."""
    found = await reached(world, record, volume) if record.running is not None else volume
    if found.type == "network":
        place = record.kind.remote(record.pool, found.name or "", "login")
        return imaging.erase(place, found.capacity or 0, algorithm)
    if found.type not in ("file", "block"):
        raise Unsupported(f"volumes of type '{found.type}' cannot be wiped: this host has not their bytes")
    return Wipe(found.path, algorithm)


def users_of(world: World, record: PoolRecord, volume: Volume) -> list[Record]:
    """The running guests that have a volume open."""
    wanted = places_of(record, volume)
    return [
        guest
        for guest in world.guests
        if guest.running is not None and not wanted.isdisjoint(used_places(guest.running.guest.devices))
    ]


def refuse_used(world: World, record: PoolRecord, volume: Volume) -> None:
    """Raises WrongState for a volume that a running guest has open: under its feet nothing is changed."""
    for guest in users_of(world, record, volume):
        raise WrongState(f"volume '{volume.name}' is used by the running guest '{guest.name}'", state=record.state)


@asynccontextmanager
async def at_work(
    world: World, record: PoolRecord, volume: Volume, what: str, *, changes: bool = True
) -> AsyncIterator[None]:
    """Nobody else changes the volume meanwhile. Raises WrongState while somebody does, or has it open."""
    name = volume.name or ""
    if changes:
        refuse_used(world, record, volume)
    async with record.lock.hold(f"begin {what}"):
        record.need_running()
        record.need_free(name)
        record.busy[name] = what
    try:
        yield
    finally:
        record.busy.pop(name, None)


async def as_job(world: World, kind: str, work: Callable[[Job], Awaitable[T]]) -> T:
    """Run work as a job of no guest, to its end even when the caller has gone. Raises Cancelled when it is aborted."""
    result: list[T] = []

    async def inside() -> None:
        async with world.jobs.run(kind) as job:
            result.append(await work(job))

    task = asyncio.get_running_loop().create_task(inside(), name=kind)
    world.keep(task)
    await asyncio.wait({task})
    if task.cancelled():
        raise Cancelled(f"the job ({kind}) was aborted")
    task.result()
    return result[0]


def meter(job: Job) -> Callable[[int, int], None]:
    """A progress that the job shows."""

    def progress(done: int, total: int) -> None:
        job.processed, job.total = done, total

    return progress


async def recover(world: World, settle: Settle | None = None, *, later: bool = False) -> None:
    """Undo or finish what an earlier engine was at when it ended; `later`: what must wait until guests are known."""
    for stored in await world.store.load(KIND):
        try:
            work = msgspec.json.decode(stored.text, type=Work)
        except msgspec.MsgspecError as error:
            log.error(UNSETTLED, error)
            continue
        finish = partial(_finish, world, stored.key, work, settle or _settle)
        if (work.what in LATER) is later and not await finish():
            log.warning("unfinished work on %s waits for a guest that does not answer", work.path)
            world.spawn(_finish_later(finish), f"unfinished work on {work.path}")


async def _finish(world: World, key: str, work: Work, settle: Settle) -> bool:
    """Settle what was left; False where a guest that does not answer may have a part in it."""
    silent = work.what in LATER and any(guest.unreachable is not None for guest in world.guests)
    try:
        await scripts.run(world, tell(*(EndStrays(place) for place in (work.path, work.reserved) if "/" in place)))
        await (settle(world, work) if silent else _let_go(lambda: settle(world, work)))
    except FrontinusError as error:
        if silent or isinstance(error, Unresponsive):
            log.debug("unfinished work on %s still waits: %s", work.path, error)
            return False
        log.error(UNSETTLED, error)
        return True
    await world.store.delete(KIND, key)
    return True


async def _let_go(settle: Callable[[], Awaitable[None]]) -> None:
    """Settle as soon as the tool of the engine before has let go of the image: one that was killed may still be at its last write,
    and cannot be seen any more."""
    for second in range(DYING_SECONDS):
        try:
            return await settle()
        except StorageFailed as error:
            if LOCKED not in error.message:
                raise
            if second == 0:
                log.warning("unfinished work on a volume waits until its image is let go of: %s", error)
            await asyncio.sleep(1)
    return await settle()


async def _finish_later(finish: Callable[[], Awaitable[bool]]) -> None:
    while not await finish():  # noqa: ASYNC110  # what it waits for tells nobody
        await asyncio.sleep(RETRY)


async def _settle(world: World, work: Work) -> None:
    if work.what == "stage":
        log.warning("an upload was broken off: %s is removed, the volume is as it was", work.path)
        await scripts.run(world, ask(Remove(work.path)))
    elif work.what == "wipe":
        step: Step = Wipe(work.path, work.algorithm)
        if work.xml:
            record = world.pools.find(work.pool)
            step = await wiped(world, record, parse_volume(work.xml, record.pool), work.algorithm)
        log.warning("wiping %s was broken off: it is wiped again", work.path or "a volume of a server")
        await as_job(world, "wipe", lambda job: scripts.run(world, ask(step), meter(job)))
    elif work.what == "resize":
        await _repair(world, work)
    else:
        await _unmake(world, work)


async def _repair(world: World, work: Work) -> None:
    """The header of an image has its old size or its new one; what was reserved for it besides is given back."""
    record = world.pools.find(work.pool)
    volume = parse_volume(work.xml, record.pool, sized=False)
    log.warning("resizing volume '%s' of pool '%s' was broken off", volume.name, record.name)
    if imaging.driver(volume) in REPAIRED:
        below = await imagechain.below(world, volume.path)
        await scripts.run(world, tell(*imaging.seeing([imaging.repair(volume)], below)))


async def _unmake(world: World, work: Work) -> None:
    """Take back a volume that was not made to its end. One that had been is a volume, and is not touched."""
    record = world.pools.find(work.pool)
    pool: Pool = record.pool
    volume = parse_volume(work.xml, pool, sized=False)
    log.warning("making volume '%s' of pool '%s' was broken off: it is taken back", volume.name, record.name)
    await scripts.run(world, record.kind.unmake(pool, volume, work.reserved))
    if record.running is not None:
        record.found(await scripts.run(world, record.kind.refresh(record.running)))
