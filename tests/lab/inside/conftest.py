"""What runs inside the lab's VM, and nowhere else: these tests load modules, make disks, start servers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from trial import Daemon

INSIDE = os.environ.get("FRONTINUS_LAB") == "1"
collect_ignore_glob = [] if INSIDE else ["*"]
START_SECONDS = 200.0
"""The VM's processor is emulated: Python alone needs half a minute to bring in an engine."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def daemon() -> AsyncIterator[Daemon]:
    """One frontinusd for a group's tests, which are on the session's loop."""
    folder = Path(tempfile.mkdtemp(prefix="frontinus-test-"))
    folder.chmod(0o711)
    daemon = Daemon(folder, deadline=START_SECONDS)
    await daemon.start()
    yield daemon
    await daemon.stop()
