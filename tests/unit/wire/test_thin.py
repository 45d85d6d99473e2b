"""The facade without an event loop: the same answers, deadlines, reconnecting, and nothing imported that is not needed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, InternalError, InvalidValue, NoSuchGuest, Unresponsive, Unsupported
from frontinus.api.views import VersionView
from frontinus.client.thin import ThinEngine
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.wire.frames import Result, encode, frame

VERSION = VersionView(frontinus="1", api=1, hypervisor="qemu", hypervisor_version=(7, 2, 0))


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalEngine]:
    engine = await mock_engine(Paths(*[str(tmp_path)] * 5), guests=2)
    server = Server(tmp_path / "frontinus.sock", engine.session, readonly=False, mode=0o600)
    yield engine
    server.close()
    await engine.stop()


def test_it_needs_no_event_loop_and_no_xml() -> None:
    code = "import sys, frontinus.client.thin; print([m for m in ('asyncio', 'lxml', 'threading') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_same_answers(local: LocalEngine, tmp_path: Path) -> None:
    here = local.session(ROOT)

    def ask() -> None:
        with ThinEngine(tmp_path / "frontinus.sock") as engine:
            assert not engine.connected
            assert [guest.name for guest in engine.call(Engine.guests, active=True)] == [g.name for g in views]
            assert engine.connected
            assert engine.call(Engine.host).cpus == 8
            assert [s.name for s in engine.call(Engine.stats, groups=["cpu"], max_age=60.0)] == [g.name for g in views]
            assert engine.guests(active=False) == []
            with pytest.raises(NoSuchGuest) as caught:
                engine.call(Engine.guest, "nobody")
            assert caught.value.details == {"guest": "nobody"}
            assert engine.call(Engine.guest, "test").name == "test"  # an error leaves the connection usable
        assert not engine.connected

    views = await here.guests(active=True)
    await asyncio.to_thread(ask)


async def test_what_it_cannot_do(local: LocalEngine, tmp_path: Path) -> None:
    with ThinEngine(tmp_path / "frontinus.sock") as engine:
        with pytest.raises(Unsupported):
            engine.watch()
        with pytest.raises(InvalidValue):
            engine.guest("one", "too many")
        with pytest.raises(AttributeError):
            engine.no_such_method()
        assert not engine.connected


async def test_a_descriptor_crosses(local: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"hello")
    os.close(write_end)

    async def opened(guest: str, device: str | None = None, force: bool = False) -> int:
        return read_end

    def ask() -> None:
        with ThinEngine(tmp_path / "frontinus.sock") as engine:
            fd = engine.call(Engine.open_console, "test")
        with os.fdopen(fd, "rb") as console:
            assert not os.get_inheritable(fd)
            assert console.read() == b"hello"

    monkeypatch.setitem(local._use_cases, "open_console", opened)
    await asyncio.to_thread(ask)


def test_nobody_there(tmp_path: Path) -> None:
    with ThinEngine(tmp_path / "none.sock") as engine, pytest.raises(Disconnected, match="is frontinusd running"):
        engine.call(Engine.version)


async def test_a_lost_connection_is_made_anew(local: LocalEngine, tmp_path: Path) -> None:
    path = tmp_path / "again.sock"
    server = Server(path, local.session, readonly=True, mode=0o600)
    with ThinEngine(path) as engine:
        await asyncio.to_thread(engine.call, Engine.version)
        server.close()
        with pytest.raises(Disconnected):
            await asyncio.to_thread(engine.call, Engine.version)
        server = Server(path, local.session, readonly=True, mode=0o600)
        assert (await asyncio.to_thread(engine.call, Engine.version)).frontinus
    server.close()


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "odd.sock"))
    sock.listen(1)
    return sock


def test_silence_ends_at_the_deadline(listener: socket.socket, tmp_path: Path) -> None:
    with listener, ThinEngine(tmp_path / "odd.sock", timeout=0.2) as engine:
        began = time.monotonic()
        with pytest.raises(Unresponsive, match="within 0.2 s"):
            engine.call(Engine.stats)
        assert 0.2 <= time.monotonic() - began < 30
        assert not engine.connected  # a late answer cannot be taken for the next call's


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x06\x94\xa6result"[:11] + b"x" * 10,
        frame(Result(7, msgspec.Raw(encode(VERSION)))),
    ],  # fmt: skip
    ids=["too long", "no message", "cut up", "the answer to another call"],
)
def test_nonsense_is_an_error_of_its_own(listener: socket.socket, tmp_path: Path, bytes_sent: bytes) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(bytes_sent)

    peer = threading.Thread(target=answer)
    peer.start()
    with listener, ThinEngine(tmp_path / "odd.sock", timeout=60) as engine:
        with pytest.raises((InternalError, Disconnected)):
            engine.call(Engine.version)
        assert not engine.connected
    peer.join()
