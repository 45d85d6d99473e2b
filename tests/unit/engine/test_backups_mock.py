"""Checkpoints and backups on the mock hypervisor: refusals, books, jobs, and what a later engine makes of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AlreadyExists,
    Busy,
    HypervisorFailed,
    NoSuchCheckpoint,
    Unresponsive,
    Unsupported,
    WrongState,
)
from frontinus.domain.definition import parse_guest
from frontinus.domain.devices.block.disk import number_layers
from frontinus.domain.snapshots.backup import parse_backup
from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from frontinus.engine.registry import Registry
from frontinus.engine.snapshot.backups import saved
from frontinus.mock.engine import ROOT
from frontinus.ports.blocks import Marks, Service
from frontinus.qemu.blocks import QemuBlocks
from support.guests import completed, document, host, qemu72
from support.mocked import mock_guest

DISK = "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
PULL = "<domainbackup mode='pull'><server transport='unix' socket='/nbd'/></domainbackup>"


def mark(name: str) -> str:
    return f"<domaincheckpoint><name>{name}</name></domaincheckpoint>"


@pytest.fixture
async def engine(local: LocalEngine) -> Engine:
    session = local.session(ROOT)
    await session.define(document(DISK))
    await session.start("test")
    return session


async def ended(engine: Engine) -> str:
    async with asyncio.timeout(60):
        while True:
            jobs = [job for job in await engine.jobs("test") if job.kind == "backup"]
            if jobs and jobs[-1].state != "running":
                return jobs[-1].state
            await asyncio.sleep(0)


async def test_checkpoints(local: LocalEngine, engine: Engine) -> None:
    for name in ("a", "b"):
        await engine.create_checkpoint("test", mark(name))
    with pytest.raises(AlreadyExists):
        await engine.create_checkpoint("test", mark("a"))
    assert [(c.name, c.parent, c.current) for c in await engine.checkpoints("test")] == [
        ("a", None, False),
        ("b", "a", True),
    ]
    assert "size='0'" in await engine.checkpoint_xml("test", "b", sizes=True, no_domain=True)
    assert set(mock_guest(local, "test").blocks.bitmaps[1]) == {"a", "b"}
    await engine.create_snapshot("test", "<domainsnapshot><name>s</name></domainsnapshot>", ["disk-only"])
    assert set(mock_guest(local, "test").blocks.bitmaps[2]) == {"a", "b"}, "the new layer does not go on recording"
    await engine.delete_checkpoint("test", "a", ["children"])
    assert await engine.checkpoints("test") == [] and mock_guest(local, "test").blocks.bitmaps[2] == {}


async def test_a_checkpoint_that_was_never_made_is_forgotten(local: LocalEngine, engine: Engine) -> None:
    await engine.create_checkpoint("test", mark("a"))
    await engine.create_checkpoint("test", mark("b"))
    mock_guest(local, "test").blocks.bitmaps[1].pop("b")
    record = local.world.guests.find("test")
    record.running.news.cancel()  # type: ignore[union-attr]
    later = LocalEngine(replace(local.world, guests=Registry()))
    await recover(later.world)
    await asyncio.sleep(0)
    async with later.world.guests.find("test").lock.hold("wait"):
        assert [c.name for c in await later.session(ROOT).checkpoints("test")] == ["a"]


async def test_a_push(local: LocalEngine, engine: Engine) -> None:
    with pytest.raises(NoSuchCheckpoint):
        await engine.begin_backup("test", "<domainbackup><incremental>none</incremental></domainbackup>")
    await engine.begin_backup("test", "<domainbackup/>", mark("c"))
    assert await ended(engine) == "completed"
    assert "/a.qcow2.c" in local.world.images.files  # type: ignore[attr-defined]
    with pytest.raises(WrongState):
        await engine.backup_xml("test")


async def test_a_pull_lasts_until_it_is_aborted(local: LocalEngine, engine: Engine) -> None:
    await engine.begin_backup("test", PULL)
    with pytest.raises(Busy):
        await engine.begin_backup("test", PULL)
    assert "exportname='vda'" in await engine.backup_xml("test")
    await asyncio.sleep(0)
    (job,) = await engine.jobs("test")
    await engine.abort_job(job.id)
    assert await ended(engine) == "completed"
    assert local.world.images.removed and await engine.block_jobs("test") == []  # type: ignore[attr-defined]


async def test_a_later_engine_watches_on(local: LocalEngine, engine: Engine) -> None:
    await engine.begin_backup("test", PULL)
    local.world.guests.find("test").need_running().news.cancel()  # type: ignore[union-attr]
    later = LocalEngine(replace(local.world, guests=Registry()))
    await recover(later.world)
    session = later.session(ROOT)
    async with asyncio.timeout(60):
        while not await session.block_jobs("test") or (await session.jobs("test"))[-1].state != "running":  # noqa: ASYNC110
            await asyncio.sleep(0)
    await session.abort_job((await session.jobs("test"))[-1].id)
    assert await ended(session) == "completed"


async def test_a_refused_backup_leaves_nothing(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object) -> None:
        raise HypervisorFailed("no")

    monkeypatch.setattr(mock_guest(local, "test"), "update", refuses)
    with pytest.raises(HypervisorFailed):
        await engine.begin_backup("test", "<domainbackup/>", mark("c"))
    assert await engine.checkpoints("test") == [] and await engine.block_jobs("test") == []
    assert local.world.images.removed == ["/a.qcow2.c"]  # type: ignore[attr-defined]


# --- what QEMU is told


def planner() -> QemuBlocks:
    guest = completed(DISK)
    guest.devices.disks[0].alias = "virtio-disk0"
    number_layers(guest.devices.disks)
    return QemuBlocks(guest, qemu72(), host())


def test_an_incremental_pull_in_qmp() -> None:
    plan = planner()
    text = """<domainbackup mode='pull'><disks><disk name='vda' type='file' exportbitmap='b' incremental='c1' index='5'>
        <driver type='qcow2'/><scratch file='/scratch'/></disk></disks></domainbackup>"""
    (mine,) = parse_backup(text).disks
    one = saved(mine, plan.guest.devices.disks[0], ((1, "c1"),))
    steps = plan.backup([one], Marks(add=((1, "c2"),)), Service(path="/nbd")).steps
    assert [step.command for step in steps] == [
        "blockdev-add",
        "blockdev-add",
        "nbd-server-start",
        "transaction",
        "block-export-add",
    ]
    assert steps[1].arguments["backing"] == "frontinus-1-format", "the scratch image shows the disk of that moment"
    actions = steps[3].arguments["actions"]
    assert isinstance(actions, list)
    assert [action["type"] for action in actions] == [
        "block-dirty-bitmap-add", "block-dirty-bitmap-add", "block-dirty-bitmap-merge", "blockdev-backup"]  # fmt: skip
    assert actions[1]["data"] == {"node": "frontinus-1-format", "name": "b", "persistent": False, "disabled": True}
    assert actions[3]["data"]["sync"] == "none"
    assert steps[4].arguments["bitmaps"] == ["b"] and steps[4].arguments["name"] == "vda"
    ends = [
        step.command
        for p in (*plan.stop_serving([one], Service(path="/nbd")), *plan.end_backup([one]))
        for step in p.steps
    ]
    assert ends == ["block-export-del", "nbd-server-stop", "block-dirty-bitmap-remove", "blockdev-del", "blockdev-del"]


def test_what_qemu_lacks_is_said() -> None:
    plan = replace(planner(), caps=replace(qemu72(), commands=frozenset()))
    with pytest.raises(Unsupported, match="no 'block-stream'"):
        plan.pull("p", plan.guest.devices.disks[0], None, 0, None)
    (step,) = plan.state("save", "j", 's "1"', plan.guest.devices.disks).steps
    assert step.arguments == {"command-line": 'savevm "s \\"1\\""'}, "what old releases can is done as they can"


def test_only_lower_layers_wait_for_what_was_copied() -> None:
    plan = planner()
    guest = parse_guest(document(DISK.replace("<target", "<backingStore type='file'><format type='raw'/>"
                                              "<source file='/b'/></backingStore><target")))  # fmt: skip
    number_layers(guest.devices.disks)
    (disk,) = guest.devices.disks
    assert disk.backing_store is not None
    (pull,) = plan.pull("p", disk, None, 0, None).steps
    assert (pull.arguments["auto-finalize"], pull.arguments["auto-dismiss"]) == (False, False)


@pytest.mark.parametrize("marked", [False, True])
async def test_bitmaps_are_written_out_before_a_guest_is_killed(
    local: LocalEngine, engine: Engine, marked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a guest that has any is given the time."""
    asked: list[bool] = []
    process, quit = mock_guest(local, "test"), mock_guest(local, "test").quit

    async def hangs(*, graceful: bool, deadline: float) -> None:
        asked.append(graceful)
        if graceful:
            raise Unresponsive("it does not end by itself")
        await quit(graceful=graceful, deadline=deadline)

    monkeypatch.setattr(process, "quit", hangs)
    if marked:
        await engine.create_checkpoint("test", mark("c1"))
    await engine.destroy("test")
    assert asked == ([True, False] if marked else [False])
