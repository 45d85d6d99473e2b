"""An engine on this host's own storage, and documents of pools for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.engine.local import LocalEngine
from frontinus.linux.keeper import HostKeeper
from frontinus.linux.storage.host import LinuxStorage
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.store import MemoryStore


async def linux_engine(folder: Path, store: MemoryStore | None = None) -> LocalEngine:
    """An engine whose storage is this host's and whose guests are a mock's."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    mock = (await mock_engine(fixture=False)).world
    world = replace(mock, store=store or MemoryStore(), storage=LinuxStorage(run), keeper=HostKeeper(run))
    engine = LocalEngine(world)
    await engine.start(autostart=False)
    return engine


def pool(folder: Path, name: str = "p", kind: str = "dir", source: str = "") -> str:
    return (
        f"<pool type='{kind}'><name>{name}</name><source>{source}</source><target><path>{folder}</path></target></pool>"
    )


@dataclass
class LinuxRig:
    """What the storage contract wants of a host: the engine, its facade for root, the folder of a running pool "p"."""

    engine: LocalEngine
    session: Engine
    folder: Path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[LinuxRig]:
    engine = await linux_engine(tmp_path)
    session = engine.session(ROOT)
    await session.define_pool(pool(tmp_path / "images"))
    await session.start_pool("p", build=[])
    yield LinuxRig(engine, session, tmp_path / "images")
    await engine.stop()
