"""A CIM provider beside an engine of mock guests, all in this process, and clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from frontinus.api.engine import Engine
from frontinus.daemon.server import Server as Socket
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus_cim.catalogue import registry
from frontinus_cim.front import tls, users
from frontinus_cim.front.access import Access
from frontinus_cim.front.config import Config
from frontinus_cim.front.httpd import Front
from frontinus_cim.front.pam import Pam
from frontinus_cim.host.world import World
from frontinus_cim.indications.delivery import Delivery
from frontinus_cim.indications.news import Indications
from frontinus_cim.operations.service import Service
from frontinus_cim.schema.classes import Schema
from frontinus_cim.schema.compile import load
from frontinus_cim.subscriptions.store import Destination, Subscription, Subscriptions
from frontinus_cim.wire.model import Embedded
from support.waiting import until

PASSWORD = "opensesame-4"
PATIENCE = 300.0
"""Seconds that clients wait for the provider, and the provider for its engine, before either makes do with less: on a loaded
machine anything could become a job, or be answered by what was known before."""
OVERRIDING = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where these are set, they win over the authority that a client is given."""
USERS = {name: users.make(name, role, PASSWORD.encode()) for name, role in (("admin", "control"), ("eye", "monitor"))}  # type: ignore[arg-type]


@cache
def schema() -> Schema:
    """The provider's schema, compiled once for all tests of a process."""
    return load()


@dataclass
class Provider:
    """A provider of an engine behind a socket."""

    folder: Path
    world: World
    service: Service
    front: Front
    port: int
    delivery: Delivery

    def url(self, user: str = "admin") -> str:
        return f"https://{user}:{PASSWORD}@127.0.0.1:{self.port}"

    def connection(self, user: str = "admin", namespace: str = "root/virt", **more: object) -> Any:
        """pywbem's client, which blocks: call it by `ask`."""
        import pywbem

        return pywbem.WBEMConnection(f"https://127.0.0.1:{self.port}", (user, PASSWORD), default_namespace=namespace,
                                     ca_certs=str(self.folder / "cim" / tls.CERTIFICATE),
                                     **{"timeout": PATIENCE, **more})  # fmt: skip

    async def ask(
        self, operation: str, *args: object, user: str = "admin", namespace: str = "root/virt", **more: object
    ) -> Any:
        """What one operation of pywbem's client returns."""
        connection = self.connection(user, namespace)
        try:
            return await asyncio.to_thread(getattr(connection, operation), *args, **more)
        finally:
            connection.close()

    async def wbemcli(self, *words: str, user: str = "admin") -> tuple[int, str]:
        """sblim's wbemcli; the object in `words` begins with a slash."""
        given = [word if not word.startswith("/") else f"{self.url(user)}{word}" for word in words]
        process = await asyncio.create_subprocess_exec(
            "wbemcli", "-nl", "-noverify", *given, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, said.decode()


@dataclass
class Rig(Provider):
    """`engine` manages the mock guests that the provider shows."""

    local: LocalEngine
    sockets: list[Socket]

    @property
    def engine(self) -> Engine:
        return self.local.session(ROOT)

    async def settled(self) -> None:
        """Wait until the provider knows all that the engine told so far."""
        generation = self.local.world.bus.generation
        await until(lambda: self.world.generation >= generation)
        await self.world.settled()


@contextlib.asynccontextmanager
async def provider(folder: Path, manage: Path, *, max_age: float = 0.0, known: Mapping[str, users.User] | None = None,
                   connections: int = 128, config: Config | None = None) -> AsyncIterator[Provider]:  # fmt: skip
    """A provider over TLS that has found its engine."""
    state = folder / "cim"
    state.mkdir(mode=0o700, exist_ok=True)
    kept = Subscriptions(schema(), state)
    world = World(manage, manage.with_name("frontinus-ro.sock"), kept, max_age)
    service = Service(world, registry(schema()))
    delivery = Delivery(schema(), interval=0.2)
    Indications(world, service.registry, kept, delivery)
    pam = Pam(config.pam) if config and config.pam else None
    front = Front(service, Access(USERS if known is None else known, pam), connections=connections)
    (port,) = await front.listen([("127.0.0.1", 0)], tls.context(config or Config(), state, "localhost"))
    following = asyncio.create_task(world.run())
    try:
        await until(lambda: world.connected)
        await world.settled()
        with (
            patch.dict(os.environ),
            patch("frontinus_cim.host.jobs.PATIENCE", PATIENCE),
            patch("frontinus_cim.host.world.PATIENCE", PATIENCE),
        ):
            for name in OVERRIDING:
                os.environ.pop(name, None)
            yield Provider(folder, world, service, front, port, delivery)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await front.close()
        await delivery.close()


@contextlib.asynccontextmanager
async def rig(folder: Path, *, guests: int = 2, **more: Any) -> AsyncIterator[Rig]:
    """A provider that knows the guests of a mock engine: its own `test`, and so many more."""
    local = await mock_engine(Paths(*[str(folder)] * 5), guests=guests)
    sockets = [Socket(folder / "frontinus.sock", local.session, readonly=False, mode=0o600)]
    try:
        async with provider(folder, folder / "frontinus.sock", **more) as made:
            found = Rig(made.folder, made.world, made.service, made.front, made.port, made.delivery, local, sockets)
            await found.settled()
            yield found
    finally:
        for each in sockets:
            each.close()
        await local.stop()


def subscribe(cim: Rig, collection: str, hear: Callable[[Embedded], None]) -> None:
    """Hear from now on what a subscription to a collection is told."""
    kept = cim.world.subscriptions
    kept.destinations["to"] = Destination(name="to", url="http://127.0.0.1:9/", system=("", ""))
    kept.subscriptions[collection, "to"] = Subscription(filter=collection, destination="to")

    def send(subscribed: str, destination: Destination, indication: Embedded, passed: str | None = None) -> None:
        hear(indication)

    cim.delivery.send = send  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def process(folder: Path, config: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The provider as a process of its own beside the rig of a folder; its state is in `own`. It ends well when it is told to."""
    (folder / "own").mkdir(mode=0o700)
    (folder / "cim.toml").write_text(config)
    places = {"socket": "frontinus.sock", "config": "cim.toml", "state": "own"}
    words = [word for option, name in places.items() for word in (f"--{option}", str(folder / name))]
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "frontinus_cim.main", *words, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        started.terminate()
        _, said = await asyncio.wait_for(started.communicate(), 60)
    assert started.returncode == 0 and b"Traceback" not in said, said


async def says(started: asyncio.subprocess.Process, pattern: bytes) -> re.Match[bytes]:
    """Wait until a line of the provider's log has what is looked for."""
    assert started.stderr is not None
    async with asyncio.timeout(60):
        while (found := re.search(pattern, line := await started.stderr.readline())) is None:
            assert line, "the provider ended"
    return found
