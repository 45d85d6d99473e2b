"""Fixtures of the tests on real guests: tests/system, tests/faults and tests/bench import them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import guest_image as images
from support import traces
from trial import Daemon


@pytest.fixture(scope="session")
def guest_image() -> images.GuestImage:
    """Kernel and initrd of the small test guest (tools/guest_image.py)."""
    return _image(agent=False)


@pytest.fixture(scope="session")
def agent_image() -> images.GuestImage:
    """The same with QEMU's guest agent in it."""
    return _image(agent=True)


def _image(*, agent: bool) -> images.GuestImage:
    try:
        return images.build(agent=agent)
    except images.GuestImageError as error:
        pytest.skip(f"no guest image: {error}")


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder whose path is short enough for sockets and that a guest's own user can pass through.

    The test has failed if a process is left on it afterwards; it is killed then.
    """
    folder = Path(tempfile.mkdtemp(prefix="frontinus-test-"))
    folder.chmod(0o711)
    yield folder
    left = traces.processes(str(folder))
    traces.kill(str(folder))
    shutil.rmtree(folder)
    assert not left, f"left over: {left}"


@pytest.fixture
async def daemon(place: Path) -> AsyncIterator[Daemon]:
    """A running frontinusd; whatever guests the test left are ended before it is stopped."""
    daemon = Daemon(place)
    await daemon.start()
    try:
        yield daemon
        if daemon.process is not None and daemon.process.returncode is None:
            async with daemon.engine() as engine:
                for guest in await engine.guests(active=True):
                    await engine.destroy(guest.uuid)
    finally:
        await daemon.stop()
