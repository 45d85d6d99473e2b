"""The content of volumes, in and out, through sockets.

An upload to a file works on a copy that takes the file's place at its end: broken off, the volume is as it was. A block
device has no such copy; there a broken upload leaves what had come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from frontinus.api.descriptor import Descriptor
from frontinus.api.errors import FrontinusError, InvalidValue, StorageFailed
from frontinus.api.events import VolumeEvent
from frontinus.engine.jobs import Job
from frontinus.engine.storage import pools, scripts
from frontinus.engine.storage.poolbook import PoolRecord
from frontinus.engine.storage.storagework import Work, as_job, journalled, meter, reached, refuse_used
from frontinus.engine.world import World
from frontinus.ports.storage import Form
from frontinus.storage.pools.files import temporary
from frontinus.storage.steps import Look, Remove, ask
from frontinus.storage.volume import Volume

log = logging.getLogger(__name__)

Moving = Callable[[Job], Awaitable[None]]
"""The work of a transfer."""
DONE = b"\0"


class Transfers:
    """The use cases that move content."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def upload_volume(self, pool: str, volume: str, offset: int = 0, length: int = 0,
                            sparse: bool = False) -> Descriptor:  # fmt: skip
        return await self._into(pool, volume, (offset, length), "sparse" if sparse else "plain")

    async def upload_pieces(self, pool: str, volume: str, offset: int = 0, length: int = 0) -> Descriptor:
        return await self._into(pool, volume, (offset, length), "pieces")

    async def _into(self, pool: str, volume: str, span: tuple[int, int], form: Form) -> Descriptor:
        record, found = self._find(pool, volume, *span)
        refuse_used(self.world, record, found)
        found = await reached(self.world, record, found, "be uploaded to")
        record.need_free(found.name or "")
        record.busy[found.name or ""] = "upload"
        ours, theirs = socket.socketpair()

        async def work(job: Job) -> None:
            await self._receive(record, found, ours, span, job, form)

        self.world.spawn(self._upload(record, found, ours, work), f"upload to {found.name}")
        return Descriptor(theirs.detach())

    async def download_volume(self, pool: str, volume: str, offset: int = 0, length: int = 0,
                              sparse: bool = False) -> Descriptor:  # fmt: skip
        return await self._out_of(pool, volume, (offset, length), "plain")

    async def download_pieces(self, pool: str, volume: str, offset: int = 0, length: int = 0) -> Descriptor:
        return await self._out_of(pool, volume, (offset, length), "pieces")

    async def _out_of(self, pool: str, volume: str, span: tuple[int, int], form: Form) -> Descriptor:
        record, found = self._find(pool, volume, *span)
        found = await reached(self.world, record, found, "be downloaded")
        if await scripts.run(self.world, ask(Look(found.path))) is None:
            raise StorageFailed(f"{found.path}: No such file or directory", path=found.path)
        ours, theirs = socket.socketpair()

        async def work(job: Job) -> None:
            await self.world.storage.send(ours, found.path, *span, form=form, progress=meter(job))

        self.world.spawn(self._download(found, ours, work), f"download of {found.name}")
        return Descriptor(theirs.detach())

    def _find(self, pool: str, volume: str, offset: int, length: int) -> tuple[PoolRecord, Volume]:
        """The volume, if it has these bytes and nobody changes it."""
        record = self.world.pools.find(pool)
        found = record.volume(volume)
        size = found.physical if found.physical is not None else found.capacity or 0
        if not 0 <= offset <= size or length < 0:
            raise InvalidValue(
                f"volume '{found.name}' has {size} bytes, not {offset} and {length} more", field="offset"
            )
        record.need_free(found.name or "")
        return record, found

    async def _upload(
        self, record: PoolRecord, volume: Volume, ours: socket.socket, work: Callable[[Job], Awaitable[None]]
    ) -> None:
        """See an upload to its end, free the volume, and only then say that all is on disk."""
        try:
            done = await self._until_done(volume, ours.dup(), work, "upload")
        finally:
            record.busy.pop(volume.name or "", None)
        with ours, contextlib.suppress(ConnectionError):
            if done:
                ours.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(ours, DONE)

    async def _download(self, volume: Volume, ours: socket.socket, work: Moving) -> None:
        await self._until_done(volume, ours, work, "download")

    async def _until_done(
        self, volume: Volume, ours: socket.socket, work: Callable[[Job], Awaitable[None]], kind: str
    ) -> bool:
        """See a transfer to its end; whether it was a good one. Its reason, if not, is the job's."""
        with ours:
            try:
                await as_job(self.world, kind, work)
            except FrontinusError as error:
                log.info("the %s of volume '%s' ended early: %s", kind, volume.name, error)
                return False
        return True

    async def _receive(self, record: PoolRecord, volume: Volume, ours: socket.socket, span: tuple[int, int], job: Job,
                       form: Form) -> None:  # fmt: skip
        world, storage = self.world, self.world.storage
        if volume.type == "block":
            await storage.receive(
                ours, volume.path, *span, form="plain" if form == "sparse" else form, progress=meter(job)
            )
        else:
            staged = temporary(os.path.dirname(volume.path))  # noqa: PTH120
            async with journalled(world, Work(what="stage", pool=record.uuid, path=staged)):
                try:
                    await storage.stage(volume.path, staged, 0)
                    await storage.receive(ours, staged, *span, form=form, progress=meter(job))
                    refuse_used(world, record, volume)  # a guest that was started meanwhile has the one before open
                    await storage.replace(staged, volume.path)
                except BaseException:
                    await asyncio.shield(scripts.run(world, ask(Remove(staged))))
                    raise
        async with record.lock.hold("refresh"):
            if record.running is not None:
                await pools.refresh_one(world, record, volume.name or "")
        self.world.bus.publish(VolumeEvent(pool=record.uuid, volume=volume.name or "", kind="changed"))
