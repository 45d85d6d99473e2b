"""Another secret for an encrypted volume: the new passphrase is added and noted before the old one is erased.

Broken off, the next start erases the one that is not noted: the volume always opens, and by one passphrase in the end.
"""

from __future__ import annotations

from frontinus.api.errors import StorageFailed, Unsupported
from frontinus.api.events import VolumeEvent
from frontinus.engine import pools, scripts
from frontinus.engine.storagework import Work, as_job, at_work, journalled
from frontinus.engine.world import World
from frontinus.storage import imaging
from frontinus.storage.definition import format_volume, parse_volume
from frontinus.storage.imaging import Key
from frontinus.storage.pools.files import note_of
from frontinus.storage.steps import Found, Inspect, Note, Script, ask
from frontinus.storage.volume import Volume

NEW = "new_key"
GONE = "No keyslots match"
"""What QEMU says where a passphrase that is to be erased is not there."""


class Rekeying:
    """The use case."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def set_volume_secret(self, pool: str, volume: str, secret: str) -> None:
        record = self.world.pools.find(pool)
        found = record.volume(volume)
        if not imaging.is_luks(found.encryption) or found.type != "file":
            raise Unsupported(f"volume '{found.name}' is no file that is encrypted by LUKS")
        new = self.world.secrets.find(secret)
        self.world.secrets.reveal(new)
        if note_of(found.encryption) == f"uuid:{new.uuid}":
            return
        work = Work(what="rekey", pool=record.uuid, xml=format_volume(found), path=found.path, secret=new.uuid)
        async with at_work(self.world, record, found, "a change of its secret"), journalled(self.world, work):
            await as_job(self.world, "rekey", lambda job: scripts.run(self.world, _rekey(found, new.uuid)))
        async with record.lock.hold("refresh"):
            await pools.refresh_one(self.world, record, found.name or "")
        self.world.bus.publish(VolumeEvent(pool=record.uuid, volume=found.name or "", kind="changed"))


def _rekey(volume: Volume, secret: str) -> Script[None]:
    old, new = _keys(volume, secret)
    yield imaging.add_key(volume, new, opened_by=old)
    try:
        yield Note(volume.path, f"uuid:{secret}")
    except BaseException:
        yield imaging.erase_key(volume, new, opened_by=old)
        raise
    yield imaging.erase_key(volume, old, opened_by=new)


def _keys(volume: Volume, secret: str) -> tuple[Key, Key]:
    old = imaging.key_of(volume)
    assert old is not None
    return old, Key(NEW, secret, None)


async def settle(world: World, work: Work) -> None:
    """Erase the passphrase that the volume's note does not name. It may be gone already, or may never have been there."""
    record = world.pools.find(work.pool)
    volume = parse_volume(work.xml, record.pool, sized=False)
    old, new = _keys(volume, work.secret)
    found: Found = await scripts.run(world, ask(Inspect(work.path)))
    kept, dropped = (new, old) if found.secret == f"uuid:{work.secret}" else (old, new)
    try:
        await scripts.run(world, ask(imaging.erase_key(volume, dropped, opened_by=kept)))
    except StorageFailed as error:
        if GONE not in error.message:
            raise
