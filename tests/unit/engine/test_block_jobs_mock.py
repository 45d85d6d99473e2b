"""Block jobs on the mock hypervisor: what they leave of the chain in both halves, and what a later engine makes of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Busy, HypervisorFailed, InvalidXML, WrongState
from frontinus.domain.definition import parse_guest
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.snapshots.chain import Chain, carried, find, layer_name, overlay, place_of
from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from frontinus.engine.registry import Registry
from frontinus.engine.snapshot import doomed
from frontinus.engine.world import World
from frontinus.mock.engine import ROOT
from frontinus.mock.hypervisor import MockGuest
from frontinus.ports.blocks import JobFacts
from support.guests import document

DISK = """<disk type='file'><driver name='qemu' type='qcow2'/><source file='/top'/>{below}
<target dev='vda' bus='virtio'/></disk>"""
BELOW = """<backingStore type='file'><format type='qcow2'/><source file='/middle'/>
<backingStore type='file'><format type='raw'/><source file='/base'/><backingStore/></backingStore></backingStore>"""
COPY = "<disk type='file'><driver type='raw'/><source file='/copy'/></disk>"


@pytest.fixture
async def engine(local: LocalEngine) -> Engine:
    session = local.session(ROOT)
    await session.define(document(DISK.format(below=BELOW)))
    await session.start("test")
    return session


def mock(local: LocalEngine) -> MockGuest:
    running = local.world.guests.find("test").running
    assert running is not None and isinstance(running.process, MockGuest)
    return running.process


def files(local: LocalEngine, *, live: bool = True) -> list[str | None]:
    record = local.world.guests.find("test")
    half = record.guest if live else record.definition
    assert half is not None
    return [place_of(layer) for layer in Chain.of(half.devices.disks[0]).layers]


async def settled(local: LocalEngine) -> None:
    """Wait until no job is left, with its end drawn up."""
    async with asyncio.timeout(60):
        while list(local.world.guests.find("test").need_running().works):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def ready(engine: Engine) -> None:
    async with asyncio.timeout(60):
        while not any(job.ready for job in await engine.block_jobs("test")):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_copy(local: LocalEngine, engine: Engine) -> None:
    await engine.block_copy("test", "vda", COPY, bandwidth=7)
    with pytest.raises(Busy):
        await engine.block_pull("test", "/top")
    await ready(engine)
    (job,) = await engine.block_jobs("test")
    assert (job.disk, job.kind, job.bandwidth, job.ready) == ("vda", "copy", 7, True)
    await engine.abort_block_job("test", "vda", ["pivot"])
    assert files(local) == files(local, live=False) == ["/copy"]
    assert (await engine.guest("test")).state == "running" and mock(local).state == "running"


async def test_figures_tell_how_far_it_is_and_wait_for_no_hypervisor(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    await engine.block_copy("test", "vda", COPY)
    await ready(engine)
    answers = asyncio.Event()
    guest = mock(local)
    (facts,) = await guest.block_jobs()

    async def slow() -> list[JobFacts]:
        await answers.wait()
        return [replace(facts, current=25, total=100)]

    monkeypatch.setattr(guest, "block_jobs", slow)
    for _ in range(2):
        async with asyncio.timeout(60):
            ((job,),) = [stats.jobs for stats in await engine.stats(["test"])]
        assert (job.id, job.kind, job.state, job.progress, job.total) == ("copy-vda", "copy", "running", None, None)
    answers.set()
    async with asyncio.timeout(60):
        while job.progress is None:
            ((job,),) = [stats.jobs for stats in await engine.stats(["test"])]
    assert (job.progress, job.processed, job.total) == (0.25, 25, 100) and began <= job.started <= time.time()
    assert (await engine.stats(["test"], groups=["cpu"]))[0].jobs == ()
    monkeypatch.undo()
    await engine.abort_block_job("test", "vda")
    await settled(local)
    assert (await engine.stats(["test"]))[0].jobs == ()


@pytest.mark.parametrize("whole", [False, True])
async def test_a_copy_that_was_not_in_step_is_of_no_use(local: LocalEngine, engine: Engine, whole: bool) -> None:
    """When its guest ends."""
    mock(local).blocks.stuck = not whole
    await engine.block_copy("test", "vda", COPY)
    record = local.world.guests.find("test")
    books = record.books
    assert books.doomed == {"/copy"}
    async with asyncio.timeout(60):
        while whole and not all(work.ready for work in record.need_running().works):  # noqa: ASYNC110
            await asyncio.sleep(0)
    await engine.destroy("test")
    images = local.world.images
    assert ("/copy" in images.files) is whole  # type: ignore[attr-defined]
    assert books.doomed == set()


async def test_a_new_engine_removes_what_no_job_is_making_any_more(local: LocalEngine, engine: Engine) -> None:
    mock(local).blocks.stuck = True
    await engine.block_copy("test", "vda", COPY)
    world, process = local.world, mock(local)
    await local.stop()
    for lives in (True, False):
        if not lives:
            process.state = "closed"
        world.guests.__init__()  # type: ignore[misc]
        await recover(world)
        assert ("/copy" in world.images.files) is lives  # type: ignore[attr-defined]
    assert world.guests.find("test").books.doomed == set()


async def test_what_a_guest_needs_stays_whatever_its_book_says(local: LocalEngine, engine: Engine) -> None:
    world, record = local.world, local.world.guests.find("test")
    await world.images.create("/middle", "qcow2", 1)
    await doomed.doom(world, record, ["/middle"])
    await local.stop()
    world.guests.__init__()  # type: ignore[misc]
    await recover(world)
    assert "/middle" in world.images.files  # type: ignore[attr-defined]


async def test_a_disk_at_work_stays(engine: Engine, tmp_path: Path) -> None:
    await engine.block_copy("test", "vda", COPY)
    with pytest.raises(Busy):
        await engine.save("test", str(tmp_path / "saved"))
    with pytest.raises(Busy):
        await engine.detach_device("test", "<disk><target dev='vda'/></disk>", live=True)
    await engine.abort_block_job("test", "vda")
    await engine.detach_device("test", "<disk><target dev='vda'/></disk>", live=True)


async def test_a_copy_onto_itself_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidXML, match="one of its own"):
        await engine.block_copy("test", "vda", COPY.replace("/copy", "/middle"))
    with pytest.raises(InvalidXML, match="shallow"):
        await engine.block_copy("test", "vda", COPY, flags=["shallow"])


async def test_commit_and_pull(local: LocalEngine, engine: Engine) -> None:
    await engine.block_commit("test", "vda", top="/middle")
    await settled(local)
    assert files(local) == files(local, live=False) == ["/top", "/base"]
    await engine.block_pull("test", "vda")
    await settled(local)
    assert files(local) == files(local, live=False) == ["/top"]


async def test_active_commit_with_delete(local: LocalEngine, engine: Engine) -> None:
    await engine.block_commit("test", "vda", base="vda[2]", flags=["active", "delete"])
    await ready(engine)
    await engine.abort_block_job("test", "vda", ["pivot"])
    assert files(local) == files(local, live=False) == ["/middle", "/base"]
    assert local.world.images.removed == ["/top"]  # type: ignore[attr-defined]


async def test_a_job_that_fails_changes_nothing(local: LocalEngine, engine: Engine) -> None:
    mock(local).blocks.stuck = True
    await engine.block_copy("test", "vda", COPY)
    with pytest.raises(WrongState):
        await engine.abort_block_job("test", "vda", ["pivot"])
    mock(local).blocks.set("copy-vda", "concluded", error="No space left on device")
    await settled(local)
    assert files(local) == files(local, live=False) == ["/top", "/middle", "/base"]
    assert "mirror" not in await engine.guest_xml("test")


async def test_a_definition_of_another_image_is_left_alone(local: LocalEngine, engine: Engine) -> None:
    await engine.define(document(DISK.format(below="").replace("/top", "/other")))
    await engine.block_pull("test", "vda")
    await settled(local)
    assert files(local) == ["/top"] and files(local, live=False) == ["/other"]


async def again(local: LocalEngine) -> LocalEngine:
    """Another engine that finds what this one left, as after kill -9."""
    engine = LocalEngine(_twin(local))
    await recover(engine.world)
    return engine


def _twin(local: LocalEngine) -> World:
    return replace(local.world, guests=Registry())


async def test_a_later_engine_finishes_what_ended_meanwhile(local: LocalEngine, engine: Engine) -> None:
    mock(local).blocks.stuck = True
    await engine.block_pull("test", "vda")
    local.world.guests.find("test").need_running().news.cancel()  # type: ignore[union-attr]
    mock(local).blocks.set("pull-vda", "concluded")
    later = await again(local)
    await settled(later)
    assert files(later) == files(later, live=False) == ["/top"]


@pytest.mark.parametrize("went", [False, True])
async def test_a_later_engine_finishes_or_undoes_a_pivot(local: LocalEngine, engine: Engine, went: bool) -> None:
    """The engine died while the guest was stopped for the pivot: before it had told QEMU, or after."""
    await engine.block_copy("test", "vda", COPY)
    await ready(engine)
    process = mock(local)

    reached = asyncio.Event()

    async def hangs(job: str, command: str) -> None:
        if went:
            process.blocks.steer(job, "complete")
        reached.set()
        await asyncio.Event().wait()

    process.steer_job, steer = hangs, process.steer_job  # type: ignore[method-assign, assignment]
    call = asyncio.ensure_future(engine.abort_block_job("test", "vda", ["pivot"]))
    await reached.wait()
    process.steer_job = steer  # type: ignore[method-assign]
    assert process.state == "paused"
    local.world.guests.find("test").need_running().news.cancel()  # type: ignore[union-attr]
    later = await again(local)
    async with asyncio.timeout(60):
        while process.state != "running":  # noqa: ASYNC110
            await asyncio.sleep(0)
    wanted = ["/copy"] if went else ["/top", "/middle", "/base"]
    assert files(later) == files(later, live=False) == wanted
    assert bool(await later.session(ROOT).block_jobs("test")) is not went
    call.cancel()


async def test_a_later_engine_takes_back_a_job_that_never_began(local: LocalEngine, engine: Engine) -> None:
    process = mock(local)

    async def dies(*_: object) -> None:
        process.blocks.stuck = True
        raise HypervisorFailed("refused")

    process.update = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(HypervisorFailed):
        await engine.block_copy("test", "vda", COPY)
    assert local.world.images.removed == ["/copy"]  # type: ignore[attr-defined]
    assert await engine.block_jobs("test") == [] and "mirror" not in await engine.guest_xml("test")


# --- chains


def disk(below: str = BELOW) -> Disk:
    return parse_guest(document(DISK.format(below=below))).devices.disks[0]


def test_a_chain_is_what_the_disk_says() -> None:
    chain = Chain.of(disk())
    assert [place_of(layer) for layer in chain.layers] == ["/top", "/middle", "/base"] and chain.ends
    assert Chain.of(chain.on(disk())) == chain
    assert not Chain.of(disk("")).ends


def test_layers_that_a_definition_does_not_declare_stay_undeclared() -> None:
    live = Chain.of(disk())
    live = Chain(tuple(layer.clone(index=n + 1) for n, layer in enumerate(live.layers)), ends=True)
    new = overlay("/new", block=False, format="qcow2", index=9)
    short = carried(disk(""), live, live.with_top(new))
    assert short is not None and [place_of(layer) for layer in Chain.of(short).layers] == ["/new", "/top"]
    assert not Chain.of(short).ends
    whole = carried(disk(), live, live.with_top(new))
    assert whole is not None and len(Chain.of(whole).layers) == 4 and Chain.of(whole).ends
    committed = carried(disk(""), live, live.without(0, 0))
    assert committed is not None and committed.source_path == "/middle"
    assert carried(disk("").clone(format="raw"), live, live.without(0, 0)) is None


def test_layers_are_found_by_their_names() -> None:
    guest = parse_guest(document(DISK.format(below=BELOW)))
    for n, layer in enumerate(guest.devices.disks[0].layers()):
        layer.index = n + 4
    assert find(guest, "vda[5]")[1] == 1 and find(guest, "/top")[1] == 0 and find(guest, "vda")[1] == 0
    assert layer_name(guest, 4) == ("vda", "/top") and layer_name(guest, 6) == ("vda[6]", "/base")
