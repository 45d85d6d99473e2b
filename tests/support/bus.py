"""A private message bus, the D-Bus service of an engine on it, and clients that users have."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.auth import UID_NOT_SPECIFIED, AuthExternal

from frontinus.api.engine import Engine
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.access import Policy
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus_dbus.callers import Callers
from frontinus_dbus.presence import Presence
from frontinus_dbus.world import Remote
from frontinus_dbus.writing import be_patient

TEST = "_6695eb01_f6a4_8304_79aa_97f2502e193f"
"""The mock's own guest."""

PATIENCE = 300
"""Seconds that clients wait for the service, and the service for its engine, before either makes do with less."""
CONFIG = """<busconfig>
  <type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <limit name="max_connections_per_user">2000</limit><limit name="max_completed_connections">2000</limit>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""


@dataclass
class Bus:
    """A running dbus-daemon, in a folder that others can pass."""

    folder: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"unix:path={self.folder}/bus"

    async def start(self) -> None:
        config = self.folder / "bus.conf"
        config.write_text(CONFIG.format(path=self.folder / "bus"))
        self.process = await asyncio.create_subprocess_exec(
            "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)  # fmt: skip
        assert self.process.stdout is not None
        assert await asyncio.wait_for(self.process.stdout.readline(), 60), "dbus-daemon did not start"

    async def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        await self.process.wait()
        (self.folder / "bus").unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def client(self, *, fds: bool = False, user: int = 0) -> AsyncIterator[MessageBus]:
        """A client, of another user by the effective uid that its socket is connected with."""
        os.seteuid(user)
        try:
            auth = AuthExternal(uid=user or UID_NOT_SPECIFIED)
            client = await MessageBus(bus_address=self.address, negotiate_unix_fd=fds, auth=auth).connect()
        finally:
            os.seteuid(0)
        be_patient(client)
        try:
            yield client
        finally:
            client.disconnect()

    async def named(self, name: str, seconds: float = PATIENCE) -> None:
        """Wait until a name is owned."""
        async with self.client() as client, asyncio.timeout(seconds):
            rule = f"type='signal',member='NameOwnerChanged',arg0='{name}'"
            news: asyncio.Queue[str] = asyncio.Queue()
            client.add_message_handler(lambda m: news.put_nowait(m.body[2]) if m.member == "NameOwnerChanged" else None)
            await ask(
                client, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.AddMatch", "s", rule
            )
            reply = await ask(client, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                              "org.freedesktop.DBus.NameHasOwner", "s", name)  # fmt: skip
            while not reply[0] and not await news.get():
                pass

    async def run(self, *argv: str, user: int = 0) -> tuple[int, str]:
        """A client program's exit code and what it says."""
        words = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        process = await asyncio.create_subprocess_exec(
            *(["setpriv", *words, *argv] if user else argv), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "DBUS_SESSION_BUS_ADDRESS": self.address})  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, said.decode().strip()

    async def busctl(self, *words: str, user: int = 0) -> tuple[int, str]:
        options = (f"--address={self.address}", f"--timeout={PATIENCE}", "--no-pager")
        return await self.run("busctl", *options, *words, user=user)

    async def gdbus(self, name: str, path: str, method: str, *words: str) -> tuple[int, str]:
        options = ("--session", f"--timeout={PATIENCE}", "-d", name, "-o", path, "-m", method)
        return await self.run("gdbus", "call", *options, *words)


async def ask(client: MessageBus, destination: str, path: str, method: str, signature: str = "", *body: object) -> list:  # type: ignore[type-arg]
    """The body of a call's answer; CallFailed for an error."""
    interface, _, member = method.rpartition(".")
    reply = await client.call(Message(destination=destination, path=path, interface=interface, member=member,
                                      signature=signature, body=list(body)))  # fmt: skip
    if reply.message_type is MessageType.ERROR:
        raise CallFailed(reply.error_name or "", reply.body[0] if reply.body else "")
    return reply.body


class CallFailed(Exception):
    def __init__(self, name: str, message: str) -> None:
        self.name, self.message = name, message
        super().__init__(f"{name}: {message}")


@dataclass
class Signals:
    """What a client heard."""

    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    async def next(self, *members: str) -> Message:
        """The next signal of some members."""
        async with asyncio.timeout(60):
            while True:
                message = await self.heard.get()
                if message.member in members:
                    return message


async def listen(client: MessageBus, rule: str = "type='signal'") -> Signals:
    signals = Signals()

    def take(message: Message) -> None:
        if message.message_type is MessageType.SIGNAL:
            signals.heard.put_nowait(message)

    client.add_message_handler(take)
    await ask(client, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.AddMatch", "s", rule)
    return signals


@dataclass
class Rig:
    """A service beside an engine of mock guests behind real sockets, all in this process."""

    bus: Bus
    local: LocalEngine
    world: Remote
    servers: list[Server]
    folder: Path
    presence: Presence | None = None

    @property
    def callers(self) -> Callers | None:
        """Who the service remembers."""
        return self.presence.callers if self.presence is not None else None

    @property
    def engine(self) -> Engine:
        return self.local.session(ROOT)

    def guest(self, name: str = TEST) -> str:
        return f"/org/libvirt/Test/domain/{name}"

    def open(self) -> None:
        """Let the service in."""
        for name, readonly in (("frontinus.sock", False), ("frontinus-ro.sock", True)):
            self.servers.append(Server(self.folder / name, self.local.session, readonly=readonly, mode=0o600))

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.servers.clear()

    async def call(self, method: str, signature: str = "", *body: object, path: str = "") -> list:  # type: ignore[type-arg]
        """A call by a client of its own."""
        place = path or (self.guest() if ".Domain." in method else "/org/libvirt/Test")
        async with self.bus.client() as client:
            return await ask(client, "org.libvirt", place, method, signature, *body)


@contextlib.asynccontextmanager
async def service(
    folder: Path, *, guests: int = 0, policy: Callable[[str], Policy] | None = None
) -> AsyncIterator[Rig]:
    """A service that owns its names. `policy` makes the engine's from the bus's address."""
    folder.chmod(0o755)
    bus = Bus(folder)
    await bus.start()
    local = await mock_engine(
        Paths(*[str(folder)] * 5), guests=guests, policy=policy(bus.address) if policy is not None else None
    )
    world = Remote(folder / "frontinus.sock", folder / "frontinus-ro.sock")
    rig = Rig(bus, local, world, [], folder, Presence(bus.address, world))
    assert rig.presence is not None
    rig.open()
    tasks = [asyncio.create_task(work) for work in (world.run(), rig.presence.keep())]
    try:
        with patch("frontinus_dbus.picture.PATIENCE", PATIENCE), patch("frontinus_dbus.presence.PATIENCE", PATIENCE):
            await bus.named("org.libvirt")
            yield rig
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        rig.close()
        await local.stop()
        await bus.stop()


@contextlib.asynccontextmanager
async def program(bus: Bus, folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as users start it."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("frontinus-dbus")), *options, stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "DBUS_SESSION_BUS_ADDRESS": bus.address, "XDG_RUNTIME_DIR": str(folder)})  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)


def data(said: str) -> object:
    """The values of an answer of busctl --json=short."""
    return json.loads(said)["data"]
