"""Storage pools: definitions as documents, what a kind does as scripts, what runs written down before it is begun."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from frontinus.api.errors import FrontinusError, Unsupported
from frontinus.api.events import PoolEvent, PoolKind
from frontinus.api.storage import BuildFlag, PoolView
from frontinus.engine import apart
from frontinus.engine.autostart import mark
from frontinus.engine.loading import loading
from frontinus.engine.storage import scripts, storagework
from frontinus.engine.storage.poolbook import PoolRecord
from frontinus.engine.world import World
from frontinus.storage.capabilities import describe
from frontinus.storage.definition import format_pool, parse_pool, parse_source_spec
from frontinus.storage.pool import Pool
from frontinus.storage.pools import KINDS, kind_of
from frontinus.storage.pools.base import Listing, SourceSpec
from frontinus.storage.sources import format_sources
from frontinus.storage.steps import Need, ask

log = logging.getLogger(__name__)

KIND, RUN, AUTOSTART = "pools", "pools-running", "pools-autostart"


class Pools:
    """The use cases on pools."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.book = world.pools

    async def pools(self, active: bool | None = None) -> list[PoolView]:
        return [record.view() for record in self.book if active in (None, record.running is not None)]

    async def pool(self, pool: str) -> PoolView:
        return self.book.find(pool).view()

    async def pool_xml(self, pool: str, inactive: bool = False) -> str:
        record = self.book.find(pool)
        if record.running is None or (inactive and record.definition is not None):
            return format_pool(record.definition or record.pool)
        shown, listing = record.running.clone(), record.listing
        shown.capacity, shown.allocation, shown.available = listing.capacity, listing.allocation, listing.available
        return format_pool(shown, active=not inactive)

    async def define_pool(self, xml: str, validate: bool = False) -> PoolView:
        wanted = await apart.reading(xml, lambda: parse_pool(xml, validate=validate))
        async with self.book.lock:
            record = self.book.claim(wanted) or _record(wanted)
            async with record.lock.hold("define"):
                await self.world.store.save(KIND, record.uuid, format_pool(wanted))
                record.definition = wanted
                self.book.add(record)
        tell(self.world, record, "defined")
        return record.view()

    async def undefine_pool(self, pool: str) -> None:
        record = self.book.find(pool)
        async with record.lock.hold("undefine"):
            record.need_inactive()
            await self.world.store.delete(AUTOSTART, record.uuid)
            await self.world.store.delete(KIND, record.uuid)
            self.book.remove(record)
        tell(self.world, record, "undefined", gone=True)

    async def create_pool(self, xml: str, build: Sequence[BuildFlag] | None = None) -> PoolView:
        wanted = await apart.reading(xml, lambda: parse_pool(xml))
        async with self.book.lock:
            known = self.book.claim(wanted)
            if known is not None:
                known.need_inactive()
            record = known or _record(wanted)
            async with record.lock.hold("create"):
                await start(self.world, record, wanted, build)
                self.book.add(record)
                know(self.world)
        tell(self.world, record, "started")
        return record.view()

    async def build_pool(self, pool: str, flags: Sequence[BuildFlag] = ()) -> None:
        record = self.book.find(pool)
        async with record.lock.hold("build"):
            definition = record.need_inactive()
            await build_pool(self.world, record, definition, flags)
        tell(self.world, record, "created")

    async def start_pool(self, pool: str, build: Sequence[BuildFlag] | None = None) -> PoolView:
        record = self.book.find(pool)
        async with record.lock.hold("start"):
            await start(self.world, record, record.need_inactive(), build)
        tell(self.world, record, "started")
        return record.view()

    async def refresh_pool(self, pool: str) -> PoolView:
        record = self.book.find(pool)
        async with record.lock.hold("refresh"):
            running = record.need_running()
            record.need_idle()
            try:
                await refresh(self.world, record, running)
            except FrontinusError:
                await self._lost(record)
                raise
        tell(self.world, record, "refreshed")
        return record.view()

    async def _lost(self, record: PoolRecord) -> None:
        """A pool that cannot be looked at any more is not active."""
        await self._ended(record)
        tell(self.world, record, "stopped", gone=record.definition is None)

    async def destroy_pool(self, pool: str) -> None:
        record = self.book.find(pool)
        async with record.lock.hold("destroy"):
            running = record.need_running()
            record.need_idle()
            await scripts.run(self.world, kind_of(running.type).stop(running))
            await self._ended(record)
        tell(self.world, record, "stopped", gone=record.definition is None)

    async def _ended(self, record: PoolRecord) -> None:
        await self.world.store.delete(RUN, record.uuid)
        record.running = None
        record.found(Listing())
        if record.definition is None:
            self.book.remove(record)
        know(self.world)

    async def delete_pool(self, pool: str) -> None:
        record = self.book.find(pool)
        async with record.lock.hold("delete"):
            definition = record.need_inactive()
            await scripts.run(self.world, kind_of(definition.type).delete(definition))
        tell(self.world, record, "deleted")

    async def set_pool_autostart(self, pool: str, on: bool) -> None:
        record = self.book.find(pool)
        await mark(self.world.store, AUTOSTART, record, on)
        tell(self.world, record, "changed")

    async def find_pool_sources(self, kind: str, xml: str | None = None) -> str:
        spec = parse_source_spec(xml) if xml else SourceSpec()
        return format_sources(await scripts.run(self.world, kind_of(kind).find_sources(spec)))

    async def pool_capabilities(self) -> str:
        usable: dict[str, bool] = {}
        for name, kind in KINDS.items():
            try:
                await scripts.run(self.world, ask(Need(kind.programs)))
                usable[name] = kind.supported
            except FrontinusError:
                usable[name] = False
        return describe(usable)


def _record(pool: Pool) -> PoolRecord:
    assert pool.uuid is not None and pool.name is not None
    return PoolRecord(pool.uuid, pool.name)


async def build_pool(world: World, record: PoolRecord, definition: Pool, flags: Sequence[BuildFlag]) -> None:
    record.building = True
    try:
        await scripts.run(world, kind_of(definition.type).build(definition, flags))
    finally:
        record.building = False


async def start(world: World, record: PoolRecord, definition: Pool, build: Sequence[BuildFlag] | None = None) -> None:
    """Make a pool reachable and look at it. On failure it is as inactive as before."""
    kind = kind_of(definition.type)
    running = definition.clone()
    if build is not None:
        await build_pool(world, record, definition, build)
    await world.store.save(RUN, record.uuid, format_pool(running))
    try:
        await scripts.run(world, kind.start(running))
        record.running = running
        await refresh(world, record, running)
    except BaseException:
        record.running = None
        await _let_go(world, running)
        await world.store.delete(RUN, record.uuid)
        raise


async def _let_go(world: World, pool: Pool) -> None:
    """Stop what may have been begun; it may also not have been."""
    try:
        await scripts.run(world, kind_of(pool.type).stop(pool))
    except FrontinusError as error:
        log.debug("pool %s: %s", pool.name, error)


async def refresh(world: World, record: PoolRecord, running: Pool) -> None:
    record.found(await scripts.run(world, kind_of(running.type).refresh_again(running, record.listing)))
    know(world)


async def refresh_one(world: World, record: PoolRecord, name: str) -> None:
    """See what became of one volume: where a kind can, without looking at all the others. Tells what the pool holds since."""
    running, before = record.need_running(), record.view()
    record.found(await scripts.run(world, kind_of(running.type).refresh_one(running, record.listing, name)))
    know(world)
    if record.view() != before:
        tell(world, record, "changed")


def know(world: World) -> None:
    """Let the plans of guests know the pools as they are now."""
    world.host = replace(world.host, pools=world.pools.facts())


def tell(world: World, record: PoolRecord, kind: PoolKind, *, gone: bool = False) -> None:
    view = None if gone else record.view()
    world.bus.publish(PoolEvent(uuid=record.uuid, name=record.name, kind=kind, pool=view))


async def load_pools(world: World) -> None:
    """Find the pools of an earlier engine: what it defined, and what it had running and still is. Finish its work."""
    marked = {stored.key for stored in await world.store.load(AUTOSTART)}
    for stored in await world.store.load(KIND):
        pool = await _parsed(world, KIND, stored.key, stored.text)
        if pool is not None:
            world.pools.add(PoolRecord(stored.key, pool.name or "", definition=pool, autostart=stored.key in marked))
    for stored in await world.store.load(RUN):
        pool = await _parsed(world, RUN, stored.key, stored.text)
        if pool is not None:
            await _adopt(world, stored.key, pool)
    await storagework.recover(world)


async def _parsed(world: World, kind: str, key: str, text: str) -> Pool | None:
    async with loading(world.store, kind, key, f"pool {key}"):
        pool = parse_pool(text)
        if pool.uuid != key:
            raise ValueError(f"holds the pool {pool.uuid}")
        return pool
    return None


async def _adopt(world: World, uuid: str, pool: Pool) -> None:
    """A pool that ran: if it is still reachable it runs on, else it is inactive now."""
    known = next((record for record in world.pools if record.uuid == uuid), None)
    record = known or PoolRecord(uuid, pool.name or "")
    try:
        if not await scripts.run(world, kind_of(pool.type).is_active(pool)):
            raise Unsupported("it is not reachable any more")
        record.running = pool
        await refresh(world, record, pool)
        world.pools.add(record)
        know(world)
    except FrontinusError as error:
        log.warning("pool %s does not run any more: %s", pool.name, error)
        record.running = None
        await world.store.delete(RUN, uuid)


async def autostart(world: World) -> None:
    """Start what is marked for it; a failure is logged and hinders nobody."""
    for record in [one for one in world.pools if one.autostart and one.running is None]:
        try:
            async with record.lock.hold("autostart"):
                if record.running is None:
                    await start(world, record, record.need_definition())
            tell(world, record, "started")
        except FrontinusError as error:
            log.error("pool %s does not start: %s", record.name, error)
