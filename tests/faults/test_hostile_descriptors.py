"""Clients that pour descriptors into the daemon: it takes so many and no more, serves the others, and keeps none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from frontinus.api.descriptor import Descriptor
from frontinus.api.errors import Busy, Disconnected, FrontinusError
from frontinus.daemon.server import MAX_FDS_KEPT
from frontinus.wire.frames import Call, encode, frame
from frontinus.wire.passing import MAX_FDS
from support.traces import opened
from support.waiting import until
from trial import Daemon

OF_A_USER = MAX_FDS_KEPT // 4
CLIENTS = 60
"""With more descriptors than one user may have there."""
GUEST = "<domain type='qemu'><name>a</name><memory>65536</memory><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"


def held(daemon: Daemon, path: Path) -> int:
    """How often the daemon has a file open."""
    assert daemon.process is not None
    return list(opened(daemon.process.pid).values()).count(str(path))


def hung_up(sock: socket.socket) -> bool:
    """Whether the daemon has closed a connection."""
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextlib.asynccontextmanager
async def connected(daemon: Daemon) -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(daemon.socket))
        yield sock


@pytest.mark.needs("root")
async def test_no_client_takes_the_daemons_descriptors_away(daemon: Daemon, place: Path) -> None:
    image = place / "image"
    image.touch()
    with image.open() as file:
        pour = [file.fileno()] * MAX_FDS
        async with daemon.engine() as engine, contextlib.AsyncExitStack() as stack:
            await engine.define(GUEST)
            half = frame(Call(1, "guests", msgspec.Raw(encode({})), fds=MAX_FDS))[:-1]  # type: ignore[arg-type]
            clients = [await stack.enter_async_context(connected(daemon)) for _ in range(CLIENTS)]
            for sock in clients:  # each holds what came with a request that never ends
                with contextlib.suppress(OSError):
                    socket.send_fds(sock, [half], pour)
            await until(lambda: sum(map(hung_up, clients)) >= CLIENTS - OF_A_USER // MAX_FDS)
            await until(
                lambda: OF_A_USER - 2 * MAX_FDS < held(daemon, image) <= OF_A_USER
            )  # refused ones are closed aside
            assert [guest.name for guest in await engine.guests()] == ["a"]
            with pytest.raises(FrontinusError):  # one user's are used up, by whatever connection
                await engine.associate_descriptors("a", "g", [Descriptor(fd) for fd in pour])
        await until(lambda: held(daemon, image) == 0)
        async with daemon.engine() as engine:
            with pytest.raises((Busy, Disconnected)):
                for number in range(OF_A_USER // MAX_FDS + 1):
                    await engine.associate_descriptors("a", f"g{number}", [Descriptor(fd) for fd in pour])
            await until(lambda: held(daemon, image) <= OF_A_USER)
        await until(lambda: held(daemon, image) == 0)
