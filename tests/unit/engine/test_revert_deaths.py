"""The engine dies at every moment of going back to a snapshot: the next one finishes it, or leaves the guest as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from frontinus.api.snapshots import RevertFlag
from frontinus.domain.host import Paths
from frontinus.domain.snapshots.chain import paths
from frontinus.engine.local import LocalEngine
from frontinus.engine.world import World
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.images import MemoryImages
from support.guests import document
from support.mortal import every_death, forget

DISK = "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
EXTERNAL = "<disks><disk name='vda' snapshot='external'/></disks>"


@dataclass(frozen=True)
class Case:
    """How the snapshot is made, and what the guest is afterwards that ran before."""

    inside: str = ""
    live: bool = False
    flags: Sequence[RevertFlag] = ()
    state: str = "shutoff"
    least: int = 5
    """Calls without which it cannot have been done."""


CASES = {
    "internal, off": Case(),
    "internal, off, to be started": Case(flags=("running",), state="running"),
    "external, off": Case(EXTERNAL),
    "external, off, to be paused": Case(EXTERNAL, flags=("paused",), state="paused"),
    "internal with memory": Case(live=True, state="running"),
    "internal with memory, paused": Case(live=True, flags=("paused",), state="paused"),
    "external with memory": Case("<memory file='{place}/memory'/>", live=True, state="running"),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_death_at_every_moment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontinus.engine.snapshot.aftermath.ENDING", 0.02)  # the mock's guests end at once
    case, number = CASES[name], iter(range(1000))

    async def prepare() -> World:
        place = tmp_path / str(next(number))
        place.mkdir()
        folders = Paths(*(str(place / n) for n in ("config", "state", "run", "log", "cache")))
        engine = await mock_engine(folders, fixture=False)
        session = engine.session(ROOT)
        await session.define(document(DISK))
        if case.live:
            await session.start("test")
        inside = case.inside.format(place=place)
        await session.create_snapshot("test", f"<domainsnapshot><name>s</name>{inside}</domainsnapshot>")
        if not case.live:
            await session.start("test")
        await session.create_snapshot("test", "<domainsnapshot><name>later</name></domainsnapshot>", ["disk-only"])
        await forget(engine)
        return engine.world

    async def check(engine: LocalEngine) -> None:
        session, record = engine.session(ROOT), engine.world.guests.find("test")
        (guest,) = await session.guests()
        back = (await session.current_snapshot("test")).name == "s"
        assert record.books.pending is None and (guest.state == (case.state if back else "running"))
        files = paths(record.need_definition().devices.disks[0])
        assert files[0].startswith("/a.s-") if back and case.inside else True, files
        assert paths(record.guest.devices.disks[0])[: len(files)] == files
        images = engine.world.images
        assert isinstance(images, MemoryImages)
        held = {path for s in record.books.snapshots for path in paths(s.guest.devices.disks[0])}  # type: ignore[union-attr]
        assert set(images.files) - {"/a.qcow2"} <= held | set(files), "a layer is left that nobody needs"
        assert set(files) - set(images.files) <= {"/a.qcow2"}, "a layer is missing"

    async def act(engine: LocalEngine) -> None:
        await engine.session(ROOT).revert_snapshot("test", "s", list(case.flags))

    assert await every_death(prepare, act, check) >= case.least
