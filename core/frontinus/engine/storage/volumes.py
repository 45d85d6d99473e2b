"""Volumes: made under another name and then given theirs, so that a name always stands for a whole image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from frontinus.api.errors import AlreadyExists, InvalidValue, NoSuchVolume, StorageFailed, Unsupported
from frontinus.api.events import VolumeEvent
from frontinus.api.storage import ResizeFlag, VolumeFlag, VolumeView, WipeAlgorithm
from frontinus.engine import apart
from frontinus.engine.jobs import Job
from frontinus.engine.storage import imagechain, pools, scripts
from frontinus.engine.storage.poolbook import PoolRecord
from frontinus.engine.storage.storagework import Work, as_job, at_work, journalled, making, meter, reached, wiped
from frontinus.engine.world import World
from frontinus.storage import imaging, wiping
from frontinus.storage.definition import format_volume, parse_volume
from frontinus.storage.pool import Pool
from frontinus.storage.pools import kind_of
from frontinus.storage.pools.base import MAX_SIZE
from frontinus.storage.pools.files import is_folder
from frontinus.storage.steps import (
    Allocate,
    Declare,
    Found,
    Inspect,
    MakeFolder,
    Reflink,
    Script,
    Step,
    Wipe,
    ask,
    tell,
)
from frontinus.storage.volume import Volume


class Volumes:
    """The use cases on volumes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.book = world.pools

    async def volumes(self, pool: str) -> list[VolumeView]:
        record = self.book.find(pool)
        record.need_running()
        return [record.volume_view(volume) for _, volume in sorted(record.volumes.items())]

    async def volume(self, pool: str, volume: str) -> VolumeView:
        record = self.book.find(pool)
        return record.volume_view(record.volume(volume))

    async def volume_by_path(self, path: str) -> VolumeView:
        return self._search(lambda volume: volume.path == path, path)

    async def volume_by_key(self, key: str) -> VolumeView:
        return self._search(lambda volume: volume.key == key, key)

    def _search(self, fits: Callable[[Volume], bool], what: str) -> VolumeView:
        for record in self.book:
            found = next((one for one in record.volumes.values() if fits(one)), None)
            if found is not None:
                return record.volume_view(found)
        raise NoSuchVolume(f"no active pool has a volume '{what[:200]}'", volume=what[:200])

    async def volume_xml(self, pool: str, volume: str) -> str:
        return format_volume(self.book.find(pool).volume(volume), active=True)

    async def create_volume(self, pool: str, xml: str, flags: Sequence[VolumeFlag] = ()) -> VolumeView:
        record = self.book.find(pool)
        running = record.need_running()
        volume = await apart.reading(xml, lambda: parse_volume(xml, running, validate="validate" in flags))
        preallocate = _preallocation(flags)

        def content(path: str) -> list[Step]:
            return _empty(running, volume, path, preallocate)

        steps = content("/")  # what cannot be made is refused before anything is begun
        below = await self._below(volume.backing.path if volume.backing and steps else None)
        return await as_job(
            self.world,
            "create",
            lambda job: self._make(record, volume, lambda path: imaging.seeing(content(path), below), job),
        )

    async def clone_volume(self, pool: str, xml: str, source_pool: str, source: str,
                           flags: Sequence[VolumeFlag] = ()) -> VolumeView:  # fmt: skip
        record, other = self.book.find(pool), self.book.find(source_pool)
        running = record.need_running()
        origin = other.volume(source)
        volume = await apart.reading(xml, lambda: parse_volume(xml, running, validate="validate" in flags, sized=False))
        volume.capacity = max(volume.capacity or 0, origin.capacity or 0)
        listed, origin = origin, await self._trusted(other, origin)
        place = other.kind.remote(other.pool, origin.name or "", "from") if origin.type == "network" else None

        preallocate = _preallocation(flags)

        def content(path: str) -> list[Step]:
            if "reflink" in flags:
                return _shared(volume, path, origin)
            if record.kind.volume_type == "network" and not record.kind.holds_files:
                return imaging.seeing(_pushed(record, volume, path, origin, place, preallocate), below)
            if place is not None:
                return [*imaging.fetch(volume, path, origin, place, preallocate=preallocate)]
            return imaging.seeing(imaging.convert(volume, path, origin, origin.path, preallocate=preallocate), below)

        below = await imagechain.below(self.world, origin.path) if place is None else ()
        content("/")
        async with at_work(self.world, other, listed, "cloning", changes=False):
            return await as_job(self.world, "clone", lambda job: self._make(record, volume, content, job))

    async def _below(self, backing: str | None) -> tuple[str, ...]:
        """What lies below the image that a new one is to lie on: that one was chosen, whatever it is."""
        return await imagechain.below(self.world, backing) if backing else ()

    async def _trusted(self, record: PoolRecord, volume: Volume) -> Volume:
        """The volume as it may be opened: looked at once more, since a guest may have written to it meanwhile."""
        volume = await reached(self.world, record, volume)
        if volume.type == "network":
            return volume
        if volume.type not in ("file", "block"):
            raise Unsupported(f"volumes of type '{volume.type}' cannot be read")
        found: Found = await scripts.run(self.world, ask(Inspect(volume.path)))
        refusal = found.header.refusal(found.declared) if volume.type == "file" else None
        if refusal is not None:
            raise StorageFailed(f"volume '{volume.name}' is not opened: {refusal}", path=volume.path)
        if volume.type == "block" and volume.format != "raw":
            volume = volume.clone()
            volume.place.format = "raw"
        return volume

    async def _make(
        self, record: PoolRecord, volume: Volume, content: Callable[[str], list[Step]], job: Job
    ) -> VolumeView:
        """Reserve, note, make, fill, give it its name. Whatever fails, nothing is left."""
        world, running, kind = self.world, record.need_running(), record.kind
        async with record.lock.hold("make a volume"):
            if volume.name in record.volumes or volume.name in record.busy:
                raise AlreadyExists(
                    f"pool '{record.name}' has a volume '{volume.name}' already", volume=volume.name or ""
                )
            reserved = await scripts.run(world, kind.reserve(running, volume))
            record.busy[volume.name or ""] = job.kind
        try:
            async with journalled(world, making(record, volume, reserved)):
                await scripts.run(world, self._filled(record, volume, reserved, content), meter(job))
        finally:
            record.busy.pop(volume.name or "", None)
        await self._look_again(record, volume)
        self._tell(record, volume, "created")
        return record.volume_view(record.volume(volume.name or ""))

    def _filled(
        self, record: PoolRecord, volume: Volume, reserved: str, content: Callable[[str], list[Step]]
    ) -> Script[None]:
        running, kind = record.need_running(), record.kind
        try:
            path = yield from kind.make(running, volume, reserved)
            yield from tell(*content(path))
            yield from kind.settle(running, volume, reserved)
        except BaseException:
            yield from kind.unmake(running, volume, reserved)
            raise

    async def resize_volume(self, pool: str, volume: str, capacity: int, flags: Sequence[ResizeFlag] = ()) -> None:
        record = self.book.find(pool)
        found = record.volume(volume)
        before = found.capacity or 0
        size = before + capacity if "delta" in flags and "shrink" not in flags else capacity
        size = before - capacity if "delta" in flags and "shrink" in flags else size
        if not 0 < size <= MAX_SIZE:
            raise InvalidValue(f"{size} bytes are no capacity", field="capacity")
        if size < before and "shrink" not in flags:
            raise InvalidValue(
                f"volume '{found.name}' has {before} bytes: to make it smaller, say shrink", field="capacity"
            )
        async with at_work(self.world, record, found, "resizing"):
            await as_job(self.world, "resize", lambda job: self._resize(record, found, size, flags, job))
        self._tell(record, found, "changed")

    async def _resize(
        self, record: PoolRecord, volume: Volume, size: int, flags: Sequence[ResizeFlag], job: Job
    ) -> None:
        running = record.need_running()
        if record.kind.holds_files:
            trusted = await self._trusted(record, volume)
            step = imaging.resize(trusted, size, preallocate="allocate" in flags, shrink="shrink" in flags)
            below = await imagechain.below(self.world, trusted.path)
            work = Work(what="resize", pool=record.uuid, xml=format_volume(trusted), path=trusted.path)
            async with journalled(self.world, work):
                await scripts.run(self.world, tell(*imaging.seeing([step], below)), meter(job))
        else:
            await scripts.run(self.world, record.kind.grow(running, volume, size), meter(job))
        await self._look_again(record, volume)

    async def wipe_volume(self, pool: str, volume: str, algorithm: WipeAlgorithm = "zero") -> None:
        record = self.book.find(pool)
        found = record.volume(volume)
        wiping.passes(algorithm)
        step = await wiped(self.world, record, found, algorithm)
        path, xml = (step.path, "") if isinstance(step, Wipe) else ("", format_volume(found))
        work = Work(what="wipe", pool=record.uuid, path=path, xml=xml, algorithm=algorithm)
        async with at_work(self.world, record, found, "wiping"), journalled(self.world, work):
            await as_job(self.world, "wipe", lambda job: scripts.run(self.world, ask(step), meter(job)))
        await self._look_again(record, found)
        self._tell(record, found, "changed")

    async def delete_volume(self, pool: str, volume: str) -> None:
        record = self.book.find(pool)
        found = record.volume(volume)
        async with at_work(self.world, record, found, "deleting"):
            await scripts.run(self.world, record.kind.remove(record.need_running(), found))
        await self._look_again(record, found)
        self._tell(record, found, "deleted")

    async def _look_again(self, record: PoolRecord, volume: Volume) -> None:
        """See the pool as it is after a change of one volume."""
        async with record.lock.hold("refresh"):
            if record.running is not None:
                await pools.refresh_one(self.world, record, volume.name or "")

    def _tell(self, record: PoolRecord, volume: Volume, kind: str) -> None:
        self.world.bus.publish(VolumeEvent(pool=record.uuid, volume=volume.name or "", kind=kind))  # type: ignore[arg-type]


def _preallocation(flags: Sequence[VolumeFlag]) -> imaging.Preallocation:
    """What of a new volume gets its place at once. Raises InvalidValue."""
    kinds: Mapping[str, imaging.Preallocation] = {
        "prealloc-metadata": "metadata", "prealloc-falloc": "falloc", "prealloc-full": "full"
    }  # fmt: skip
    chosen = [kinds[flag] for flag in flags if flag in kinds]
    if len(chosen) > 1 or (chosen and "reflink" in flags):
        raise InvalidValue("of the ways to preallocate, and reflink, one can be chosen", field="flags")
    return chosen[0] if chosen else "none"


def _pushed(record: PoolRecord, volume: Volume, name: str, origin: Volume, place: imaging.Remote | None,
            preallocate: imaging.Preallocation) -> list[Step]:  # fmt: skip
    """A clone that a server will have. Raises Unsupported."""
    if preallocate != "none":
        raise Unsupported(f"volume '{volume.name}': what a server has is not preallocated from here")
    return [*imaging.push(record.kind.remote(record.need_running(), name, "into"), origin, place)]


def _shared(volume: Volume, path: str, origin: Volume) -> list[Step]:
    """A clone that shares its original's blocks, larger if wanted. Raises Unsupported."""
    reasons = imaging.same_bytes(volume, origin)
    if origin.type != "file" or volume.type != "file" or reasons:
        why = "; ".join(reasons) or "both must be files"
        raise Unsupported(f"volume '{origin.name}' cannot be shared with the new one: {why}")
    grown = volume.capacity != origin.capacity
    return [Reflink(origin.path, path), *([imaging.resize(volume, volume.capacity or 0, path=path)] if grown else [])]


def _empty(pool: Pool, volume: Volume, path: str, preallocate: imaging.Preallocation) -> list[Step]:
    """What fills a new volume with nothing. Raises Unsupported, InvalidXML."""
    if is_folder(volume):
        return [MakeFolder(path, new=True)]
    if not kind_of(pool.type).holds_files:
        return [imaging.create(volume, path)] if volume.encryption is not None else []
    plain = volume.backing is None or not volume.backing.path
    if imaging.driver(volume) == "raw" and preallocate == "none" and plain:
        return [Allocate(path, volume.capacity or 0, min(volume.allocation or 0, volume.capacity or 0))]
    named = [Declare(volume.backing.path or "", volume.backing.format or "")] if not plain and volume.backing else []
    return [imaging.create(volume, path, preallocate=preallocate), *named]
