"""An engine on this host's own storage, and documents of pools for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from frontinus.engine.local import LocalEngine
from frontinus.linux.keeper import HostKeeper
from frontinus.linux.storage.host import LinuxStorage
from frontinus.mock.engine import mock_engine
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
