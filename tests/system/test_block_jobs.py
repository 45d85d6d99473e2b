"""Copies, commits and pulls of a real guest's disk, under load, and what is left when something goes wrong."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import Busy, InvalidValue, NoSuchDevice, StorageFailed, WrongState
from frontinus.api.events import BlockJobEvent, BlockThresholdEvent
from guest_image import GuestImage
from support.disks import (
    MIB,
    backing_of,
    bare_xml,
    content,
    disk,
    eventually,
    fill,
    guest_xml,
    image,
    job_gone,
    job_ready,
    writing,
)
from support.mounts import unmount
from trial import Daemon


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


def chain(place: Path) -> tuple[Path, Path, Path]:
    """Three layers, each with a MiB of its own: base, middle, top."""
    base = image(place / "base.qcow2")
    fill(base, 1, 0)
    middle = image(place / "middle.qcow2", backing=base)
    fill(middle, 2, MIB)
    top = image(place / "top.qcow2", backing=middle)
    fill(top, 3, 2 * MIB)
    for path in (base, middle):
        path.chmod(0o644)
    return base, middle, top


async def sources(engine: Engine, guest: str, *, inactive: bool = False) -> list[str]:
    """The files of the first disk, from the top down."""
    root = etree.fromstring(await engine.guest_xml(guest, ["inactive"] if inactive else []))
    found = root.find("devices/disk")
    return (
        [str(s.get("file")) for s in found.iter("source") if s.getparent().tag != "mirror"] if found is not None else []
    )


def copy_to(path: Path, kind: str = "qcow2") -> str:
    return f"<disk type='file'><driver type='{kind}'/><source file='{path}'/></disk>"


async def test_copy_with_pivot_under_load(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    source, target = image(place / "a.qcow2", 8 * MIB), place / "b.qcow2"
    await engine.define(guest_xml(place, guest_image, disk(source), "write"))
    await engine.start("real")
    await writing(engine, "real")
    await engine.block_copy("real", "vda", copy_to(target))
    with pytest.raises(Busy):
        await engine.block_copy("real", "vda", copy_to(place / "c.qcow2"))
    await job_ready(engine, "real")
    await writing(engine, "real")
    assert "<mirror type='file' file=" in await engine.guest_xml("real")
    await engine.abort_block_job("real", "vda", ["pivot"])
    assert await engine.block_jobs("real") == []
    assert await sources(engine, "real") == await sources(engine, "real", inactive=True) == [str(target)]
    before = content(source)
    await writing(engine, "real")
    assert content(source) == before, "the guest still writes to the old image"
    await engine.suspend("real")
    now = content(target)
    await engine.destroy("real")
    assert content(target) == now and now != before
    await engine.start("real")
    assert (await engine.guest("real")).state == "running"


async def test_a_copy_that_is_ended_is_the_disk_of_that_moment(engine: Engine, place: Path) -> None:
    base, middle, top = chain(place)
    await engine.define(bare_xml(disk(top)))
    await engine.start("bare")
    target = place / "copy.raw"
    await engine.block_copy("bare", "vda", copy_to(target, "raw"))
    await job_ready(engine, "bare")
    await engine.abort_block_job("bare", "vda")
    assert await engine.block_jobs("bare") == []
    assert await sources(engine, "bare") == [str(top), str(middle), str(base)]
    assert content(target, "raw") == content(top)
    assert "mirror" not in await engine.guest_xml("bare")


async def test_shallow_copy(engine: Engine, place: Path) -> None:
    base, middle, top = chain(place)
    was = content(top)
    await engine.define(bare_xml(disk(top)))
    await engine.start("bare")
    target = place / "copy.qcow2"
    await engine.block_copy("bare", "vda", copy_to(target), flags=["shallow"])
    await job_ready(engine, "bare")
    await engine.abort_block_job("bare", "vda", ["pivot"])
    assert await sources(engine, "bare") == [str(target), str(middle), str(base)]
    assert await sources(engine, "bare", inactive=True) == [str(target)]
    assert backing_of(target) == str(middle) and content(target) == was
    await engine.destroy("bare")
    await engine.start("bare")


async def test_commit_of_inner_layers(engine: Engine, place: Path) -> None:
    base, middle, top = chain(place)
    was = content(top)
    await engine.define(bare_xml(disk(top)))
    await engine.start("bare")
    with pytest.raises(InvalidValue):
        await engine.block_commit("bare", "vda")
    with pytest.raises(InvalidValue):
        await engine.block_commit("bare", "vda", base=str(top), top=str(middle))
    await engine.block_commit("bare", "vda", top="vda[2]", flags=["delete"])
    await job_gone(engine, "bare")
    assert await sources(engine, "bare") == [str(top), str(base)]
    assert backing_of(top) == str(base) and content(top) == was
    await eventually(lambda: asyncio.sleep(0, not middle.exists()), "the committed layer stays")
    await engine.destroy("bare")
    await engine.start("bare")


@pytest.mark.parametrize("base_name", ["middle", "base"])
async def test_active_commit(engine: Engine, place: Path, base_name: str) -> None:
    base, middle, top = chain(place)
    was, target = content(top), {"middle": middle, "base": base}[base_name]
    await engine.define(bare_xml(disk(top)))
    await engine.start("bare")
    await engine.block_commit("bare", "vda", base=str(target), flags=["active"])
    await job_ready(engine, "bare")
    await engine.abort_block_job("bare", "vda", ["pivot"])
    left = [middle, base] if target is middle else [base]
    assert await sources(engine, "bare") == [str(path) for path in left]
    assert await sources(engine, "bare", inactive=True) == [str(target)]
    assert content(target) == was
    await engine.destroy("bare")
    await engine.start("bare")


async def test_pull(engine: Engine, place: Path) -> None:
    base, middle, top = chain(place)
    was = content(top)
    await engine.define(bare_xml(disk(top)))
    await engine.start("bare")
    await engine.block_pull("bare", "vda", base=str(base))
    await job_gone(engine, "bare")
    assert await sources(engine, "bare") == [str(top), str(base)] and backing_of(top) == str(base)
    await engine.block_pull("bare", "vda")
    await job_gone(engine, "bare")
    assert await sources(engine, "bare") == [str(top)] and backing_of(top) is None
    assert content(top) == was, "what was pulled was not written out before the header changed"
    with pytest.raises(NoSuchDevice):
        await engine.block_pull("bare", "vdz")


async def test_speed_and_abort(engine: Engine, place: Path) -> None:
    path = image(place / "a.qcow2")
    fill(path, 5, 0, 8 * MIB)
    await engine.define(bare_xml(disk(path)))
    await engine.start("bare")
    await engine.block_copy("bare", "vda", copy_to(place / "b.qcow2"), bandwidth=64 * 1024)
    job = await engine.block_job("bare", "vda")
    assert job is not None and (job.kind, job.bandwidth, job.ready) == ("copy", 65536, False)
    with pytest.raises(WrongState):
        await engine.abort_block_job("bare", "vda", ["pivot"])
    await engine.set_block_job_speed("bare", "vda", 128 * 1024)
    job = await engine.block_job("bare", "vda")
    assert job is not None and job.bandwidth == 131072
    await engine.abort_block_job("bare", "vda")
    assert await engine.block_job("bare", "vda") is None
    with pytest.raises(WrongState):
        await engine.abort_block_job("bare", "vda")


async def test_events(engine: Engine, place: Path) -> None:
    path = image(place / "a.qcow2")
    seen: list[tuple[str, str, str]] = []

    async def watch() -> None:
        async for event in engine.watch():
            if isinstance(event, BlockJobEvent):
                seen.append((event.device, event.kind, event.status))

    task = asyncio.create_task(watch())
    await engine.define(bare_xml(disk(path)))
    await engine.start("bare")
    await engine.block_copy("bare", "vda", copy_to(place / "b.qcow2"))
    await job_ready(engine, "bare")
    await engine.abort_block_job("bare", "vda", ["pivot"])
    await eventually(lambda: asyncio.sleep(0, len(seen) >= 2), "no events")
    assert seen == [("vda", "copy", "ready"), ("vda", "copy", "completed")]
    task.cancel()


async def test_threshold(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    path = image(place / "a.qcow2", 8 * MIB)
    await engine.define(guest_xml(place, guest_image, disk(path), "write"))
    told: asyncio.Future[BlockThresholdEvent] = asyncio.get_running_loop().create_future()

    async def watch() -> None:
        async for event in engine.watch():
            if isinstance(event, BlockThresholdEvent):
                told.set_result(event)
                return

    task = asyncio.create_task(watch())
    await engine.start("real")
    await engine.set_block_threshold("real", "vda", MIB)
    async with asyncio.timeout(60):
        event = await told
    assert (event.device, event.path, event.threshold) == ("vda", str(path), MIB) and event.excess > 0
    task.cancel()


@pytest.mark.needs("mount")
async def test_a_copy_to_a_full_disk_fails_and_costs_nothing(engine: Engine, place: Path) -> None:
    """The file system of the copy is too small: the job ends, the guest and its image do not."""
    small = place / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "none", str(small)], check=True)
    try:
        path = image(place / "a.qcow2")
        fill(path, 5, 0, 8 * MIB)
        was = content(path)
        await engine.define(bare_xml(disk(path)))
        await engine.start("bare")
        await engine.block_copy("bare", "vda", copy_to(small / "b.qcow2"))
        await job_gone(engine, "bare")
        assert await sources(engine, "bare") == [str(path)] and content(path) == was
        assert (await engine.guest("bare")).state == "running"
        await engine.block_copy("bare", "vda", copy_to(place / "b.qcow2"))
        await job_ready(engine, "bare")
        await engine.abort_block_job("bare", "vda", ["pivot"])
        assert content(place / "b.qcow2") == was
    finally:
        if (await engine.guest("bare")).active:
            await engine.destroy("bare")
        unmount(small)


async def test_an_existing_file_is_not_overwritten(engine: Engine, place: Path) -> None:
    path, other = image(place / "a.qcow2"), image(place / "precious.qcow2")
    fill(other, 9)
    was = content(other)
    await engine.define(bare_xml(disk(path)))
    await engine.start("bare")
    with pytest.raises(StorageFailed):
        await engine.block_copy("bare", "vda", copy_to(other))
    assert content(other) == was and await engine.block_jobs("bare") == []
