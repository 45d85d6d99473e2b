"""Snapshots on the mock hypervisor: decisions, books, and what a later engine makes of work that was cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AgentUnavailable,
    AlreadyExists,
    Busy,
    HypervisorFailed,
    InvalidValue,
    InvalidXML,
    NoSuchSnapshot,
    StorageFailed,
    WrongState,
)
from frontinus.api.events import ChangedEvent, GuestSnapshotEvent, LifecycleEvent
from frontinus.domain.plan import DevicePlan
from frontinus.domain.snapshots.chain import paths
from frontinus.domain.snapshots.snapshot import DomainSnapshot
from frontinus.domain.snapshots.tree import Tree
from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from frontinus.engine.registry import Registry
from frontinus.mock.engine import ROOT
from frontinus.mock.images import MemoryImages
from support.guests import document
from support.mocked import mock_guest

DISK = "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
EXTERNAL = "<disks><disk name='vda' snapshot='external'/></disks>"


def named(name: str, inside: str = "") -> str:
    return f"<domainsnapshot><name>{name}</name>{inside}</domainsnapshot>"


@pytest.fixture
async def engine(local: LocalEngine) -> Engine:
    session = local.session(ROOT)
    await session.define(document(DISK))
    return session


def images(local: LocalEngine) -> MemoryImages:
    assert isinstance(local.world.images, MemoryImages)
    return local.world.images


def files(local: LocalEngine, *, live: bool = False) -> list[str]:
    record = local.world.guests.find("test")
    half = record.guest if live else record.need_definition()
    return paths(half.devices.disks[0])


async def again(local: LocalEngine) -> LocalEngine:
    """Another engine that finds what this one left."""
    record = local.world.guests.find("test")
    if record.running is not None and record.running.news is not None:
        record.running.news.cancel()
    later = LocalEngine(replace(local.world, guests=Registry()))
    await recover(later.world)
    await asyncio.sleep(0)  # what is left to do takes the lock first
    async with asyncio.timeout(60), later.world.guests.find("test").lock.hold("wait for what is finished or undone"):
        await asyncio.sleep(0)
    return later


async def test_who_watches_sees_the_job_of_a_guest_come_and_go(engine: Engine) -> None:
    shown: asyncio.Queue[str | None] = asyncio.Queue()

    async def watch() -> None:
        async for event in engine.watch():
            if isinstance(event, ChangedEvent | LifecycleEvent) and event.guest is not None:
                shown.put_nowait(event.guest.job)

    await engine.create_snapshot("test", named("a"))
    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await engine.revert_snapshot("test", "a")
    async with asyncio.timeout(60):
        assert await shown.get() == "snapshot-revert"
        while await shown.get() is not None:
            pass
    task.cancel()
    assert shown.empty() and (await engine.guest("test")).job is None


async def test_a_tree_is_told(local: LocalEngine, engine: Engine) -> None:
    told: list[tuple[str, str]] = []

    async def watch() -> None:
        async for event in engine.watch():
            if isinstance(event, GuestSnapshotEvent):
                told.append((event.kind, event.snapshot))

    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    for name in ("a", "b", "c"):
        await engine.create_snapshot("test", named(name))
    with pytest.raises(AlreadyExists):
        await engine.create_snapshot("test", named("a"))
    await engine.revert_snapshot("test", "a")
    await engine.create_snapshot("test", named("d"))
    assert [(s.name, s.parent, s.children, s.current) for s in await engine.snapshots("test")] == [
        ("a", None, 2, False), ("b", "a", 1, False), ("c", "b", 0, False), ("d", "a", 0, True)]  # fmt: skip
    await engine.delete_snapshot("test", "b", ["children"])
    await engine.delete_snapshot("test", "a", ["children-only"])
    assert (await engine.current_snapshot("test")).name == "a"
    assert images(local).files["/a.qcow2"].snapshots == ["a"]
    await asyncio.sleep(0)
    assert told == [("created", "a"), ("created", "b"), ("created", "c"), ("reverted", "a"), ("created", "d"),
                    ("deleted", "c"), ("deleted", "b"), ("deleted", "d")]  # fmt: skip
    task.cancel()


@pytest.mark.parametrize(("inside", "flags", "error"), [
    ("<memory snapshot='internal'/>", [], InvalidXML),
    ("<disks><disk name='vda' snapshot='no'/></disks>", [], InvalidXML),
    ("", ["quiesce"], InvalidValue),
    ("", ["redefine", "halt"], InvalidXML),
    ("", ["current"], InvalidValue),
    ("<memory snapshot='internal'/>", ["disk-only"], InvalidXML),
])  # fmt: skip
async def test_refusals_of_a_guest_that_is_off(engine: Engine, inside: str, flags: list[str], error: type) -> None:
    with pytest.raises(error):
        await engine.create_snapshot("test", named("s", inside), flags)  # type: ignore[arg-type]
    assert await engine.snapshots("test") == []


async def test_memory_and_disks_are_alike(engine: Engine) -> None:
    await engine.start("test")
    with pytest.raises(InvalidXML, match="alike"):
        await engine.create_snapshot("test", named("s", "<memory snapshot='internal'/>" + EXTERNAL))
    await engine.block_copy("test", "vda", "<disk type='file'><driver type='raw'/><source file='/c'/></disk>")
    with pytest.raises(Busy):
        await engine.create_snapshot("test", named("s"))


async def test_books_outlive_the_engine(local: LocalEngine, engine: Engine) -> None:
    await engine.create_snapshot("test", named("a"))
    await engine.create_snapshot("test", named("b", EXTERNAL))
    later = (await again(local)).session(ROOT)
    assert [(s.name, s.disks, s.current) for s in await later.snapshots("test")] == [
        ("a", "internal", False), ("b", "external", True)]  # fmt: skip
    assert await later.snapshot_xml("test", "b") == await engine.snapshot_xml("test", "b")


async def test_a_damaged_book_is_set_aside(local: LocalEngine, engine: Engine) -> None:
    await engine.create_snapshot("test", named("a"))
    uuid = (await engine.guest("test")).uuid
    await local.world.store.save("snapshots", uuid, "{torn")
    later = await again(local)
    assert await later.session(ROOT).snapshots("test") == [] and (await later.session(ROOT).guests())[0].name == "test"
    assert local.world.store.aside  # type: ignore[attr-defined]


async def test_an_image_that_snapshots_lie_over_is_not_torn(engine: Engine) -> None:
    await engine.create_snapshot("test", named("inside"))
    await engine.create_snapshot("test", named("over", EXTERNAL))
    await engine.create_snapshot("test", named("higher", EXTERNAL))
    with pytest.raises(WrongState, match="higher"):
        await engine.revert_snapshot("test", "inside")
    await engine.revert_snapshot("test", "inside", ["force"])


async def test_what_is_there_is_left(local: LocalEngine, engine: Engine) -> None:
    await images(local).create("/a.s", "qcow2", 1)
    with pytest.raises(StorageFailed):
        await engine.create_snapshot("test", named("s", EXTERNAL))
    assert "/a.s" in images(local).files and images(local).removed == []


class Dies(Exception):
    """Stands for the end of the engine."""


def die_at(local: LocalEngine, thing: object, method: str, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """Have a method end the engine: what it walks back afterwards is not done either."""
    real: Callable[..., object] = getattr(thing, method)

    async def dies(*args: object, **kwargs: object) -> None:
        if after:
            await real(*args, **kwargs)  # type: ignore[misc]
        raise Dies

    async def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(thing, method, dies)
    monkeypatch.setattr("frontinus.engine.snapshot.snapshot_create.undo", nothing)


@pytest.mark.parametrize("after", [False, True])
async def test_cut_off_at_the_switch(
    local: LocalEngine, engine: Engine, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The definition has the new layer already. QEMU tells whether it does."""
    await engine.start("test")
    with monkeypatch.context() as patch:
        die_at(local, mock_guest(local, "test"), "update", patch, after=after)
        with pytest.raises(Exception, match="unexpectedly"):
            await engine.create_snapshot("test", named("s"), ["disk-only"])
    assert files(local) == ["/a.s", "/a.qcow2"]
    later = await again(local)
    layers = ["/a.s", "/a.qcow2"] if after else ["/a.qcow2"]
    assert files(later) == files(later, live=True) == layers
    assert [s.name for s in await later.session(ROOT).snapshots("test")] == (["s"] if after else [])
    assert ("/a.s" in images(local).files) is after


@pytest.mark.parametrize("created", [False, True])
async def test_cut_off_while_off(
    local: LocalEngine, engine: Engine, created: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a guest that is off the definition tells: a layer that it does not name is taken back."""
    with monkeypatch.context() as patch:
        die_at(local, images(local) if not created else local.world.store, "create" if not created else "delete", patch,
               after=True)  # fmt: skip
        if created:
            await engine.create_snapshot("test", named("s", EXTERNAL))
        else:
            with pytest.raises(Exception, match="unexpectedly"):
                await engine.create_snapshot("test", named("s", EXTERNAL))
    later = await again(local)
    assert files(later) == (["/a.s", "/a.qcow2"] if created else ["/a.qcow2"])
    assert ("/a.s" in images(local).files) is created


async def test_cut_off_deleting(local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.create_snapshot("test", named("s", EXTERNAL))
    await engine.start("test")
    with monkeypatch.context() as patch:

        async def stuck(*_: object) -> None:
            raise asyncio.CancelledError

        patch.setattr("frontinus.engine.snapshot.snapshot_delete._forget", stuck)
        call = asyncio.ensure_future(engine.delete_snapshot("test", "s"))
        with pytest.raises(asyncio.CancelledError):
            await call
    assert files(local) == ["/a.qcow2"] and "/a.s" in images(local).files
    later = await again(local)
    assert await later.session(ROOT).snapshots("test") == [] and files(later) == ["/a.qcow2"]
    assert "/a.s" not in images(local).files and not later.world.guests.find("test").books.made


async def test_a_refused_switch_is_taken_back(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.start("test")

    async def refuses(*_: object) -> None:
        raise HypervisorFailed("no")

    monkeypatch.setattr(mock_guest(local, "test"), "update", refuses)
    with pytest.raises(HypervisorFailed):
        await engine.create_snapshot("test", named("s"), ["disk-only"])
    assert files(local) == files(local, live=True) == ["/a.qcow2"] and images(local).removed == ["/a.s"]
    assert local.world.guests.find("test").books.pending is None
    with pytest.raises(NoSuchSnapshot):
        await engine.current_snapshot("test")


async def test_a_hidden_process_merges_for_a_guest_that_is_off(local: LocalEngine, engine: Engine) -> None:
    await engine.create_snapshot("test", named("s", EXTERNAL))
    await engine.delete_snapshot("test", "s")
    assert files(local) == ["/a.qcow2"] and "/a.s" not in images(local).files
    assert [(g.state, g.active) for g in await engine.guests()] == [("shutoff", False)]


# --- frozen meanwhile


def asked(local: LocalEngine, monkeypatch: pytest.MonkeyPatch, *refused: str) -> list[str]:
    """What the agent is asked, and QEMU told."""
    log: list[str] = []
    process, update = mock_guest(local, "test"), mock_guest(local, "test").update

    async def agent(command: str, deadline: float) -> str:
        word = json.loads(command)["execute"].removeprefix("guest-fsfreeze-")
        log.append(word)
        if word in refused:
            raise AgentUnavailable("the agent does not answer")
        return "{}"

    async def told(plan: DevicePlan, fds: dict[int, int]) -> None:
        log.append("change")
        if "change" in refused:
            raise HypervisorFailed("no")
        await update(plan, fds)

    monkeypatch.setattr(process, "agent_command", agent)
    monkeypatch.setattr(process, "update", told)
    return log


@pytest.mark.parametrize(("refused", "log", "made"), [
    ((), ["freeze", "change", "thaw"], True),
    (("freeze",), ["freeze", "thaw"], False),
    (("change",), ["freeze", "change", "thaw"], False),
    (("thaw",), ["freeze", "change", "thaw"], True),
])  # fmt: skip
async def test_quiesced(local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...],
                        log: list[str], made: bool) -> None:  # fmt: skip
    """Whatever fails, the guest is thawed; and a thaw that fails takes nothing back that QEMU stands on."""
    await engine.start("test")
    seen = asked(local, monkeypatch, *refused)
    with nullcontext() if made else pytest.raises((AgentUnavailable, HypervisorFailed)):
        await engine.create_snapshot("test", named("s"), ["disk-only", "quiesce"])
    assert seen == log and files(local, live=True) == files(local) == (["/a.s"] if made else []) + ["/a.qcow2"]
    seen.clear()
    with nullcontext() if made else pytest.raises((AgentUnavailable, HypervisorFailed)):
        await engine.create_checkpoint("test", "<domaincheckpoint><name>c</name></domaincheckpoint>", ["quiesce"])
    assert seen == log and bool(await engine.checkpoints("test")) is made


# --- a deletion that is not done


async def test_a_snapshot_whose_merging_broke_off_is_not_gone_back_to(local: LocalEngine, engine: Engine) -> None:
    """Its image has some of what was written later."""
    await engine.start("test")
    await engine.create_snapshot("test", named("s"), ["disk-only"])
    mock_guest(local, "test").blocks.stuck = True
    call = asyncio.ensure_future(engine.delete_snapshot("test", "s"))
    async with asyncio.timeout(60):
        while not await engine.block_jobs("test"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    (job,) = [job for job in await engine.jobs("test") if job.kind == "snapshot-delete"]
    assert job.total == 2**33 and job.processed == 0
    await engine.abort_job(job.id)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await engine.block_jobs("test") == [] and files(local) == ["/a.s", "/a.qcow2"]
    later = (await again(local)).session(ROOT)
    with pytest.raises(WrongState, match="not whole"):
        await later.revert_snapshot("test", "s")
    mock_guest(local, "test").blocks.stuck = False
    await later.delete_snapshot("test", "s")
    assert await later.snapshots("test") == []


# --- trees


def node(name: str, parent: str | None = None) -> DomainSnapshot:
    return DomainSnapshot(name=name, parent=parent)


def test_trees() -> None:
    tree: Tree[DomainSnapshot] = Tree()
    for name, parent in (("a", None), ("b", "a"), ("c", "b"), ("d", "a"), ("lost", "nobody")):
        tree.add(node(name, parent))
    tree.current = "c"
    assert [one.name for one in tree] == ["a", "b", "c", "d", "lost"]
    assert tree.is_below("c", "a") and not tree.is_below("d", "b")
    tree.remove("b")
    assert [(one.name, one.parent) for one in tree][:2] == [("a", None), ("c", "a")] and tree.current == "c"
    tree.remove("c")
    assert tree.current == "a"
    tree.add(node("x", "y"))
    tree.add(node("y", "x"))
    assert len(tree.branch(node("x"))) == 2, "a ring ends"
