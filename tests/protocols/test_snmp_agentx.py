"""The AgentX subagent below Debian's snmpd: walks, sets whole or not at all, notifications, and a master that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import HostFailed
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT as ROOT_USER
from frontinus.mock.engine import mock_engine
from frontinus_snmp import store
from frontinus_snmp.control import Control
from frontinus_snmp.link import Link
from frontinus_snmp.manage import Manage
from frontinus_snmp.notify import Notifier
from frontinus_snmp.objects import below_master
from frontinus_snmp.roots import ROOT
from frontinus_snmp.rows import State
from frontinus_snmp.service import configure
from frontinus_snmp.settings import Settings
from frontinus_snmp.subagent import Subagent
from frontinus_snmp.tree import View
from frontinus_snmp.usm import Authority
from support.ports import free_port
from support.snmp import VM, parsed, run
from support.trapped import receiving
from support.waiting import until

pytestmark = pytest.mark.needs("snmpd", "snmpbulkwalk", "snmpset", "snmptrapd")
FRN = ".".join(map(str, ROOT))
AUTOSTART, ACTION = f"{FRN}.1.4.1.5", f"{FRN}.1.4.1.4"
COMMUNITY = "a-community-of-tests"


@dataclass
class Master:
    """snmpd with its AgentX socket."""

    folder: Path
    port: int
    traps: int
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        (self.folder / "snmpd.conf").write_text(
            f"agentAddress udp:127.0.0.1:{self.port}\nrwcommunity {COMMUNITY} 127.0.0.1\nmaster agentx\n"
            f"agentXSocket {self.folder}/master\nagentXPerms 0600 0700\nagentXTimeout 20\n"
            f"trap2sink 127.0.0.1:{self.traps} {COMMUNITY}\n"
        )
        self.process = await asyncio.create_subprocess_exec(
            "snmpd", "-f", "-C", "-c", str(self.folder / "snmpd.conf"), "-Lf", str(self.folder / "snmpd.log"), "-p",
            str(self.folder / "snmpd.pid"), env={**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": str(self.folder)},
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await until((self.folder / "master").exists)

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()  # as when it crashes: no word to its subagents
            await self.process.wait()
            (self.folder / "master").unlink(missing_ok=True)

    async def ask(self, tool: str, *rest: str) -> tuple[int, str]:
        return await run(
            tool, "-On", "-Oe", "-t", "20", "-r", "0", "-v2c", "-c", COMMUNITY, f"127.0.0.1:{self.port}", *rest
        )

    async def walk(self, root: str = VM) -> dict[str, str]:
        code, said = await self.ask("snmpbulkwalk", root)
        assert code == 0, said
        return parsed(said)


@dataclass
class Below:
    """A subagent with an engine of mock guests."""

    master: Master
    local: LocalEngine
    link: Link
    subagent: Subagent
    counters: Counter[str]

    @property
    def engine(self) -> Engine:
        return self.local.session(ROOT_USER)

    async def joined(self) -> None:
        await until(lambda: bool(self.subagent._session))
        async with asyncio.timeout(60):
            while f"{VM}.1.4.1.2.1" not in await self.master.walk():  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@pytest.fixture
async def below(tmp_path: Path) -> AsyncIterator[Below]:
    async with subagent(tmp_path, View(frozenset({(1, 3, 6, 1)}))) as made:
        yield made


@contextlib.asynccontextmanager
async def subagent(folder: Path, write: View) -> AsyncIterator[Below]:
    master = Master(folder, free_port(), free_port())
    await master.start()
    (folder / "snmp").mkdir(mode=0o700)
    counters: Counter[str] = Counter()
    settings, state = Settings(), State(counters=counters)
    configure(state, settings, {})
    local = await mock_engine(Paths(*[str(folder)] * 5), guests=3)
    sockets = [
        Server(folder / f"{name}.sock", local.session, readonly=name == "ro", mode=0o600) for name in ("ro", "rw")
    ]
    modules = below_master()
    async with Notifier(Authority(b"12345", 1, {}, counters, 8192), state, settings, counters, modules) as notifier:
        link = Link(
            folder / "ro.sock", state, store.Numbers(folder / "snmp"), max_age=0.0, tell=notifier.tell, modules=modules
        )
        manage = Manage(folder / "rw.sock")
        subtrees = [(module.root, module.name) for module in modules]
        control = Control(link.tree, counters, manage, link.shows)
        made = Subagent(str(folder / "master"), link, control, write, state, counters, subtrees)
        notifier.master = made
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(made.run())]
        try:
            below = Below(master, local, link, made, counters)
            await below.joined()
            yield below
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            manage.close()
            for each in sockets:
                each.close()
            await local.stop()
            await master.stop()


async def test_the_masters_walk_is_our_tree(below: Below) -> None:
    found = await below.master.walk()
    ours = [
        ".".join(map(str, name)) for name in below.link.tree.shown(View(frozenset({(1, 3, 6, 1, 2, 1, 236)}))).names()
    ]
    assert [name for name in found if name.startswith(VM)] == ours
    assert found[f"{VM}.1.4.1.2.1"] == 'STRING: "guest-00000"' and found[f"{VM}.1.2.0"] == "INTEGER: 4"
    assert found[f"{VM}.1.1.3.0"] == f"OID: .{FRN}" and found[f"{VM}.1.4.1.17.1"].startswith("Counter64: ")
    own = await below.master.walk(FRN)
    assert own[f"{FRN}.1.4.1.1.1"] == 'STRING: "guest-00000"'
    _, said = await below.master.ask("snmpget", f"{VM}.1.4.1.2.99", f"{VM}.1.4.1.1.1")
    assert "No Such Instance" in said and "No Such Object" in said
    _, said = await below.master.ask("snmpwalk", "1.3.6.1.2.1.1.9")
    assert "FRONTINUS-MIB" in said and "VM-MIB" in said


async def test_sets_are_whole_below_a_master_too(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = await below.master.ask("snmpset", f"{AUTOSTART}.1", "i", "1", f"{ACTION}.1", "i", "4")
    assert code == 0, said
    view = await below.engine.guest("guest-00000")
    assert (view.autostart, view.state) == (True, "paused")
    code, said = await below.master.ask("snmpset", f"{AUTOSTART}.1", "i", "2", f"{ACTION}.1", "i", "4")
    assert code != 0 and "inconsistentValue" in said and (await below.engine.guest("guest-00000")).autostart

    async def fails(*_: object, **__: object) -> None:
        raise HostFailed("broken")

    monkeypatch.setitem(below.local._use_cases, "resume", fails)
    code, said = await below.master.ask("snmpset", f"{AUTOSTART}.1", "i", "2", f"{ACTION}.1", "i", "5")
    assert code != 0 and "commitFailed" in said, said
    assert (await below.engine.guest("guest-00000")).autostart


async def test_a_master_may_change_no_more_than_we_say(tmp_path: Path) -> None:
    async with subagent(tmp_path, View()) as below:
        code, said = await below.master.ask("snmpset", f"{AUTOSTART}.1", "i", "1")
        assert code != 0 and "noAccess" in said and not (await below.engine.guest("guest-00000")).autostart


async def test_the_master_passes_notifications_on(below: Below, tmp_path: Path) -> None:
    async with receiving(tmp_path, below.master.traps) as trapped:
        await below.engine.suspend("guest-00000")
        line = await trapped.told(f"{VM}.0.4")
        assert f'.{VM}.1.4.1.2.1 = STRING: "guest-00000"' in line


async def test_a_master_that_dies_is_joined_again(below: Below) -> None:
    await below.master.stop()
    await until(lambda: not below.subagent._session)
    await below.master.start()
    await below.joined()
