"""An SNMP agent beside an engine of mock guests, all in this process, and net-snmp's clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from unittest.mock import patch

from frontinus.api.engine import Engine
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus_snmp import store
from frontinus_snmp.agent import Agent
from frontinus_snmp.control import Control
from frontinus_snmp.link import Link
from frontinus_snmp.manage import Manage
from frontinus_snmp.notify import Notifier
from frontinus_snmp.objects import modules
from frontinus_snmp.rows import State
from frontinus_snmp.service import configure
from frontinus_snmp.settings import Settings, V2c
from frontinus_snmp.tree import View
from frontinus_snmp.usm import Authority, User, make_user
from support.waiting import until

PASSWORDS = (b"authentic-enough", b"private-enough")
COMMUNITY = b"a community of tests"
V2C = ("-v2c", "-c", COMMUNITY.decode())
EVERYTHING = View(frozenset({(1, 3, 6, 1)}))
VM = "1.3.6.1.2.1.236"
SHOWN = 120.0
"""Seconds that an answer waits until the tree shows what was changed: what is asked next is to see it."""


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
    *argv: str, mibs: str = "", seconds: float = 120, given: Mapping[str, str] | None = None
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
    sockets: list[Server] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        return self.local.session(ROOT)

    async def ask(self, tool: str, *rest: str, access: tuple[str, ...] | list[str] = V2C) -> str:
        """What a client shows; it must succeed."""
        options = ["-On", "-Oe", "-t", "30", "-r", "0", *access]
        code, said = await run(tool, *options, f"127.0.0.1:{self.port}", *rest)
        assert code == 0, said
        return said

    async def walk(
        self, root: str = VM, access: tuple[str, ...] | list[str] = V2C, tool: str = "snmpbulkwalk"
    ) -> Mapping[str, str]:
        return parsed(await self.ask(tool, root, access=access))

    async def settled(self) -> None:
        """Wait until the tree shows all that the engine told so far."""
        generation = self.local.world.bus.generation
        await until(lambda: self.link.generation >= generation)

    async def shown(self) -> None:
        """Wait until the tree has all guests of the engine with their disks."""
        names = sorted(view.name for view in await self.engine.guests())

        def complete() -> bool:
            known = self.link.model.guests.values()
            rows = [guest.view.name for guest in self.link.tree.state.guests]
            return sorted(rows) == names and all(entry.details for entry in known)

        await until(complete, SHOWN)


@contextlib.asynccontextmanager
async def rig(folder: Path, *, guests: int = 2, settings: Settings | None = None, users: Mapping[str, str] | None = None,
              writers: Mapping[str, str] | None = None, max_age: float = 0.0, state: State | None = None,
              peers: Mapping[tuple[bytes, str], User] | None = None) -> AsyncIterator[Rig]:  # fmt: skip
    """An agent that knows the engine's guests. `users`, `writers`: what they may read and change; all have the same passwords."""
    state_folder = folder / "snmp"
    state_folder.mkdir(mode=0o700, exist_ok=True)
    engine_id, boots = store.boot(state_folder)
    counters: Counter[str] = Counter()
    settings = settings or Settings(v2c=V2c(COMMUNITY, (ip_network("127.0.0.0/8"),), "everything", v1=True))
    made = [make_user(name, "SHA-256", "AES-128", PASSWORDS, engine_id, view)
            for name, view in (users if users is not None else {"monitor": "everything"}).items()]  # fmt: skip
    known = {user.name.encode(): replace(user, write=(writers or {}).get(user.name, "")) for user in made}
    authority = Authority(engine_id, boots, known, counters, settings.max_size)
    state = state or State()
    state.engine_id, state.boots, state.counters = engine_id, boots, counters
    configure(state, settings, known)
    local = await mock_engine(Paths(*[str(folder)] * 5), guests=guests)
    sockets = [Server(folder / "ro.sock", local.session, readonly=True, mode=0o600),
               Server(folder / "rw.sock", local.session, readonly=False, mode=0o600)]  # fmt: skip
    served = modules(settings.root, host=settings.host)
    async with Notifier(authority, state, settings, counters, served, peers) as notifier:
        link = Link(
            folder / "ro.sock", state, store.Numbers(state_folder), max_age=max_age, modules=served, tell=notifier.tell
        )
        manage = Manage(folder / "rw.sock" if writers else None)
        agent = Agent(
            link, authority, settings, counters, Control(link.tree, counters, manage, link.shows), notifier.stranger
        )
        (port,) = await agent.listen([("127.0.0.1", 0)])
        following = asyncio.create_task(link.run())
        made_rig = Rig(folder, local, link, agent, port, counters, sockets)
        try:
            await made_rig.shown()
            with patch("frontinus_snmp.link.SHOWN", SHOWN):
                yield made_rig
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await agent.close()
            manage.close()
            for each in made_rig.sockets:
                each.close()
            await local.stop()


MODULES = {
    "SNMPv2-SMI": """org OBJECT IDENTIFIER ::= { iso 3 }
dod OBJECT IDENTIFIER ::= { org 6 }
internet OBJECT IDENTIFIER ::= { dod 1 }
private OBJECT IDENTIFIER ::= { internet 4 }
enterprises OBJECT IDENTIFIER ::= { private 1 }
mgmt OBJECT IDENTIFIER ::= { internet 2 }
mib-2 OBJECT IDENTIFIER ::= { mgmt 1 }
MODULE-IDENTITY MACRO ::= BEGIN END
OBJECT-TYPE MACRO ::= BEGIN END
NOTIFICATION-TYPE MACRO ::= BEGIN END
Integer32 ::= INTEGER (-2147483648..2147483647)
Unsigned32 ::= [APPLICATION 2] IMPLICIT INTEGER (0..4294967295)
Gauge32 ::= [APPLICATION 2] IMPLICIT INTEGER (0..4294967295)
Counter32 ::= [APPLICATION 1] IMPLICIT INTEGER (0..4294967295)
TimeTicks ::= [APPLICATION 3] IMPLICIT INTEGER (0..4294967295)
Counter64 ::= [APPLICATION 6] IMPLICIT INTEGER (0..18446744073709551615)""",
    "SNMPv2-CONF": """OBJECT-GROUP MACRO ::= BEGIN END
NOTIFICATION-GROUP MACRO ::= BEGIN END
MODULE-COMPLIANCE MACRO ::= BEGIN END""",
    "SNMPv2-TC": """TEXTUAL-CONVENTION MACRO ::= BEGIN END
PhysAddress ::= TEXTUAL-CONVENTION DISPLAY-HINT "1x:" STATUS current DESCRIPTION "." SYNTAX OCTET STRING
TruthValue ::= TEXTUAL-CONVENTION STATUS current DESCRIPTION "." SYNTAX INTEGER { true(1), false(2) }
DateAndTime ::= TEXTUAL-CONVENTION DISPLAY-HINT "2d-1d-1d,1d:1d:1d.1d,1a1d:1d" STATUS current DESCRIPTION "."
  SYNTAX OCTET STRING (SIZE (8 | 11))
RowStatus ::= TEXTUAL-CONVENTION STATUS current DESCRIPTION "."
  SYNTAX INTEGER { active(1), notInService(2), notReady(3), createAndGo(4), createAndWait(5), destroy(6) }""",
}
"""As much of SMIv2's own modules, which many hosts lack, as VM-MIB needs."""


def base_modules(folder: Path) -> None:
    for name, content in MODULES.items():
        (folder / f"{name}.txt").write_text(f"{name} DEFINITIONS ::= BEGIN\n{content}\nEND\n")
