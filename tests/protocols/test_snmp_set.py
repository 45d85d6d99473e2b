"""Control by snmpset: who may, what happens, and that a request is done whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus_snmp.ber import Oid
from frontinus_snmp.roots import ROOT
from frontinus_snmp.settings import Settings
from frontinus_snmp.tree import View
from support.snmp import V2C, VM, Rig, rig, run, v3

pytestmark = pytest.mark.needs("snmpset", "snmpget")
FRN = ".".join(map(str, ROOT))
NAME, STATE, ACTION, AUTOSTART, VCPUS, SOURCE, STATUS = (f"{FRN}.1.4.1.{n}" for n in (1, 2, 4, 5, 11, 19, 20))
BALLOON = f"{FRN}.1.5.1.1"
ACTIONS = {"start": 2, "pause": 4, "resume": 5, "shutdown": 6, "reset": 8, "powerOff": 9, "save": 10}
GUEST: Oid = (*ROOT, 1, 4)
TEMPLATE = """<domain type="qemu"><name>web</name><memory unit="MiB">64</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="q35">hvm</type></os>
<devices><interface type="user"><mac address="52:54:00:99:99:99"/></interface></devices></domain>"""


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Rig]:
    """`operator` may change everything, `clerk` autostart alone, `monitor` nothing. Guest 1 is guest-00000."""
    from frontinus_snmp import definitions

    folder = tmp_path / "definitions"
    folder.mkdir(mode=0o755)
    (folder / "web.xml").write_text(TEMPLATE)
    views = {"all": View(frozenset({(1, 3, 6, 1)})), "autostart": View(frozenset({(*GUEST, 1, 5)}))}
    async with rig(tmp_path, settings=Settings(views=views, definitions=definitions.stored(folder)),
                   users=dict.fromkeys(("operator", "clerk", "monitor", "stray"), "all"),
                   writers={"operator": "all", "clerk": "autostart", "stray": "not there"}) as made:  # fmt: skip
        yield made


async def put(agent: Rig, *variables: str, user: str = "operator") -> tuple[int, str]:
    return await run("snmpset", "-On", "-t", "20", "-r", "0", *v3(user), f"127.0.0.1:{agent.port}", *variables)


async def index(agent: Rig, name: str) -> int:
    return agent.link._numbers.numbers[(await agent.engine.guest(name)).uuid]


async def value(agent: Rig, name: str) -> str:
    return (await agent.ask("snmpget", name, access=v3("monitor"))).rpartition(" = ")[2].strip()


def refused(said: str, reason: str, place: str) -> bool:
    return f"Reason: {reason}" in said and f"Failed object: .{place}" in said


# --- who may


@pytest.mark.parametrize("user", ["monitor", "stray"])
async def test_without_a_write_view_nothing_can_be_set(agent: Rig, user: str) -> None:
    """The view that is not there shows nothing and allows nothing (pysnmp 7.1.30's allows everything)."""
    code, said = await put(agent, f"{AUTOSTART}.1", "i", "1", user=user)
    assert code != 0 and refused(said, "noAccess", f"{AUTOSTART}.1"), said
    assert not (await agent.engine.guest("guest-00000")).autostart


async def test_a_write_view_is_a_limit(agent: Rig) -> None:
    assert (await put(agent, f"{AUTOSTART}.1", "i", "1", user="clerk"))[0] == 0
    assert (await agent.engine.guest("guest-00000")).autostart
    code, said = await put(agent, f"{AUTOSTART}.1", "i", "2", f"{ACTION}.1", "i", "9", user="clerk")
    assert code != 0 and refused(said, "noAccess", f"{ACTION}.1")
    assert (await agent.engine.guest("guest-00000")).autostart and (await agent.engine.guest("guest-00000")).active


async def test_a_community_changes_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, writers={"monitor": "everything"}) as agent:
        code, said = await run("snmpset", *V2C, f"127.0.0.1:{agent.port}", f"{AUTOSTART}.1", "i", "1")
        assert code != 0 and "noAccess" in said and agent.counters["snmpInBadCommunityUses"] == 1


# --- VM-MIB's switches, SNMPv2-MIB's lock


async def test_the_switches_of_notifications(agent: Rig) -> None:
    for name in (f"{VM}.1.9.0", f"{VM}.1.10.0", f"{FRN}.1.1.3.0", "1.3.6.1.2.1.11.30.0"):
        for number in ("2", "1"):
            code, said = await put(agent, name, "i", number)
            assert code == 0, said
            assert await value(agent, name) == f"INTEGER: {number}"


async def test_a_lock_lets_one_of_many_through(agent: Rig) -> None:
    lock = "1.3.6.1.6.3.1.1.6.1.0"
    assert (await put(agent, lock, "i", "0"))[0] == 0 and await value(agent, lock) == "INTEGER: 1"
    code, said = await put(agent, lock, "i", "0", f"{AUTOSTART}.1", "i", "1")
    assert code != 0 and refused(said, "inconsistentValue", lock)
    assert not (await agent.engine.guest("guest-00000")).autostart


# --- a guest's life


async def test_a_guest_is_steered(agent: Rig) -> None:
    for action, state in (
        ("pause", 3),
        ("resume", 1),
        ("save", 5),
        ("start", 1),
        ("powerOff", 5),
        ("start", 1),
        ("reset", 1),
    ):
        code, said = await put(agent, f"{ACTION}.1", "i", str(ACTIONS[action]))
        assert code == 0, f"{action}: {said}"
        assert await value(agent, f"{STATE}.1") == f"INTEGER: {state}", action
        assert await value(agent, f"{ACTION}.1") == "INTEGER: 1"


async def test_a_state_is_asked_for(agent: Rig) -> None:
    for asked, shown in ((3, 3), (1, 1), (5, 5), (3, 3), (1, 1), (4, 5)):
        assert (await put(agent, f"{STATE}.1", "i", str(asked)))[0] == 0
        await agent.settled()
        if asked != 4:  # the mock guest takes the time that it takes
            assert await value(agent, f"{STATE}.1") == f"INTEGER: {shown}"
    assert (await put(agent, f"{STATE}.1", "i", "6"))[0] != 0


async def test_settings_are_set(agent: Rig) -> None:
    code, said = await put(agent, f"{AUTOSTART}.1", "i", "1", f"{VCPUS}.1", "u", "1", f"{BALLOON}.1", "u", str(2**18))
    assert code == 0, said
    view = await agent.engine.guest("guest-00000")
    assert view.autostart and view.memory == 2**28
    assert await value(agent, f"{BALLOON}.1") == f"Gauge32: {2**18}"


# --- whole or not at all


@pytest.mark.parametrize(("variables", "reason", "place"), [
    ([f"{AUTOSTART}.1", "i", "1", f"{AUTOSTART}.99", "i", "1"], "inconsistentName", f"{AUTOSTART}.99"),
    ([f"{AUTOSTART}.1", "i", "1", f"{VM}.1.4.1.2.1", "s", "x"], "notWritable", f"{VM}.1.4.1.2.1"),
    ([f"{AUTOSTART}.1", "i", "1", f"{AUTOSTART}.2", "s", "x"], "wrongType", f"{AUTOSTART}.2"),
    ([f"{AUTOSTART}.1", "i", "1", f"{AUTOSTART}.2", "i", "3"], "wrongValue", f"{AUTOSTART}.2"),
    ([f"{AUTOSTART}.1", "i", "1", f"{NAME}.2", "s", "x" * 256], "wrongLength", f"{NAME}.2"),
    ([f"{AUTOSTART}.1", "i", "1", f"{ACTION}.1", "i", "2"], "inconsistentValue", f"{ACTION}.1"),
    ([f"{AUTOSTART}.1", "i", "1", f"{BALLOON}.1", "u", str(2**31)], "inconsistentValue", f"{BALLOON}.1"),
    ([f"{AUTOSTART}.1", "i", "1", f"{STATUS}.1", "i", "5"], "wrongValue", f"{STATUS}.1"),
    ([f"{AUTOSTART}.1", "i", "1", f"{FRN}.1.1.3.7", "i", "1"], "noCreation", f"{FRN}.1.1.3.7"),
    ([f"{ACTION}.1", "i", "9", f"{ACTION}.2", "i", "8"], "inconsistentValue", f"{ACTION}.2"),
])  # fmt: skip
async def test_one_bad_variable_and_nothing_is_done(agent: Rig, variables: list[str], reason: str, place: str) -> None:
    code, said = await put(agent, *variables)
    assert code != 0 and refused(said, reason, place), said
    view = await agent.engine.guest("guest-00000")
    assert view.active and not view.autostart and agent.counters["setsRefused"] == 1


async def test_what_fails_late_is_taken_back(agent: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autostart and the pause of one guest are done when the start of another fails: both are taken back."""
    other = await index(agent, "guest-00001")
    await agent.engine.destroy("guest-00001")
    await agent.settled()

    async def fails(*_: object, **__: object) -> None:
        raise HostFailed("no more memory")

    monkeypatch.setitem(agent.local._use_cases, "start", fails)
    code, said = await put(agent, f"{AUTOSTART}.1", "i", "1", f"{ACTION}.1", "i", "4", f"{ACTION}.{other}", "i", "2")
    assert code != 0 and refused(said, "commitFailed", f"{ACTION}.{other}"), said
    view = await agent.engine.guest("guest-00000")
    assert (view.state, view.autostart) == ("running", False) and agent.counters["setsFailed"] == 1


async def test_what_cannot_be_taken_back_is_said(agent: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise HostFailed("broken")

    monkeypatch.setitem(agent.local._use_cases, "resume", fails)
    monkeypatch.setitem(agent.local._use_cases, "destroy", fails)
    code, said = await put(agent, f"{ACTION}.1", "i", "4", f"{ACTION}.2", "i", "9")
    assert code != 0 and "Reason: undoFailed" in said, said


async def test_what_is_asked_again_is_not_done_again(agent: Rig) -> None:
    """A manager whose answer was lost sends the same request once more."""
    recorded: list[bytes] = []
    control, once = agent.agent._control, 0
    carry_out = control._once

    async def counted(*args: object) -> tuple[int, int]:
        nonlocal once
        once += 1
        return await carry_out(*args)  # type: ignore[arg-type]

    control._once = counted  # type: ignore[assignment, method-assign]
    opened = agent.agent.authority.open
    requests = []
    agent.agent.authority.open = lambda *a: (requests.append(opened(*a)), requests[-1])[1]  # type: ignore[method-assign]
    assert (await put(agent, f"{ACTION}.1", "i", "8"))[0] == 0
    again = next(each for each in requests if each.pdu.kind == 0xA3)
    assert once == 1 and again.user.write == "all"
    source = next(iter(control._results))[1]
    asker = agent.agent.settings.view("all")
    key = ("user operator", source, again.pdu.request_id, again.pdu.raw)
    assert await control.set(again.pdu, asker, "user operator", key) == (0, 0) and once == 1
    other = replace(again.pdu, request_id=again.pdu.request_id + 1)
    await control.set(other, asker, "user operator", ("user operator", source, other.request_id, other.raw))
    assert once == 2 and not recorded


# --- rows that come and go


async def test_a_guest_is_made_from_a_stored_definition_and_forgotten(agent: Rig) -> None:
    assert await value(agent, f"{FRN}.1.14.1.2.1") == 'STRING: "web"'
    number = int((await value(agent, f"{FRN}.1.1.4.0")).split()[1])
    code, said = await put(agent, f"{SOURCE}.{number}", "s", "web", f"{NAME}.{number}", "s", "web7", f"{STATUS}.{number}", "i", "4",
                           f"{AUTOSTART}.{number}", "i", "1", f"{ACTION}.{number}", "i", "2")  # fmt: skip
    assert code == 0, said
    view = await agent.engine.guest("web7")
    assert view.active and view.autostart and await value(agent, f"{VM}.1.4.1.2.{number}") == 'STRING: "web7"'
    assert "52:54:00:99:99:99" not in await agent.engine.guest_xml("web7")
    code, said = await put(agent, f"{STATUS}.{number}", "i", "6")
    assert code != 0 and refused(said, "inconsistentValue", f"{STATUS}.{number}")
    assert (await put(agent, f"{ACTION}.{number}", "i", "9"))[0] == 0
    assert (await put(agent, f"{STATUS}.{number}", "i", "6"))[0] == 0
    assert "No Such Instance" in await value(agent, f"{NAME}.{number}")
    assert (await put(agent, f"{STATUS}.{number}", "i", "6"))[0] == 0  # RFC 2579: a row that is gone may be destroyed


async def test_a_guest_that_cannot_start_is_not_made(agent: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise HostFailed("no more memory")

    monkeypatch.setitem(agent.local._use_cases, "start", fails)
    number = int((await value(agent, f"{FRN}.1.1.4.0")).split()[1])
    code, said = await put(
        agent, f"{SOURCE}.{number}", "s", "web", f"{STATUS}.{number}", "i", "4", f"{ACTION}.{number}", "i", "2"
    )
    assert code != 0 and refused(said, "commitFailed", f"{ACTION}.{number}"), said
    assert "web" not in [view.name for view in await agent.engine.guests()]


async def test_what_a_new_row_cannot_have_is_refused(agent: Rig) -> None:
    number = int((await value(agent, f"{FRN}.1.1.4.0")).split()[1])
    variables = [f"{SOURCE}.{number}", "s", "web", f"{STATUS}.{number}", "i", "4", f"{VCPUS}.{number}", "u", "1"]
    code, said = await put(agent, *variables)
    assert code != 0 and refused(said, "inconsistentValue", f"{VCPUS}.{number}"), said
    assert "web" not in [view.name for view in await agent.engine.guests()]


@pytest.mark.parametrize(("source", "offset", "reason"), [("web", 5, "inconsistentName"), ("../web", 0, "inconsistentValue"),
                                                          ("nothing", 0, "inconsistentValue")])  # fmt: skip
async def test_only_the_next_number_and_a_stored_definition_will_do(
    agent: Rig, source: str, offset: int, reason: str
) -> None:
    number = int((await value(agent, f"{FRN}.1.1.4.0")).split()[1]) + offset
    code, said = await put(agent, f"{SOURCE}.{number}", "s", source, f"{STATUS}.{number}", "i", "4")
    assert code != 0 and f"Reason: {reason}" in said, said


async def test_without_the_engine_nothing_is_changed(agent: Rig) -> None:
    for socket in agent.sockets:
        socket.close()
    agent.sockets.clear()
    await asyncio.sleep(0)
    code, said = await put(agent, f"{AUTOSTART}.1", "i", "1")
    assert code != 0 and ("resourceUnavailable" in said or "inconsistentName" in said), said
    assert (await put(agent, f"{VM}.1.10.0", "i", "1"))[0] == 0
