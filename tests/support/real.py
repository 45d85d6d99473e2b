"""Fixtures of the tests on real guests: tests/system, tests/faults and tests/bench import them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import guest_image as images
from support import traces
from support.ending import end_all
from trial import Daemon


@pytest.fixture(scope="session")
def guest_image() -> Iterator[images.GuestImage]:
    """Kernel and initrd of the small test guest (tools/guest_image.py), where every guest's user can read them."""
    with _image(agent=False) as image:
        yield image


@pytest.fixture(scope="session")
def agent_image() -> Iterator[images.GuestImage]:
    """The same with QEMU's guest agent in it."""
    with _image(agent=True) as image:
        yield image


@contextmanager
def _image(*, agent: bool) -> Iterator[images.GuestImage]:
    try:
        built = images.build(agent=agent)
    except images.GuestImageError as error:
        pytest.skip(f"no guest image: {error}")
    with tempfile.TemporaryDirectory(prefix="frontinus-image-") as name:
        Path(name).chmod(0o755)
        yield built.copy_to(Path(name))


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder whose path is short enough for sockets and that a guest's own user can pass through.

    The test has failed if a process is left on it afterwards; it is killed then.
    """
    folder = Path(tempfile.mkdtemp(prefix="frontinus-test-"))
    folder.chmod(0o711)
    yield folder
    left = traces.left(str(folder))
    traces.kill(str(folder))
    shutil.rmtree(folder)
    assert not left, f"left over: {left}"


@pytest.fixture(scope="session")
def probed() -> Iterator[Path]:
    """What earlier tests' daemons have learned of this host's QEMU, so that not every one probes it."""
    with tempfile.TemporaryDirectory(prefix="frontinus-probed-") as name:
        yield Path(name)


@pytest.fixture
async def daemon(place: Path, probed: Path) -> AsyncIterator[Daemon]:
    """A running frontinusd; whatever guests the test left are ended before it is stopped."""
    daemon = Daemon(place)
    found = place / "cache/capabilities"
    shutil.copytree(probed, found)
    await daemon.start()
    try:
        yield daemon
        if daemon.process is not None and daemon.process.returncode is None:
            async with daemon.engine() as engine:
                await end_all(engine)
    finally:
        await daemon.stop()
    if found.exists():
        shutil.copytree(found, probed, dirs_exist_ok=True)
