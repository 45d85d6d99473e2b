"""An exporter beside an engine of mock guests, all in this process, and a plain HTTP client for it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from frontinus.api.engine import Engine
from frontinus.daemon.server import Server as Socket
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.hypervisor import MockGuest, MockHypervisor
from frontinus_prometheus.httpd import Server
from frontinus_prometheus.link import Link
from frontinus_prometheus.own import Own
from frontinus_prometheus.routes import Routes
from support.waiting import until


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


async def get(
    port: int, path: str, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> Answer:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
    )
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: test",
        "Connection: close",
        *(f"{k}: {v}" for k, v in (headers or {}).items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode().split("\r\n")
    return Answer(int(first.split()[1]), {k.lower(): v for k, _, v in (h.partition(": ") for h in rest)}, body.decode())


def values(body: str, name: str) -> dict[str, float]:
    """Samples of one name by their guest."""
    return {s.labels.get("name", ""): s.value for f in parse(body) for s in f.samples if s.name == name}


@dataclass
class Exporter:
    """`engine` manages the guests that the exporter shows."""

    folder: Path
    local: LocalEngine
    link: Link
    own: Own
    server: Server
    port: int
    socket: Socket | None = None

    @property
    def engine(self) -> Engine:
        return self.local.session(ROOT)

    @property
    def mocks(self) -> Mapping[str, MockGuest]:
        """The running mock guests by name."""
        hypervisor = self.local.world.hypervisor
        assert isinstance(hypervisor, MockHypervisor)
        return {guest.guest.name: guest for guest in hypervisor.guests.values()}

    async def get(self, path: str = "/metrics", **headers: str) -> Answer:
        return await get(self.port, path, headers)

    def open_socket(self) -> None:
        """Let the exporter in."""
        self.socket = Socket(self.folder / "ro.sock", self.local.session, readonly=True, mode=0o600)

    def close_socket(self) -> None:
        """Throw the exporter out, as an engine does that stops."""
        assert self.socket is not None
        self.socket.close()

    async def connected(self, generation: int | None = None) -> None:
        """Wait until the exporter knows the engine's guests, up to a generation if given (default: all so far)."""
        wanted = self.local.world.bus.generation if generation is None else generation
        await until(lambda: (-1 if self.link.model.generation is None else self.link.model.generation) >= wanted)

    async def lost(self) -> None:
        """Wait until the exporter has noticed that the engine is gone."""
        await until(lambda: self.link.model.generation is None)


@contextlib.asynccontextmanager
async def exporter(
    folder: Path, *, guests: int = 2, max_age: float = 0.0, deadline: float = 60.0
) -> AsyncIterator[Exporter]:
    """An exporter that is connected."""
    local = await mock_engine(Paths(*[str(folder)] * 5), guests=guests)
    own = Own()
    link = Link(folder / "ro.sock", own, max_age=max_age, deadline=deadline)
    server = Server(Routes(link, own), lambda reason: own.refused.labels(reason).inc())
    (port,) = await server.listen("127.0.0.1", 0)
    rig = Exporter(folder, local, link, own, server, port)
    rig.open_socket()
    following = asyncio.create_task(link.run())
    try:
        await rig.connected()
        yield rig
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await server.close()
        rig.close_socket()
        await local.stop()


@contextlib.asynccontextmanager
async def beside(monitor: Path, *, agent: bool = False) -> AsyncIterator[tuple[int, Link]]:
    """An exporter in this process that is connected to a daemon's monitor socket: its port, and its link."""
    own = Own()
    link = Link(monitor, own, max_age=0, deadline=60, agent=agent)
    server = Server(Routes(link, own), lambda reason: None)
    (port,) = await server.listen("127.0.0.1", 0)
    following = asyncio.create_task(link.run())
    try:
        await until(lambda: link.model.generation is not None)
        yield port, link
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await server.close()
