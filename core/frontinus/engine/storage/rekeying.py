"""Another secret for an encrypted volume: the new passphrase is added and noted before the old one is erased.

While a guest has the volume open, its QEMU does it. Broken off, the next start erases the one that is not noted: the volume
always opens, and by one passphrase in the end.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from frontinus.api.errors import HypervisorFailed, StorageFailed, Unresponsive, Unsupported, WrongState
from frontinus.api.events import VolumeEvent
from frontinus.domain.devices.block.credentials import Encryption
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.usedplaces import used_places
from frontinus.engine.block import blockends
from frontinus.engine.block.blockjobs import free_disk
from frontinus.engine.record import Record
from frontinus.engine.secret.secretnames import carry
from frontinus.engine.storage import imagechain, pools, scripts, storagework
from frontinus.engine.storage.poolbook import PoolRecord
from frontinus.engine.storage.storagework import Work, as_job, at_work, journalled, places_of, users_of
from frontinus.engine.world import World
from frontinus.ports.blocks import KeyChange
from frontinus.storage import imaging
from frontinus.storage.definition import format_volume, parse_volume
from frontinus.storage.imaging import Key, note_of
from frontinus.storage.steps import Found, Image, Inspect, Note, ask, tell
from frontinus.storage.volume import Volume

T = TypeVar("T")
NEW = "new_key"
JOB = "rekey"
PATIENCE = 12
"""Times that the hypervisor may be late with an answer: it says nothing while it derives a key."""
GONE = "No keyslots match"
"""What QEMU says where a passphrase that is to be erased is not there."""


@dataclass(frozen=True)
class Slots:
    """The passphrases of one volume, changed by whoever may: a tool, or the QEMU that has it open."""

    add: Callable[[Key, Key], Awaitable[None]]
    """A new one, of a volume that an old one opens."""
    erase: Callable[[Key, Key], Awaitable[None]]
    """The first one, of a volume that the second opens."""
    settle: Callable[[Key], Awaitable[None]]
    """From now on this one opens it."""
    user: Record | None = None
    """The guest that has it open."""
    encryption: Encryption | None = None
    """How that guest opens it."""


class Rekeying:
    """The use case."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def set_volume_secret(self, pool: str, volume: str, secret: str) -> None:
        world, record = self.world, self.world.pools.find(pool)
        found = record.volume(volume)
        if not imaging.is_luks(found.encryption) or found.type != "file":
            raise Unsupported(f"volume '{found.name}' is no file that is encrypted by LUKS")
        new = world.secrets.find(secret)
        world.secrets.reveal(new)
        if note_of(found.encryption) == f"uuid:{new.uuid}":
            return
        async with (
            at_work(world, record, found, "a change of its secret", changes=False),
            _slots(world, record, found) as slots,
        ):
            known = _known(found, slots)
            work = Work(what="rekey", pool=record.uuid, xml=format_volume(known), path=found.path, secret=new.uuid)
            async with journalled(world, work):
                await as_job(world, "rekey", lambda job: _rekey(world, record, known, new.uuid, slots))
        async with record.lock.hold("refresh"):
            await pools.refresh_one(world, record, found.name or "")
        world.bus.publish(VolumeEvent(pool=record.uuid, volume=found.name or "", kind="changed"))


def _known(volume: Volume, slots: Slots) -> Volume:
    """The volume with the secret that opens it: the noted one, or what the guest that has it open was told."""
    known = volume.clone()
    if known.encryption is not None and not known.encryption.secrets and slots.encryption is not None:
        known.encryption.secrets = slots.encryption.clone().secrets
    return known


async def _rekey(world: World, record: PoolRecord, volume: Volume, secret: str, slots: Slots) -> None:
    old, new = _keys(volume, secret)
    if _is_same(world, old, new):  # there is nothing to add, and to erase it would leave none
        await scripts.run(world, ask(Note(volume.path, f"uuid:{secret}")))
        await carry(world, places_of(record, volume), old, secret, slots.user)
        return
    await slots.add(new, old)
    try:
        await scripts.run(world, ask(Note(volume.path, f"uuid:{secret}")))
    except BaseException:
        await slots.erase(new, old)
        raise
    await carry(world, places_of(record, volume), old, secret, slots.user)
    await slots.erase(old, new)
    await slots.settle(new)


def _keys(volume: Volume, secret: str) -> tuple[Key, Key]:
    old = imaging.key_of(volume)
    assert old is not None
    return old, Key(NEW, secret, None)


def _is_same(world: World, old: Key, new: Key) -> bool:
    """Whether two secrets, or two names of one, are the same passphrase."""
    return hmac.compare_digest(*(world.secrets.value("volume", key.uuid, key.usage) for key in (old, new)))


@asynccontextmanager
async def _slots(world: World, record: PoolRecord, volume: Volume) -> AsyncIterator[Slots]:
    """By the guest that has the volume open, which is held meanwhile; else by qemu-img."""
    users = users_of(world, record, volume)
    if not users:
        yield _closed(world, volume)
        return
    if len(users) > 1:
        names = ", ".join(user.name for user in users)
        raise WrongState(f"volume '{volume.name}' is used by several guests: {names}", state=record.state)
    async with users[0].lock.hold("change the secret of a disk"):
        yield _open(world, users[0], _disk(users[0], places_of(record, volume)))


def _closed(world: World, volume: Volume) -> Slots:
    async def amend(step: Image) -> None:
        below = await imagechain.below(world, volume.path)
        await scripts.run(world, tell(*imaging.seeing([step], below)))

    async def add(new: Key, old: Key) -> None:
        await amend(imaging.add_key(volume, new, opened_by=old))

    async def erase(old: Key, new: Key) -> None:
        await amend(imaging.erase_key(volume, old, opened_by=new))

    async def settle(new: Key) -> None:
        """The next to open it is told which one."""

    return Slots(add, erase, settle)


def _open(world: World, user: Record, disk: Disk) -> Slots:
    running = user.need_running()

    async def once(change: KeyChange) -> None:
        planner = blockends.planner(world, running)
        await running.process.attempt(planner.end_keys())  # of an engine that was killed
        try:
            await running.process.update(planner.change_key(JOB, disk, change), {})
            facts = await _patiently(lambda: blockends.until(running, JOB, blockends.ENDED))
            if facts is not None:
                await running.process.steer_job(JOB, "dismiss")
                blockends.raise_failed(facts)
        finally:
            await running.process.attempt(planner.end_keys())

    async def change(change: KeyChange) -> None:
        for _ in range(imaging.TRIES - 1):
            try:
                return await once(change)
            except HypervisorFailed as error:
                if imaging.UNMEASURED not in error.message:
                    raise
        return await once(change)

    async def settle(new: Key) -> None:
        planner = blockends.planner(world, running)
        await running.process.update(planner.open_by(disk, KeyChange("add", new.uuid, new.usage)), {})

    return Slots(
        lambda new, old: change(KeyChange("add", new.uuid, new.usage)),
        lambda old, new: change(KeyChange("erase", old.uuid, old.usage)),
        settle,
        user,
        disk.source.encryption or disk.encryption if disk.source is not None else None,
    )


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    for _ in range(PATIENCE):
        with suppress(Unresponsive):
            return await call()
    return await call()


def _disk(user: Record, places: set[tuple[str, ...]]) -> Disk:
    """The disk whose top layer the volume is. Raises WrongState where it lies lower, or a job is at work on the disk."""
    running = user.need_running()
    for disk in running.guest.devices.disks:
        source = disk.source
        if source is not None and not places.isdisjoint({(source.local_path,), (source.pool, source.volume)}):
            return free_disk(running, disk.target or "")
    below = [disk.target for disk in running.guest.devices.disks if not places.isdisjoint(used_places(disk))]
    where = f"below disk '{below[0]}'" if below else "for something that is no disk"
    raise WrongState(f"guest '{user.name}' uses the volume {where}: its secret stays while it does", state="running")


async def recover(world: World) -> None:
    """Finish or undo changes that an earlier engine was at. The guests that run are known."""
    await storagework.recover(world, _settle, later=True)


async def _settle(world: World, work: Work) -> None:
    """Erase the passphrase that the volume's note does not name. It may be gone already, or may never have been there."""
    record = world.pools.find(work.pool)
    volume = parse_volume(work.xml, record.pool, sized=False)
    old, new = _keys(volume, work.secret)
    if _is_same(world, old, new):
        return
    found: Found = await scripts.run(world, ask(Inspect(work.path)))
    kept, dropped = (new, old) if found.secret == f"uuid:{work.secret}" else (old, new)
    async with _slots(world, record, volume) as slots:
        if kept is new:
            await carry(world, places_of(record, volume), old, work.secret, slots.user)
        try:
            await slots.erase(dropped, kept)
        except (StorageFailed, HypervisorFailed) as error:
            if GONE not in error.message:
                raise
        await slots.settle(kept)
