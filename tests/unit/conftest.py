"""The engine on the mock hypervisor, with no guest in it; a file that needs it otherwise has fixtures of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalEngine]:
    paths = Paths(*(str(tmp_path / name) for name in ("config", "state", "run", "log", "cache")))
    engine = await mock_engine(paths, fixture=False)
    yield engine
    await engine.stop()


@pytest.fixture
async def engine(local: LocalEngine) -> Engine:
    """The facade, for root."""
    return local.session(ROOT)
