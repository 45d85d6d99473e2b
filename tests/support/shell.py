"""The `frontinus` command against a mock engine behind sockets."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frontinus.client import main
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import mock_engine

SERVING: dict[Path, LocalEngine] = {}
"""Engines by their sockets."""


@contextmanager
def serving(folder: Path) -> Iterator[Path]:
    """A mock engine behind sockets, on a loop of its own."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        engine = SERVING[folder / "frontinus.sock"] = await mock_engine(Paths(*[str(folder)] * 5), guests=1)
        names = (("frontinus.sock", False), ("frontinus-ro.sock", True))
        servers = [Server(folder / name, engine.session, readonly=readonly, mode=0o600) for name, readonly in names]
        ready.set()
        await stop.wait()
        for server in servers:
            server.close()
        await engine.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield folder / "frontinus.sock"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    with serving(tmp_path) as path:
        yield path


class Shell:
    """Runs the command and keeps what it printed."""

    def __init__(self, socket: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.socket, self.capsys = socket, capsys

    @contextmanager
    def meanwhile(self, *words: str) -> Iterator[None]:
        """Somebody else runs a command as soon as there is a listener to what happens."""

        bus = SERVING[self.socket].world.bus

        def wait(listened: bool) -> None:
            end = time.monotonic() + 60
            while bool(bus.readers) != listened and time.monotonic() < end:
                time.sleep(0.01)

        def run() -> None:
            wait(True)
            program = Path(sys.executable).with_name("frontinus")
            subprocess.run([str(program), "--socket", str(self.socket), *words], check=True, capture_output=True)

        wait(False)  # the listener before has gone
        other = threading.Thread(target=run)
        other.start()
        try:
            yield
        finally:
            other.join()

    def __call__(self, *words: str, code: int = 0) -> str:
        assert main.main(["--socket", str(self.socket), *words]) == code
        captured = self.capsys.readouterr()
        return captured.out if code == 0 else captured.err


@pytest.fixture
def shell(socket: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(socket, capsys)
