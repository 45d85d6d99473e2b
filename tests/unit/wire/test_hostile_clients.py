"""What a client does to the daemon's sockets, without rights and without manners."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Busy, Disconnected
from frontinus.api.identity import Identity
from frontinus.client.remote import connect
from frontinus.daemon import server as module
from frontinus.daemon.server import Server
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT
from frontinus.wire import channel
from frontinus.wire.channel import Channel
from frontinus.wire.frames import MAX_ANSWER, Call, Unframer, frame


@pytest.fixture
async def server(local: LocalEngine, tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "frontinus-ro.sock", local.session, readonly=True, mode=0o600)
    yield server
    server.close()


async def client(server: Server) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, str(server.path))
    return sock


def call(number: int, method: str) -> bytes:
    return frame(Call(number, method, msgspec.Raw(b"\x80")))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_descriptors_of_clients_are_not_kept(server: Server) -> None:
    sock = await client(server)
    async with await connect(server.path) as engine:
        await engine.guests()
        before = descriptors()
        for number in range(50):
            socket.send_fds(sock, [call(number, "guests")], [sock.fileno()] * 10)
        await engine.guests()
        assert descriptors() <= before
    sock.close()


async def test_who_leaves_its_answers_lying_is_not_served_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "HIGH_WATER", 100_000)
    sock = await client(server)
    sent = full = 0
    async with await connect(server.path) as engine:
        while full < 5:
            before = sent
            with contextlib.suppress(BlockingIOError):
                while sock.send(call(sent, "capabilities")):
                    sent += 1
                    assert sent < 50_000, "requests are taken without end"
            full = full + 1 if sent == before else 0
            await engine.guests()  # the daemon had a turn
    unframer, taken = Unframer(MAX_ANSWER), 0
    async with asyncio.timeout(60):
        while taken < sent:  # it goes on as soon as the answers are taken
            taken += len(unframer.feed(await asyncio.get_running_loop().sock_recv(sock, 1 << 20)))
    sock.close()


async def test_one_user_keeps_nobody_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OF_A_USER", 3)
    uid = 70_001
    monkeypatch.setattr(module, "peer", lambda sock, readonly: Identity(uid=uid, gid=1, readonly=readonly))
    crowd = [await client(server) for _ in range(5)]
    async with asyncio.timeout(60):
        for sock in crowd[3:]:
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    uid = 70_002
    async with await connect(server.path) as other:
        assert await other.guests() == []
    for sock in crowd:
        sock.close()


async def test_one_connection_has_so_many_calls_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CALLS", 3)
    async with await connect(server.path) as engine, contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            stream = await stack.enter_async_context(contextlib.aclosing(engine.watch()))
            await anext(stream)
        with pytest.raises(Busy, match="3 calls are under way"):
            await engine.guests()
        await stack.aclose()
        await until_served(engine)


async def until_served(engine: Engine) -> None:
    """Streams end a moment after they were closed."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Busy):
                assert await engine.guests() == []
                return


async def test_without_descriptors_it_waits_before_it_takes_more(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.2)
    listening, tries = server._sock, 0

    class Poor:
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise OSError(errno.EMFILE, "Too many open files")
            return listening.accept()

        def fileno(self) -> int:
            return listening.fileno()

        def close(self) -> None:
            listening.close()

    monkeypatch.setattr(server, "_sock", Poor())
    async with await connect(server.path) as engine:
        assert await engine.guests() == []
    assert tries == 3


async def test_a_descriptor_for_who_is_gone_is_closed() -> None:
    left, right = socket.socketpair()
    one = Channel(left, 100, lambda data: None, lambda: None)
    one.close()
    before = descriptors()
    with pytest.raises(Disconnected):
        one.send(b"data", [os.open(os.devnull, os.O_RDONLY)])
    assert descriptors() <= before
    right.close()


async def test_a_user_of_very_many_groups_is_refused_and_no_more(
    server: Server, local: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peer(sock: socket.socket, *, readonly: bool) -> Identity:
        raise OSError(errno.ERANGE, "Numerical result out of range")

    with monkeypatch.context() as patched:
        patched.setattr(module, "peer", peer)
        sock = await client(server)
        async with asyncio.timeout(60):
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    async with await connect(server.path) as engine:
        assert await engine.guests() == await local.session(ROOT).guests()
    sock.close()
