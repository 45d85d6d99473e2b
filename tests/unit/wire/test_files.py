"""Descriptors that clients hand to the engine: kept as long as they should be, closed on every other path, never too many."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from frontinus.api.descriptor import Descriptor
from frontinus.api.engine import Engine
from frontinus.api.errors import Busy, Denied, FrontinusError, InvalidValue, NoSuchGuest, Unsupported, WrongState
from frontinus.client.remote import connect
from frontinus.client.thin import ThinEngine
from frontinus.daemon import server as module
from frontinus.daemon.server import Server
from frontinus.engine.guest.fdgroups import FdGroups
from frontinus.engine.local import LocalEngine
from frontinus.wire.frames import Call, Cancel, encode, frame
from frontinus.wire.passing import MAX_FDS
from frontinus.wire.surface import method, names
from support.mocked import XML
from support.waiting import until


@pytest.fixture
async def server(local: LocalEngine, engine: Engine, tmp_path: Path) -> AsyncIterator[Server]:
    await engine.define(XML.format(name="a"))
    server = Server(tmp_path / "frontinus.sock", local.session, readonly=False, mode=0o600)
    yield server
    server.close()


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Engine]:
    async with await connect(server.path) as remote:
        yield remote


@pytest.fixture
def image(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "image", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def copies(tmp_path: Path) -> int:
    """How often this process has the image open, the test's own descriptor apart."""
    return links().count(str(tmp_path / "image")) - 1


def counts(groups: FdGroups) -> dict[str, int]:
    return {name: len(modes) for name, modes in groups.modes().items()}


def links() -> list[str]:
    """What this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return found


async def give(engine: Engine, name: str, *fds: int) -> None:
    await engine.associate_descriptors("a", name, [Descriptor(fd) for fd in fds])


def test_methods_that_take_descriptors() -> None:
    taking = {name: found.files for name in names() if (found := method(name)) and found.files}
    assert taking == {"associate_descriptors": "descriptors", "start_with_files": "files", "create_with_files": "files",
                      "monitor_command_with_files": "files"}  # fmt: skip


async def test_they_stay_until_their_connection_ends(
    server: Server, local: LocalEngine, image: int, tmp_path: Path
) -> None:
    groups = local.world.guests.find("a").fdgroups
    async with await connect(server.path) as caller:
        await give(caller, "g", image, image)
        await give(caller, "h", image)
        assert counts(groups) == {"g": 2, "h": 1}
        await until(lambda: copies(tmp_path) == 3)  # those of the calls are closed
        await give(caller, "g", image)  # in place of the others
        await until(lambda: copies(tmp_path) == 2)
        for fd in (taken := groups.copy("g")):
            assert os.path.sameopenfile(fd, image) and not os.get_inheritable(fd)
            os.close(fd)
        assert len(taken) == 1
    await until(lambda: counts(groups) == {} and copies(tmp_path) == 0)
    with pytest.raises(WrongState, match="went with the connection"):
        groups.copy("g")


async def test_another_connection_has_them_too_and_ends_only_its_own(
    server: Server, caller: Engine, local: LocalEngine, image: int
) -> None:
    groups = local.world.guests.find("a").fdgroups
    async with await connect(server.path) as other:
        await give(caller, "kept", image)
        await give(caller, "taken over", image)
        await give(other, "taken over", image, image)
    await until(lambda: counts(groups) == {"kept": 1})


async def test_they_go_with_their_guest_and_with_the_engine(
    caller: Engine, local: LocalEngine, image: int, tmp_path: Path
) -> None:
    await give(caller, "g", image)
    await caller.undefine("a")
    await until(lambda: copies(tmp_path) == 0)
    await caller.define(XML.format(name="a"))
    assert counts(local.world.guests.find("a").fdgroups) == {}
    await give(caller, "g", image)
    await local.stop()
    await until(lambda: copies(tmp_path) == 0)


async def test_what_is_refused_leaves_nothing(
    caller: Engine, engine: Engine, local: LocalEngine, image: int, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported, match="this caller has none"):
        await give(engine, "g", image)
    for name, fds in (("", [image]), ("g\n", [image]), ("g" * 256, [image]), ("g", []), ("g", [image] * (MAX_FDS + 1)),
                      ("g", [99_999]), ("g", [-1])):  # fmt: skip
        with pytest.raises(InvalidValue):
            await give(caller, name, *fds)
    with pytest.raises(NoSuchGuest):
        await caller.associate_descriptors("nobody", "g", [Descriptor(image)])
    reader = Server(tmp_path / "frontinus-ro.sock", local.session, readonly=True, mode=0o600)
    async with await connect(reader.path) as watcher:
        with pytest.raises(Denied):
            await give(watcher, "g", image)
    reader.close()
    await until(lambda: copies(tmp_path) == 0)


async def test_a_client_without_an_event_loop_gives_them_too(
    server: Server, local: LocalEngine, image: int, tmp_path: Path
) -> None:
    def ask() -> None:
        with ThinEngine(server.path, timeout=60) as engine:
            engine.call(Engine.associate_descriptors, "a", "g", [Descriptor(image)])
            assert counts(local.world.guests.find("a").fdgroups) == {"g": 1}
            with pytest.raises(InvalidValue):
                engine.call(Engine.associate_descriptors, "a", "g", [Descriptor(99_999)])

    await asyncio.to_thread(ask)
    await until(lambda: copies(tmp_path) == 0)


async def test_files_for_the_first_process_are_for_guests_that_have_one(
    caller: Engine, local: LocalEngine, image: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (await caller.start_with_files("a", [Descriptor(image)], ["paused"])).state == "paused"
    assert (await caller.create_with_files(XML.format(name="b"), [Descriptor(image)])).active
    monkeypatch.setattr(local.world.hypervisor, "takes_files", False)
    await caller.destroy("a")
    for call in (caller.start_with_files("a", []), caller.create_with_files(XML.format(name="c"), [Descriptor(image)])):
        with pytest.raises(Unsupported, match="containers"):
            await call
    await until(lambda: copies(tmp_path) == 0)


async def test_the_monitor_is_given_them(
    caller: Engine, local: LocalEngine, image: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await caller.start("a")
    process, seen = local.world.guests.find("a").need_running().process, list[bool]()

    async def command(command: str, *, hmp: bool, fds: Sequence[int] = ()) -> str:
        seen.extend(os.path.sameopenfile(fd, image) for fd in fds)
        return "{}"

    monkeypatch.setattr(process, "monitor_command", command)
    await caller.monitor_command_with_files("a", "add-fd", [Descriptor(image), Descriptor(image)])
    assert seen == [True, True]
    with pytest.raises(InvalidValue, match="human monitor"):
        await caller.monitor_command_with_files("a", "info", [Descriptor(image)], hmp=True)


# --- clients without manners


def request(number: int, name: str, fds: int, **arguments: object) -> bytes:
    return frame(Call(number, name, msgspec.Raw(encode(arguments)), fds=fds))  # type: ignore[arg-type]


HOSTILE: dict[str, Callable[[socket.socket, int], object]] = {
    "more than a frame has": lambda sock, fd: socket.send_fds(sock, [b"\0"], [fd] * (MAX_FDS + 1)),
    "one after the other for a frame that never ends": lambda sock, fd: [
        socket.send_fds(sock, [byte], [fd] * 4) for byte in (b"\x00", b"\x40", b"\x40", b"\x40", b"\x40")],
    "fewer than it says": lambda sock, fd: socket.send_fds(sock, [request(1, "guests", 2)], [fd]),
    "less than none": lambda sock, fd: socket.send_fds(sock, [request(1, "guests", -2)], [fd]),
    "very many": lambda sock, fd: socket.send_fds(sock, [request(1, "guests", 2**31)], [fd]),
    "nonsense": lambda sock, fd: socket.send_fds(sock, [b"\x00\x00\x00\x01\xc1"], [fd] * 3),
}  # fmt: skip


@pytest.mark.parametrize("act", HOSTILE.values(), ids=HOSTILE)
async def test_who_gives_them_otherwise_is_cut_off(
    server: Server, caller: Engine, image: int, tmp_path: Path, act: Callable[[socket.socket, int], object]
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(server.path))
        act(sock, image)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionResetError):  # what it sent besides was not even read
                while await asyncio.get_running_loop().sock_recv(sock, 4096):
                    pass
    assert [guest.name for guest in await caller.guests()] == ["a"]
    await until(lambda: copies(tmp_path) == 0)


async def test_where_none_are_wanted_they_are_closed_and_the_call_refused(
    server: Server, image: int, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(server.path))
        for number in range(5):
            socket.send_fds(sock, [request(number, "guests", 3)], [image] * 3)
            async with asyncio.timeout(60):
                assert b"takes no descriptors" in await asyncio.get_running_loop().sock_recv(sock, 4096)
        await until(lambda: copies(tmp_path) == 0)


async def test_a_call_that_was_cancelled_before_it_began(
    server: Server, caller: Engine, image: int, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(server.path))
        cancelled = request(1, "start_with_files", 2, guest="a", files=[]) + frame(Cancel(1))
        socket.send_fds(sock, [cancelled], [image] * 2)
        assert await caller.guests()
        await until(lambda: copies(tmp_path) == 0)


async def test_a_user_has_so_many_and_the_others_theirs(
    local: LocalEngine, engine: Engine, tmp_path: Path, image: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.define(XML.format(name="a"))
    monkeypatch.setattr(module, "MAX_FDS_KEPT", 40)
    server = Server(tmp_path / "frontinus.sock", local.session, readonly=False, mode=0o600)
    refused = 0
    async with await connect(server.path) as one, await connect(server.path) as two:
        for number in range(30):  # ten of a user's are open at most, the two of the call under way among them
            try:
                await give(one if number % 2 else two, f"g{number}", image, image)
            except (Busy, FrontinusError):
                refused += 1
                break
        assert refused and copies(tmp_path) <= 12
        whole = server._allowances
        assert whole is not None
        whole.take(70_001, 5)  # another's
        whole.give_back(70_001, 5)
    await until(lambda: copies(tmp_path) == 0 and not whole._held)
    server.close()


async def test_a_descriptor_whose_closing_takes_long_holds_nobody_up(
    server: Server, caller: Engine, image: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, waiting, close = threading.Event(), threading.Event(), os.close

    def closing(fd: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            waiting.set()
            slow.wait(60)
        close(fd)

    monkeypatch.setattr(os, "close", closing)
    await give(caller, "g", image)
    await asyncio.to_thread(waiting.wait, 60)
    assert await caller.guests()
    assert server._allowances is not None and server._allowances._held.total() == 2  # it counts until it is closed
    slow.set()
    await until(lambda: copies(tmp_path) == 1)
