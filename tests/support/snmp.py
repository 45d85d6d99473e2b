"""An SNMP agent beside an engine of mock guests, all in this process, and net-snmp's clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.daemon.server import Server as Socket
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus_snmp import store
from frontinus_snmp.agent import Agent
from frontinus_snmp.link import Link
from frontinus_snmp.rows import State
from frontinus_snmp.settings import Settings, V2c
from frontinus_snmp.tree import View
from frontinus_snmp.usm import Authority, User, make_user

PASSWORDS = (b"authentic-enough", b"private-enough")
COMMUNITY = b"a community of tests"
V2C = ("-v2c", "-c", COMMUNITY.decode())
EVERYTHING = View(frozenset({(1, 3, 6, 1)}))
VM = "1.3.6.1.2.1.236"


def v3(
    name: str = "monitor", auth: str = "SHA-256", priv: str = "AES", passwords: tuple[bytes, bytes] = PASSWORDS
) -> list[str]:
    """A client's options for a user with authentication and privacy."""
    return [
        "-v3",
        "-l",
        "authPriv",
        "-u",
        name,
        "-a",
        auth,
        "-A",
        passwords[0].decode(),
        "-x",
        priv,
        "-X",
        passwords[1].decode(),
    ]


async def run(
    *argv: str, mibs: str = "", seconds: float = 60, given: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """A client's exit code and what it said; it reads no configuration of this machine."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "MIBS": mibs, "SNMPCONFPATH": home, "SNMP_PERSISTENT_DIR": home, **(given or {})}
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, wrong = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode is not None
    return process.returncode, said.decode() if process.returncode == 0 else (said + wrong).decode()


def parsed(said: str) -> dict[str, str]:
    """Values by numeric names, of a client's -On output with one line a binding."""
    return {name.removeprefix("."): value for name, _, value in (line.partition(" = ") for line in said.splitlines())}


@dataclass
class Rig:
    """`engine` manages the guests that the agent shows."""

    folder: Path
    local: LocalEngine
    link: Link
    agent: Agent
    port: int
    counters: Counter[str]
    sockets: list[Socket] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        return self.local.session(ROOT)

    async def ask(self, tool: str, *rest: str, access: tuple[str, ...] | list[str] = V2C) -> str:
        """What a client shows; it must succeed."""
        options = ["-On", "-Oe", "-t", "5", "-r", "0", *access]
        code, said = await run(tool, *options, f"127.0.0.1:{self.port}", *rest)
        assert code == 0, said
        return said

    async def walk(
        self, root: str = VM, access: tuple[str, ...] | list[str] = V2C, tool: str = "snmpbulkwalk"
    ) -> Mapping[str, str]:
        return parsed(await self.ask(tool, root, access=access))

    async def shown(self) -> None:
        """Wait until the tree has all guests of the engine with their disks."""
        async with asyncio.timeout(60):
            names = sorted(view.name for view in await self.engine.guests())
            while True:
                known = self.link.model.guests.values()
                complete = all(entry.details for entry in known) and len(self.link.tree.state.guests) == len(names)
                if complete and sorted(entry.view.name for entry in known) == names:
                    return
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def rig(folder: Path, *, guests: int = 2, settings: Settings | None = None, users: Mapping[str, str] | None = None,
              max_age: float = 0.0) -> AsyncIterator[Rig]:  # fmt: skip
    """An agent that knows the engine's guests. `users`: views by users' names; all have the same passwords."""
    state_folder = folder / "snmp"
    state_folder.mkdir(mode=0o700, exist_ok=True)
    engine_id, boots = store.boot(state_folder)
    counters: Counter[str] = Counter()
    made = [make_user(name, "SHA-256", "AES-128", PASSWORDS, engine_id, view)
            for name, view in (users if users is not None else {"monitor": "all"}).items()]  # fmt: skip
    known: dict[bytes, User] = {user.name.encode(): user for user in made}
    settings = settings or Settings(v2c=V2c(COMMUNITY, (ip_network("127.0.0.0/8"),), "all"))
    authority = Authority(engine_id, boots, known, counters, settings.max_size)
    state = State(engine_id=engine_id, boots=boots, max_size=settings.max_size, counters=counters)
    local = await mock_engine(Paths(*[str(folder)] * 5), guests=guests)
    server = Socket(folder / "ro.sock", local.session, readonly=True, mode=0o600)
    link = Link(folder / "ro.sock", state, store.Numbers(state_folder), max_age=max_age)
    agent = Agent(link, authority, settings, counters)
    (port,) = await agent.listen([("127.0.0.1", 0)])
    following = asyncio.create_task(link.run())
    made_rig = Rig(folder, local, link, agent, port, counters, [server])
    try:
        await made_rig.shown()
        yield made_rig
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await agent.close()
        for each in made_rig.sockets:
            each.close()
        await local.stop()
