"""The engine dies at every moment of work on layers: the next one finishes it or undoes it, and no image is lost or left over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.domain.host import Paths
from frontinus.domain.snapshots.chain import paths
from frontinus.engine.local import LocalEngine
from frontinus.engine.world import World
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.images import MemoryImages
from support.disks import eventually
from support.guests import document
from support.mortal import every_death, forget

DISK = "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
COPY = "<disk type='file'><driver type='qcow2'/><source file='/copy'/></disk>"
Act = Callable[[Engine], Awaitable[object]]


def snapshot(name: str, where: str) -> Act:
    disks = f"<disks><disk name='vda' snapshot='{where}'/></disks>"

    async def act(engine: Engine) -> object:
        live = where == "external" and (await engine.guest("test")).active
        xml = f"<domainsnapshot><name>{name}</name>{disks}</domainsnapshot>"
        return await engine.create_snapshot("test", xml, ["disk-only"] if live else [])

    return act


async def delete(engine: Engine) -> None:
    await engine.delete_snapshot("test", "s")


async def copy(engine: Engine) -> None:
    await engine.block_copy("test", "vda", COPY)

    async def ready() -> bool:
        return any(job.ready for job in await engine.block_jobs("test"))

    await eventually(ready, "the copy does not get ready")
    await engine.abort_block_job("test", "vda", ["pivot"])


async def pull(engine: Engine) -> None:
    await engine.block_pull("test", "vda")

    async def done() -> bool:
        return not await engine.block_jobs("test")

    await eventually(done, "the pull does not end")


@dataclass(frozen=True)
class Case:
    act: Act
    before: tuple[Act, ...] = ()
    live: bool = True


CASES: Mapping[str, Case] = {
    "a layer is added": Case(snapshot("s", "external")),
    "a layer is added while it is off": Case(snapshot("s", "external"), live=False),
    "a snapshot inside": Case(snapshot("s", "internal")),
    "a snapshot inside while it is off": Case(snapshot("s", "internal"), live=False),
    "a layer is merged": Case(delete, (snapshot("s", "external"),)),
    "a lower layer is merged": Case(delete, (snapshot("s", "external"), snapshot("t", "external"))),
    "a layer is merged while it is off": Case(delete, (snapshot("s", "external"),), live=False),
    "one inside goes": Case(delete, (snapshot("s", "internal"),), live=False),
    "the disk is copied": Case(copy),
    "layers are pulled": Case(pull, (snapshot("s", "external"),)),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_death_at_every_moment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontinus.engine.snapshot.aftermath.ENDING", 0.02)
    case = CASES[name]
    folders = Paths(*(str(tmp_path / n) for n in ("config", "state", "run", "log", "cache")))

    async def prepare() -> World:
        engine = await mock_engine(folders, fixture=False)
        session = engine.session(ROOT)
        await session.define(document(DISK))
        if case.live:
            await session.start("test")
        for act in case.before:
            await act(session)
        await forget(engine)
        return engine.world

    async def check(engine: LocalEngine) -> None:
        session, record = engine.session(ROOT), engine.world.guests.find("test")
        assert record.books.pending is None and (await session.guest("test")).state == (
            "running" if case.live else "shutoff"
        )
        defined = paths(record.need_definition().devices.disks[0])
        assert paths(record.guest.devices.disks[0])[: len(defined)] == defined, "the guest and its definition differ"
        images = engine.world.images
        assert isinstance(images, MemoryImages)
        job = [disk.mirror for disk in record.guest.devices.disks if disk.mirror is not None]
        held = {path for s in record.books.snapshots for path in paths(s.guest.devices.disks[0])}  # type: ignore[union-attr]
        spare = {"/a.qcow2", "/copy", *defined, *paths(record.guest.devices.disks[0])}
        assert held | set(defined) <= set(images.files) | {"/a.qcow2"}, "an image is lost"
        assert set(images.files) <= held | spare and (not job or "/copy" in images.files), "an image is left over"
        inside = images.files["/a.qcow2"].snapshots if "/a.qcow2" in images.files else []
        known = {s.name for s in record.books.snapshots if s.disk_kind == "internal" and not case.live}
        assert set(inside) == known, f"inside: {inside}, in the books: {known}"

    async def act(engine: LocalEngine) -> None:
        await case.act(engine.session(ROOT))

    assert await every_death(prepare, act, check) >= 3
