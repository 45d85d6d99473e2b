"""The other end of a QMP monitor, which says what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from frontinus.qemu.monitor.client import Event, Monitor

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n'


class Peer:
    """The other end, told what to say: `answers` maps a command to bytes or a function of the command."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got: list[dict[str, object]] = []
        self.fds: list[int] = []
        self.answers: dict[str, Callable[[dict[str, object]], bytes]] = {}

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        self.sock.setblocking(False)
        await loop.sock_sendall(self.sock, GREETING)
        rest = b""
        while True:
            ready = asyncio.Event()
            loop.add_reader(self.sock, ready.set)
            await ready.wait()
            loop.remove_reader(self.sock)
            data, fds, _, _ = socket.recv_fds(self.sock, 65536, 8)
            self.fds += fds
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                command = json.loads(line)
                self.got.append(command)
                answer = self.answers.get(command["execute"], ok({}))
                await loop.sock_sendall(self.sock, answer(command))


def ok(result: object) -> Callable[[dict[str, object]], bytes]:
    return lambda c: json.dumps({"return": result, "id": c["id"]}).encode() + b"\r\n"


def said(text: bytes) -> Callable[[dict[str, object]], bytes]:
    return lambda c: text.replace(b"ID", json.dumps(c["id"]).encode()) + b"\r\n"


class Session:
    def __init__(self, peer: Peer, monitor: Monitor, events: list[Event], ends: list[str]) -> None:
        self.peer, self.monitor, self.events, self.ends = peer, monitor, events, ends


@asynccontextmanager
async def session() -> AsyncIterator[Session]:
    ours, theirs = socket.socketpair()
    peer = Peer(theirs)
    events: list[Event] = []
    ends: list[str] = []
    task = asyncio.create_task(peer.serve())
    monitor = Monitor(ours, events.append, ends.append)
    await asyncio.wait_for(monitor.negotiate(), 60)
    try:
        yield Session(peer, monitor, events, ends)
    finally:
        monitor.close()
        task.cancel()
        theirs.close()
