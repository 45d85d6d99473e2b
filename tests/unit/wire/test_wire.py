"""The facade over a socket: the same answers as in process, descriptors, streams, identity, hostile bytes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import ERRORS, Denied, Disconnected, InternalError, InvalidValue, NoSuchGuest
from frontinus.api.events import LifecycleEvent
from frontinus.api.identity import Identity
from frontinus.api.permissions import PERMISSIONS
from frontinus.api.views import Snapshot
from frontinus.client.remote import RemoteEngine, as_engine, connect
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.wire.frames import MAX_REQUEST, Failure, Unframer, frame
from frontinus.wire.surface import method, names

XML = "<domain type='qemu'><name>{}</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalEngine]:
    engine = await mock_engine(Paths(*[str(tmp_path)] * 5))
    servers = [Server(tmp_path / name, engine.session, readonly=readonly, mode=0o600)
               for name, readonly in (("frontinus.sock", False), ("frontinus-ro.sock", True))]  # fmt: skip
    yield engine
    for server in servers:
        server.close()
    await engine.stop()


@pytest.fixture
async def remote(local: LocalEngine, tmp_path: Path) -> AsyncIterator[Engine]:
    async with await connect(tmp_path / "frontinus.sock") as engine:
        yield engine


def test_surface_is_the_whole_facade() -> None:
    methods = [found for name in names() if (found := method(name))]
    assert {found.name for found in methods} == set(PERMISSIONS)
    assert [found.name for found in methods if found.stream] == ["watch", "watch_monitor"]
    assert {found.name for found in methods if found.descriptor} == {
        "open_console", "upload_volume", "download_volume", "upload_pieces", "download_pieces", "open_graphics"}  # fmt: skip
    assert method("__init__") is None


async def test_same_answers_as_in_process(local: LocalEngine, remote: Engine) -> None:
    here = local.session(ROOT)
    assert await remote.guests() == await here.guests()
    assert await remote.guest_xml("test") == await here.guest_xml("test")
    assert (await remote.define(XML.format("over"))).name == "over"
    assert [s.name for s in await remote.stats(groups=["cpu"])] == ["over", "test"]


async def test_errors_keep_their_class(remote: Engine) -> None:
    with pytest.raises(NoSuchGuest) as caught:
        await remote.guest("nobody")
    assert caught.value.details == {"guest": "nobody"}
    with pytest.raises(InvalidValue):
        await remote.guest("test", "too many")  # type: ignore[call-arg]
    with pytest.raises(InvalidValue):
        await remote.set_memory("test", "many")  # type: ignore[arg-type]


def test_every_error_crosses() -> None:
    for code, cls in ERRORS.items():
        assert type(Failure(1, code, "m", {}).error()) is cls
    assert type(Failure(1, "of-the-future", "m", {}).error()).code == "failed"


async def test_a_call_that_is_too_long_is_refused_and_the_connection_stays(remote: Engine) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(InvalidValue, match="a call has at most"):
            await remote.define("a" * MAX_REQUEST)
        await remote.version()


async def test_stream_and_its_end(local: LocalEngine, remote: Engine) -> None:
    stream = remote.watch()
    first = await anext(stream)
    assert isinstance(first, Snapshot) and [g.name for g in first.guests] == ["test"]
    await local.session(ROOT).suspend("test")
    event = await anext(stream)
    assert isinstance(event, LifecycleEvent) and (event.kind, event.name) == ("suspended", "test")
    local.world.bus.close()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_what_is_done_is_in_the_stream_when_its_caller_hears_so(remote: Engine) -> None:
    seen: set[str] = set()
    ready = asyncio.Event()

    async def follow() -> None:
        async for item in remote.watch():
            ready.set()
            if isinstance(item, LifecycleEvent):
                seen.add(item.name)

    following = asyncio.create_task(follow())
    await ready.wait()
    for number in range(20):
        await remote.define(XML.format(f"g{number}"))
        assert f"g{number}" in seen
    following.cancel()


async def test_monitor_socket_cannot_write(local: LocalEngine, tmp_path: Path) -> None:
    async with await connect(tmp_path / "frontinus-ro.sock") as reader:
        assert len(await reader.guests()) == 1
        with pytest.raises(Denied):
            await reader.destroy("test")


async def test_an_adapter_never_gains_by_speaking_for_root(local: LocalEngine, tmp_path: Path) -> None:
    connection = await connect(tmp_path / "frontinus-ro.sock")
    with pytest.raises(Denied):
        await as_engine(connection.speaking_for(Identity(uid=0, gid=0))).destroy("test")
    connection.close()
    connection = await connect(tmp_path / "frontinus.sock")
    with pytest.raises(Denied):
        await as_engine(connection.speaking_for(Identity(uid=9, gid=9, readonly=True))).destroy("test")
    connection.close()


async def test_descriptor_crosses(local: LocalEngine, remote: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"hello")
    os.close(write_end)

    async def opened(guest: str, device: str | None = None, force: bool = False) -> int:
        return read_end

    monkeypatch.setitem(local._use_cases, "open_console", opened)
    fd = await remote.open_console("test")
    assert os.read(fd, 10) == b"hello"
    assert not os.get_inheritable(fd)
    os.close(fd)


async def test_lost_engine_fails_calls_and_streams(local: LocalEngine, tmp_path: Path) -> None:
    left, right = socket.socketpair()
    engine = RemoteEngine(left)
    call = asyncio.ensure_future(as_engine(engine).guests())
    await asyncio.sleep(0)
    right.close()
    with pytest.raises(Disconnected):
        await call


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", frame(Failure(1, "x", "y")), b"\x00\x00\x00\x02\xc1\xc1"])
async def test_hostile_bytes_close_only_their_connection(
    local: LocalEngine, remote: Engine, tmp_path: Path, data: bytes
) -> None:
    bad = socket.socket(socket.AF_UNIX)
    bad.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(bad, str(tmp_path / "frontinus.sock"))
    await loop.sock_sendall(bad, data)
    async with asyncio.timeout(60):
        assert await loop.sock_recv(bad, 100) == b""
    bad.close()
    assert len(await remote.guests()) == 1


def test_frames_are_limited_before_they_are_kept() -> None:
    unframer = Unframer(MAX_REQUEST)
    with pytest.raises(InternalError):
        unframer.feed((MAX_REQUEST + 1).to_bytes(4, "big"))
    whole = b"\x00\x00\x00\x03abc\x00\x00\x00\x01d"
    unframer = Unframer(10)
    assert [f for n in range(len(whole)) for f in unframer.feed(whole[n : n + 1])] == [b"abc", b"d"]
