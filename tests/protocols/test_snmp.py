"""The SNMP agent beside a mock engine, judged by net-snmp's clients."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest

from frontinus_snmp import ber, pdu
from frontinus_snmp.ber import Oid
from frontinus_snmp.objects import MODULES
from frontinus_snmp.objects.vm import VM_MIB
from frontinus_snmp.settings import Settings, V2c
from frontinus_snmp.tree import View
from support.ports import free_port
from support.snmp import COMMUNITY, PASSWORDS, V2C, VM, Rig, rig, run, v3
from support.traces import descriptors
from support.waiting import until

pytestmark = pytest.mark.needs("snmpget", "snmpbulkwalk")
NAMES = f"{VM}.1.4.1.2"
OPER = f"{VM}.1.4.1.6"


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        yield made


def dotted(oid: tuple[int, ...]) -> str:
    return ".".join(map(str, oid))


# --- what is shown


@pytest.mark.parametrize("access", [V2C, v3()], ids=["v2c", "v3"])
@pytest.mark.parametrize("tool", ["snmpwalk", "snmpbulkwalk"])
async def test_a_walk_shows_every_object(agent: Rig, tool: str, access: list[str]) -> None:
    found = await agent.walk("1.3.6.1", access=access, tool=tool)
    for module in MODULES:
        for scalar in module.scalars:
            if scalar.access != "accessible-for-notify":
                assert f"{dotted(module.oid(scalar))}.0" in found, scalar.name
    for table in MODULES[1].tables:
        for column in table.columns if table.name != "vmCpuAffinityTable" else ():
            prefix = f"{dotted(MODULES[1].oid(table))}.1.{column.number}."
            assert any(name.startswith(prefix) for name in found), column.name
    assert sorted(v for k, v in found.items() if k.startswith(NAMES)) == [
        'STRING: "guest-00000"', 'STRING: "guest-00001"', 'STRING: "test"',
    ]  # fmt: skip


async def test_figures_are_the_engines(agent: Rig) -> None:
    uuid = (await agent.engine.guest("guest-00001")).uuid
    index = agent.link._numbers.numbers[uuid]
    said = await agent.ask("snmpget", f"{VM}.1.4.1.17.{index}", access=v3())
    (figures,) = await agent.engine.stats(["guest-00001"])
    assert figures.cpu and figures.cpu.time
    shown = int(said.rpartition(": ")[2])
    assert 0 < shown <= figures.cpu.time / 1000 < shown + 300_000_000
    said = await agent.ask("snmpget", f"{VM}.1.7.1.11.{index}.1", f"{VM}.1.7.1.10.{index}.1")
    assert [int(line.rpartition(": ")[2]) for line in said.splitlines()] == [2**23, 1024]


async def test_changes_show(agent: Rig) -> None:
    async def state(name: str) -> str:
        index = agent.link._numbers.numbers[(await agent.engine.guest(name)).uuid]
        return (await agent.ask("snmpget", f"{OPER}.{index}")).rpartition(" = ")[2].strip()

    assert await state("guest-00000") == "INTEGER: 4"
    await agent.engine.suspend("guest-00000")
    await agent.engine.destroy("guest-00001")
    await agent.settled()
    assert [await state("guest-00000"), await state("guest-00001")] == ["INTEGER: 8", "INTEGER: 11"]
    await agent.engine.undefine("guest-00001")
    await agent.settled()
    assert sorted((await agent.walk(NAMES)).values()) == ['STRING: "guest-00000"', 'STRING: "test"']


async def test_a_guest_that_comes_back_has_its_number(agent: Rig) -> None:
    view, xml = await agent.engine.guest("guest-00001"), await agent.engine.guest_xml("guest-00001", ["inactive"])
    before = await agent.walk(NAMES)
    await agent.engine.destroy(view.uuid)
    await agent.engine.undefine(view.uuid)
    await agent.settled()
    assert await agent.walk(NAMES) != before
    await agent.engine.define(xml)
    await agent.settled()
    assert await agent.walk(NAMES) == before


async def test_without_the_engine_no_guest_is_shown(agent: Rig) -> None:
    agent.sockets.pop(0).close()
    await until(lambda: not agent.link.tree.state.guests)
    found = await agent.walk("1.3.6.1")
    assert not any(name.startswith(NAMES) for name in found)
    assert found[f"{VM}.1.2.0"] == "INTEGER: 0" and found["1.3.6.1.2.1.1.7.0"] == "INTEGER: 72"


ROWS = int(os.environ.get("FRONTINUS_ROWS", "300"))


async def test_rows_are_never_torn(tmp_path: Path) -> None:
    """While a hundred guests start and stop, every row of every answer is of one guest at one moment."""
    async with rig(tmp_path, guests=ROWS, max_age=2.0) as agent:
        stop, changes, walks = asyncio.Event(), 0, 0
        uuids = {UUID(view.uuid).bytes: view.name for view in await agent.engine.guests()}

        async def churn() -> None:
            nonlocal changes
            while not stop.is_set():
                name = f"guest-{changes % 100:05d}"
                await agent.engine.destroy(name)
                await agent.engine.start(name)
                changes += 1
                await asyncio.sleep(0.002)

        task = asyncio.create_task(churn())
        while walks < 2 or changes <= 10:  # as many as it takes a slow machine
            rows = [row async for row in table(agent.port, (2, 3, 5, 6, 16))]
            walks += 1
            assert len(rows) == ROWS + 1
            for index, (name, uuid, admin, oper, up) in rows:
                assert uuids[uuid] == name.decode() and index == agent.link._numbers.numbers[str(UUID(bytes=uuid))]
                assert (admin, oper) in ((b"\x01", b"\x04"), (b"\x04", b"\x0b")), "off and on at once"
                assert oper == b"\x04" or up == b"\x00"
        stop.set()
        await task
        print(f"{walks * ROWS} rows while guests stopped and started {changes} times")


async def table(port: int, columns: tuple[int, ...]) -> AsyncIterator[tuple[int, tuple[bytes, ...]]]:
    """vmTable row by row, many rows in an answer: the row's number and the columns' values."""
    prefixes = [(*VM_MIB, 1, 4, 1, column) for column in columns]
    names: list[Oid] = list(prefixes)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        sender.connect(("127.0.0.1", port))
        while True:
            bindings = b"".join(ber.varbind(ber.encode_oid(name), b"\x05\x00") for name in names)
            request = pdu.write_community(1, COMMUNITY, pdu.write_pdu(pdu.GET_BULK, 5, 0, 30, bindings))
            await loop.sock_sendall(sender, request)
            data = await asyncio.wait_for(loop.sock_recv(sender, 65536), 60)
            answer = pdu.read_community(data, pdu.version(data)[1]).pdu
            found = [(name, value) for name, _, value in pdu.variables(answer)]
            rows = [found[at : at + len(columns)] for at in range(0, len(found) - len(columns) + 1, len(columns))]
            for row in rows:
                if row[0][0][:-1] != prefixes[0]:
                    return
                names = [name for name, _ in row]
                assert names == [(*prefix, row[0][0][-1]) for prefix in prefixes], "columns of different rows"
                yield row[0][0][-1], tuple(value for _, value in row)


# --- who may


@pytest.mark.parametrize("access", [
    v3("nobody"), v3(passwords=(b"authentic-guess", PASSWORDS[1])), v3(passwords=(PASSWORDS[0], b"private-guess")),
    v3(auth="SHA-512"), v3(auth="MD5"), ["-v3", "-l", "noAuthNoPriv", "-u", "monitor"],
    ["-v3", "-l", "authNoPriv", "-u", "monitor", "-a", "SHA-256", "-A", PASSWORDS[0].decode()],
    ["-v2c", "-c", "public"], ["-v1", "-c", "public"],
], ids=["unknown", "password", "privacy", "other hash", "MD5", "noAuthNoPriv", "authNoPriv", "v2c", "v1"])  # fmt: skip
async def test_others_get_nothing(agent: Rig, access: list[str]) -> None:
    code, said = await run("snmpget", "-t", "1", "-r", "0", *access, f"127.0.0.1:{agent.port}", "1.3.6.1.2.1.1.1.0")
    assert code != 0 and "Frontinus" not in said


async def test_v1_has_a_switch_of_its_own_and_knows_no_counter64(agent: Rig, tmp_path: Path) -> None:
    v1 = ["-v1", "-c", COMMUNITY.decode()]
    found = await agent.walk(f"{VM}.1.4", access=v1, tool="snmpwalk")
    assert f"{VM}.1.4.1.16.1" in found and not any("Counter64" in value for value in found.values())
    code, said = await run("snmpget", *v1, f"127.0.0.1:{agent.port}", f"{VM}.1.4.1.17.1")
    assert code != 0 and "noSuchName" in said
    (tmp_path / "more").mkdir()
    without = Settings(v2c=V2c(COMMUNITY, (ip_network("127.0.0.0/8"),), "all"))
    async with rig(tmp_path / "more", settings=without) as other:
        code, said = await run("snmpget", "-t", "1", "-r", "0", *v1, f"127.0.0.1:{other.port}", "1.3.6.1.2.1.1.1.0")
        assert code != 0 and "Timeout" in said


async def test_v2c_is_off_and_bound_to_its_sources(tmp_path: Path) -> None:
    elsewhere = V2c(COMMUNITY, (ip_network("192.0.2.0/24"),), "all")
    for number, settings in enumerate((Settings(), Settings(v2c=elsewhere))):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with rig(folder, settings=settings, users={"monitor": "all"}) as agent:
            code, said = await run(
                "snmpget", "-t", "1", "-r", "0", *V2C, f"127.0.0.1:{agent.port}", "1.3.6.1.2.1.1.1.0"
            )
            assert code != 0 and "Timeout" in said
            assert "Frontinus" in await agent.ask("snmpget", "1.3.6.1.2.1.1.1.0", access=v3())


async def test_views_fail_closed(tmp_path: Path) -> None:
    views = {"all": View(frozenset({(1, 3, 6, 1)})), "names": View(frozenset({(*VM_MIB, 1, 4, 1, 2)})), "empty": View()}
    users = {"monitor": "all", "names": "names", "empty": "empty", "stray": "not there"}
    async with rig(tmp_path, settings=Settings(views=views), users=users) as agent:
        assert set(await agent.walk("1.3.6.1", access=v3("names"))) >= {f"{NAMES}.1", f"{NAMES}.2", f"{NAMES}.3"}
        assert "No Such Object" in await agent.ask("snmpget", f"{OPER}.1", access=v3("names"))
        for name in ("empty", "stray"):
            said = await agent.ask("snmpwalk", "1.3.6.1", access=v3(name))
            assert "No more variables" in said and len(said.splitlines()) < 4


@pytest.mark.needs("snmpset")
async def test_nothing_can_be_set(agent: Rig) -> None:
    for access in (V2C, v3()):
        code, said = await run("snmpset", *access, f"127.0.0.1:{agent.port}", f"{VM}.1.9.0", "i", "1")
        assert code != 0 and ("noAccess" in said or "notWritable" in said)


async def test_what_was_recorded_cannot_be_played_after_a_restart(tmp_path: Path) -> None:
    recorded: list[bytes] = []
    async with rig(tmp_path) as agent:
        receive = agent.agent.receive
        agent.agent.receive = lambda data, *rest: (recorded.append(data), receive(data, *rest))[1]  # type: ignore[method-assign]
        await agent.ask("snmpget", "1.3.6.1.2.1.1.1.0", access=v3())
        assert len(await played(agent, recorded[-1])) > 150
    async with rig(tmp_path) as agent:
        assert agent.agent.authority.boots == 2
        assert len(await played(agent, recorded[-1])) < 150
        assert agent.counters["usmStatsNotInTimeWindows"] == 1


async def played(agent: Rig, data: bytes) -> bytes:
    """The answer to a packet."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        sender.connect(("127.0.0.1", agent.port))
        await loop.sock_sendall(sender, data)
        return await asyncio.wait_for(loop.sock_recv(sender, 65536), 60)


# --- the process


async def program(folder: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "frontinus_snmp.main", "--monitor-socket", str(folder / "run/ro.sock"), *options,
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_without_a_user_it_opens_no_port_and_waits(tmp_path: Path) -> None:
    process = await program(tmp_path)
    assert process.stderr is not None
    assert b"no user is configured" in await asyncio.wait_for(process.stderr.readline(), 60)
    opened = descriptors(process.pid)
    inodes = {name.removeprefix("socket:[").removesuffix("]") for name in opened if name.startswith("socket")}
    udp = {line.split()[9] for line in Path(f"/proc/{process.pid}/net/udp").read_text().splitlines()[1:]}
    assert not inodes & udp
    process.terminate()
    assert await asyncio.wait_for(process.communicate(), 60) == (None, b"") and process.returncode == 0


async def test_a_user_who_is_added_is_let_in_without_a_restart(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "state/snmp").mkdir(parents=True)
    (tmp_path / "state/snmp/snmp.toml").write_text(f'listen = ["127.0.0.1:{port}"]\nlocation = "rack 7"\n')
    process = await program(tmp_path)
    try:
        assert process.stderr is not None
        assert b"no user is configured" in await asyncio.wait_for(process.stderr.readline(), 60)
        adding = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "frontinus_snmp.main", "--state", str(tmp_path / "state/snmp"), "adduser", "monitor",
            "--password-fd", "0", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await adding.communicate(b"\n".join(PASSWORDS))
        assert adding.returncode == 0
        while b"listening" not in await asyncio.wait_for(process.stderr.readline(), 60):
            pass
        code, said = await run("snmpget", *v3(), f"127.0.0.1:{port}", "1.3.6.1.2.1.1.6.0")
        assert code == 0 and "rack 7" in said
    finally:
        process.terminate()
        await process.wait()


# --- what it costs


async def test_a_thousand_guests_walk_quickly(tmp_path: Path) -> None:
    async with rig(tmp_path, guests=1000, max_age=60) as agent:
        await agent.ask("snmpget", "1.3.6.1.2.1.1.1.0")
        for access, limit in ((V2C, 2e-3), (v3(), 4e-3)):  # ten times what it takes: far less than the square of it
            before, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
            said = await agent.ask("snmpbulkwalk", "-Cr50", VM, access=access)
            count, wall = len(said.splitlines()), time.perf_counter() - before
            cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime - used
            print(
                f"{access[0]}: {count} in {wall:.2f} s, {wall / count * 1e6:.1f} us each, our CPU {cpu / count * 1e6:.1f} us"
            )
            assert count > 38_000 and cpu / count < limit


async def test_definitions_that_take_too_long_are_read_in_more_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontinus_snmp.link.DEADLINE", 0.05)
    async with rig(tmp_path, guests=150, max_age=60) as agent:
        assert len(agent.link.tree.state.guests) == 151
