"""The storage contract on the mock; and what only a mock can show: kinds of pools on the recorded output of tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from contract.storage_contract import StorageContract
from frontinus.api.engine import Engine
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.storage import MemoryStorage

POOL = "<pool type='dir'><name>p</name><target><path>/p</path></target></pool>"


@dataclass
class MockRig:
    engine: LocalEngine
    session: Engine
    storage: MemoryStorage

    def names(self) -> list[str]:
        return sorted(path[3:] for path in self.storage.entries if path.startswith("/p/"))


class TestMock(StorageContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[MockRig]:
        engine = await mock_engine(fixture=False)
        storage = engine.world.storage
        assert isinstance(storage, MemoryStorage)
        session = engine.session(ROOT)
        await session.define_pool(POOL)
        await session.start_pool("p", build=[])
        yield MockRig(engine, session, storage)
        await engine.stop()
