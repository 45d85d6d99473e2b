"""Files that are to be gone at the next start: what a job is making until it has, and what is being removed.

They stand in the guest's book before they are made, or removed, so that neither a kill nor a loss of power leaves them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

from frontinus.api.errors import StorageFailed
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import paths
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot.books import Books
from frontinus.engine.world import World

log = logging.getLogger(__name__)


async def doom(world: World, record: Record, files: Collection[str]) -> None:
    """Write down, durably, that these are to go."""
    if not set(files) <= record.books.doomed:
        record.books.doomed |= set(files)
        await record.books.save_snapshots(world.store, record.uuid)


async def refuse_present(world: World, files: Collection[str]) -> None:
    """Raises StorageFailed for the first file that is to be made and is there."""
    for path in await world.images.present(list(files)):
        raise StorageFailed(f"{path} is there already: say that it is to be reused, or remove it", path=path)


async def spare(world: World, record: Record, files: Collection[str]) -> None:
    """They are whole, and stay; or they are gone."""
    if not record.books.doomed.isdisjoint(files):
        record.books.doomed -= set(files)
        await record.books.save_snapshots(world.store, record.uuid)


async def remove(world: World, record: Record, files: Collection[str]) -> None:
    """Remove files durably, to the end even when the engine dies meanwhile."""
    if not files:
        return
    await doom(world, record, files)
    await world.images.remove(sorted(files))
    await spare(world, record, files)


async def ended(world: World, record: Record, running: Running) -> None:
    """The guest has ended with its jobs: a copy that was in step is whole, and is its owner's; others are of no use."""
    await spare(world, record, [path for work in running.works if work.ready for path in work.made])
    await remove(world, record, sorted(record.books.doomed))


async def recover(world: World) -> None:
    """Remove what earlier engines did not come to remove, and what jobs were making that are no more."""
    left = {record.uuid: (record.books, record) for record in world.guests}
    for uuid, (books, record) in (left | {uuid: (books, None) for uuid, books in world.books.items()}).items():
        gone = books.doomed - (_at_work(record.running) if record is not None and record.running is not None else set())
        if not gone or (record is not None and record.unreachable is not None):
            continue
        log.warning("guest %s: %s are removed: what made or removed them was cut off", uuid, ", ".join(sorted(gone)))
        await world.images.remove(sorted(gone - set(_used(books, record))))
        books.doomed -= gone
        await books.save_snapshots(world.store, uuid)


def _at_work(running: Running) -> set[str]:
    """What the jobs of a running guest are making."""
    backup = running.backup.made if running.backup is not None else []
    return {*backup, *(path for work in running.works for path in work.made)}


def _used(books: Books, record: Record | None) -> Iterator[str]:
    """The images of a guest and of its snapshots: whatever a book says, these stay."""
    halves: list[Guest | None] = [record.definition] if record is not None else []
    halves += [record.running.guest] if record is not None and record.running is not None else []
    for snapshot in books.snapshots:
        halves += [snapshot.guest, snapshot.inactive]
    for half in halves:
        for disk in half.devices.disks if half is not None else ():
            yield from paths(disk)
