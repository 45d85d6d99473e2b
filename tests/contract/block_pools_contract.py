"""What pools do alike whose volumes are block devices: those that make their volumes, and those whose volumes are just there."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contract.storage_contract import MIB, put, take, volume
from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AlreadyExists,
    Cancelled,
    FrontinusError,
    NoSuchVolume,
    StorageFailed,
    Unsupported,
    WrongState,
)
from frontinus.api.events import HostJobEvent
from support.waiting import closing

OTHER = "6695eb01-f6a4-8304-79aa-97f2502e193f"


@dataclass
class BlockRig:
    """A session with a pool `p` of block devices, running, and a pool `files` of type dir. `restart`: another engine on the
    same store. `listed`: names of the volumes as the kind's own tools tell. `expected`: of those that were there before."""

    session: Engine
    restart: Callable[[], Awaitable[Engine]]
    listed: Callable[[], Sequence[str]]
    expected: dict[str, int] = field(default_factory=dict)


class PoolOfDevices:
    """What both sorts do. Subclasses are collected by pytest, and define a fixture `rig`."""

    async def test_it_is_not_in_two_pools(self, rig: BlockRig) -> None:
        xml = (await rig.session.pool_xml("p", inactive=True)).replace("<name>p<", "<name>q<")
        with pytest.raises(AlreadyExists):
            await rig.session.define_pool(xml.replace((await rig.session.pool("p")).uuid, OTHER))

    async def test_another_engine_finds_it_running(self, rig: BlockRig) -> None:
        before = await rig.session.volumes("p")
        session = await rig.restart()
        assert (await session.pool("p")).state == "running"
        assert await session.volumes("p") == before

    async def test_it_stops_and_starts(self, rig: BlockRig) -> None:
        before = await rig.session.volumes("p")
        with pytest.raises(WrongState):
            await rig.session.start_pool("p")
        await rig.session.destroy_pool("p")
        session = await rig.restart()
        assert (await session.pool("p")).state == "inactive"
        await session.start_pool("p")
        assert await session.volumes("p") == before


class MadeDevices(PoolOfDevices):
    """Pools that make volumes: logical, disk. The pool is empty, and has room for 40 MiB."""

    async def test_a_volume_is_made_found_and_deleted(self, rig: BlockRig) -> None:
        made = await rig.session.create_volume("p", blank("a", 8 * MIB))
        assert (made.kind, made.capacity, made.allocation) == ("block", 8 * MIB, 8 * MIB)
        assert is_device(made.path) and list(rig.listed()) == [made.name]
        for found in (await rig.session.volume("p", made.name), await rig.session.volume_by_path(made.path),
                      await rig.session.volume_by_key(made.key)):  # fmt: skip
            assert found == made
        pool = await rig.session.pool("p")
        assert pool.allocation >= 8 * MIB and pool.capacity == pool.allocation + pool.available
        await rig.session.delete_volume("p", made.name)
        assert not Path(made.path).exists() and list(rig.listed()) == []
        with pytest.raises(NoSuchVolume):
            await rig.session.volume("p", made.name)
        assert (await rig.session.pool("p")).allocation < pool.allocation

    async def test_content_goes_in_and_comes_out(self, rig: BlockRig) -> None:
        name = (await rig.session.create_volume("p", blank("a", 4 * MIB))).name
        data = bytes(range(256)) * 200
        assert await put(await rig.session.upload_volume("p", name, 4096), data) == b"\0"
        assert await take(await rig.session.download_volume("p", name, 4096, len(data))) == data
        assert (
            await put(await rig.session.upload_volume("p", name), bytes(4 * MIB + 1)) == b""
        )  # more than there is room for
        await rig.session.wipe_volume("p", name)
        assert await take(await rig.session.download_volume("p", name)) == bytes(4 * MIB)

    async def test_a_clone_has_the_content(self, rig: BlockRig) -> None:
        await rig.session.create_volume("files", volume("image.qcow2", "raw", 4 * MIB))
        data = os.urandom(MIB)
        await put(await rig.session.upload_volume("files", "image.qcow2"), data)
        made = await rig.session.clone_volume("p", blank("a", 4 * MIB), "files", "image.qcow2")
        assert await take(await rig.session.download_volume("p", made.name, 0, MIB)) == data
        back = await rig.session.clone_volume("files", volume("back", "qcow2", 4 * MIB), "p", made.name)
        assert (back.format, back.capacity) == ("qcow2", 4 * MIB)

    async def test_what_cannot_be_made_leaves_nothing(self, rig: BlockRig) -> None:
        with pytest.raises(StorageFailed):
            await rig.session.create_volume("p", blank("a", 500 * MIB))
        with pytest.raises(FrontinusError):
            await rig.session.create_volume("p", blank("../a", MIB))
        assert list(rig.listed()) == [] and await rig.session.volumes("p") == []

    async def test_an_aborted_clone_leaves_nothing(self, rig: BlockRig) -> None:
        await rig.session.create_volume("files", volume("big", "raw", 40 * MIB))
        await put(await rig.session.upload_volume("files", "big"), os.urandom(16 * MIB))
        while not await aborted(rig):  # it came to its end before
            (made,) = await rig.session.volumes("p")
            await rig.session.delete_volume("p", made.name)
        assert list(rig.listed()) == [] and await rig.session.volumes("p") == []


async def aborted(rig: BlockRig) -> bool:
    """Begin to clone, and abort that; whether it was under way then."""
    async with closing(rig.session.watch()) as news:
        await anext(news)
        cloning = asyncio.create_task(rig.session.clone_volume("p", blank("a", 40 * MIB), "files", "big"))
        started = await asyncio.wait_for(anext(news), 60)
    assert isinstance(started, HostJobEvent)
    with suppress(FrontinusError):  # it has ended
        await rig.session.abort_job(started.job)
    try:
        await cloning
    except Cancelled:
        return True
    return False


class FoundDevices(PoolOfDevices):
    """Pools whose volumes are there already: iscsi, scsi, mpath."""

    async def test_every_unit_is_a_volume(self, rig: BlockRig) -> None:
        found = await rig.session.volumes("p")
        assert {one.name: one.capacity for one in found} == rig.expected
        assert all(is_device(one.path) and one.kind == "block" for one in found)
        assert len({one.key for one in found}) == len(found)
        pool = await rig.session.pool("p")
        assert (pool.capacity, pool.available) == (sum(rig.expected.values()), 0)
        for one in found:
            assert (await rig.session.volume_by_path(one.path)).name == one.name

    async def test_content_goes_in_and_comes_out(self, rig: BlockRig) -> None:
        first = (await rig.session.volumes("p"))[0]
        data = os.urandom(MIB)
        assert await put(await rig.session.upload_volume("p", first.name, 4096), data) == b"\0"
        assert await take(await rig.session.download_volume("p", first.name, 4096, MIB)) == data
        back = await rig.session.clone_volume("files", volume("back", "qcow2"), "p", first.name)
        assert back.capacity == first.capacity

    async def test_none_is_made_or_deleted(self, rig: BlockRig) -> None:
        with pytest.raises(Unsupported):
            await rig.session.create_volume("p", volume("a", size=MIB))
        with pytest.raises(Unsupported):
            await rig.session.delete_volume("p", next(iter(rig.expected)))
        assert {one.name for one in await rig.session.volumes("p")} == set(rig.expected)


def blank(name: str, size: int) -> str:
    """A volume that says no more than it must."""
    return f"<volume><name>{name}</name><capacity>{size}</capacity></volume>"


def is_device(path: str) -> bool:
    return stat.S_ISBLK(Path(path).stat().st_mode)
