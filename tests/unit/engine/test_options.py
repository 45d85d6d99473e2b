"""Starts, saves and dumps with options, what events do, single vCPUs, I/O threads, pages, the agent's keys: on the mock."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.engine import Engine
from frontinus.api.errors import Denied, HostFailed, InvalidValue, NoSuchGuest, StorageFailed, Unsupported, WrongState
from frontinus.api.identity import Identity
from frontinus.api.options import MonitorEvent
from frontinus.api.tuning import IothreadParameters
from frontinus.client.remote import connect
from frontinus.daemon.server import Server
from frontinus.domain.guest import Guest
from frontinus.domain.vcpus import each, set_count, set_maximum, switch
from frontinus.engine.guest import directio
from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from frontinus.linux.node import LinuxNode
from frontinus.mock.engine import ROOT
from frontinus.mock.hypervisor import MockGuest
from support.machine import server as machine
from support.waiting import until

XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu current='2'>4</vcpu>
<iothreads>1</iothreads><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><graphics type='vnc' passwd='geheim'/></devices></domain>"""
SECONDS = 20


@pytest.fixture
async def engine(local: LocalEngine) -> Engine:
    session = local.session(ROOT)
    await session.define(XML.format(name="a"))
    return session


def process(local: LocalEngine, name: str = "a") -> MockGuest:
    found = local.world.guests.find(name).need_running().process
    assert isinstance(found, MockGuest)
    return found


# --- starts and saves


async def test_starts_with_flags(engine: Engine) -> None:
    assert (await engine.start_with("a", ["paused"])).state == "paused"
    await engine.destroy("a")
    assert (await engine.create_with(XML.format(name="b"), ["paused", "reset-nvram"])).state == "paused"
    with pytest.raises(Unsupported, match="connection"):
        await engine.start_with("a", ["autodestroy"])
    assert not (await engine.guest("a")).active


@pytest.mark.parametrize("flags", [[], ["bypass-cache"]])
async def test_saves_come_back_as_they_are_to(engine: Engine, tmp_path: Path, flags: list[str]) -> None:
    place = str(tmp_path / "saved")
    await engine.start("a")
    await engine.save_with("a", place, flags=["paused", *flags])  # type: ignore[list-item]
    assert Path(place).read_bytes().endswith(b"mock state"), "what was written in whole blocks is cut to its length"
    assert (await engine.restore_with(place, flags=flags)).state == "paused"  # type: ignore[arg-type]
    await engine.resume("a")
    await engine.save_with("a", flags=flags)  # type: ignore[arg-type]
    assert (await engine.start_with("a", flags)).reason == "restored"  # type: ignore[arg-type]
    await engine.dump_with("a", str(tmp_path / "core"), flags=["memory-only", *flags])  # type: ignore[list-item]
    assert (tmp_path / "core").read_bytes() == b"\x7fELF mock core"
    with pytest.raises(InvalidValue, match="exclude"):
        await engine.save_with("a", place, flags=["paused", "running"])


async def test_the_definition_in_a_managed_save(engine: Engine) -> None:
    with pytest.raises(WrongState, match="no managed save"):
        await engine.managed_definition("a")
    await engine.start("a")
    await engine.managed_save("a")
    xml = await engine.managed_definition("a", ["secure"])
    assert "geheim" in xml and "geheim" not in await engine.managed_definition("a")
    await engine.redefine_managed("a", xml.replace("</name>", "</name><title>Edited</title>"), paused=True)
    view = await engine.start("a")
    assert (view.title, view.state) == ("Edited", "paused")
    assert "geheim" in await engine.guest_xml("a", ["secure"]), "an edited document keeps what it showed"


async def test_passwords_are_not_for_those_who_look(local: LocalEngine, engine: Engine) -> None:
    await engine.start("a")
    await engine.managed_save("a")
    monitor = local.session(Identity(uid=1, gid=1, readonly=True))
    assert "<name>a</name>" in await monitor.managed_definition("a")
    with pytest.raises(Denied):
        await monitor.managed_definition("a", ["secure"])
    with pytest.raises(Denied):
        await anext(monitor.watch_monitor("a"))


@given(st.binary(max_size=3 * directio.BLOCK), st.integers(0, 2))
def test_what_is_carried_past_the_cache_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, many: int
) -> None:
    path, whole = tmp_path_factory.mktemp("direct") / "file", data * (1 + 200 * many)

    async def there_and_back() -> bytes:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.write(fd, b"h" * directio.BLOCK)
        async with directio.writer(path, fd) as sink:
            await asyncio.to_thread(_write_all, sink, whole)
        assert os.lseek(fd, 0, os.SEEK_CUR) == directio.BLOCK + len(whole)
        os.lseek(fd, directio.BLOCK, os.SEEK_SET)
        async with directio.reader(path, fd) as source:
            found = await asyncio.to_thread(_read_all, os.dup(source))
        os.close(fd)
        return found

    assert asyncio.run(there_and_back()) == whole
    assert path.stat().st_size == directio.BLOCK + len(whole)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


async def test_a_reader_that_leaves_early_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4 * 2**20))
    fd = os.open(path, os.O_RDONLY)
    before = len(list(Path("/proc/self/fd").iterdir()))
    async with asyncio.timeout(SECONDS), directio.reader(path, fd):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    os.close(fd)


async def test_a_file_system_without_direct_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)

    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageFailed, match="bypass the cache"):
        async with directio.writer(path, fd):
            raise AssertionError
    monkeypatch.undo()
    os.close(fd)


# --- guests that end with a connection


async def test_a_guest_ends_with_the_connection(local: LocalEngine, engine: Engine, tmp_path: Path) -> None:
    server = Server(tmp_path / "socket", local.session, readonly=False, mode=0o600)
    try:
        remote = await connect(tmp_path / "socket")
        async with remote as caller:
            await caller.start_with("a", ["autodestroy"])
            await caller.create_with(XML.format(name="b"), ["autodestroy"])
            await caller.create(XML.format(name="c"))
            ends = [local.world.guests.find(name).need_running().ended for name in "ab"]
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(end.wait() for end in ends))
        await until(lambda: local.world.guests.find("a").state == "shutoff")
        assert (await engine.guest("a")).reason == "destroyed" and (await engine.guest("c")).active
        with pytest.raises(NoSuchGuest):
            await engine.guest("b")
        await engine.start("a")  # what comes after is nobody's
        assert not local.world.guests.find("a").ends_with_caller
    finally:
        server.close()


async def test_a_guest_whose_connection_was_to_an_earlier_engine(
    local: LocalEngine, engine: Engine, tmp_path: Path
) -> None:
    server = Server(tmp_path / "socket", local.session, readonly=False, mode=0o600)
    remote = await connect(tmp_path / "socket")
    await remote.start_with("a", ["autodestroy"])  # type: ignore[misc]
    world = local.world
    assert '"autodestroy": true' in (await world.store.load("running"))[0].text
    record = world.guests.find("a")
    assert record.running is not None and record.running.news is not None
    record.running.news.cancel()
    world.guests.remove(record)
    await recover(world)
    await until(lambda: world.guests.find("a").state == "shutoff")
    remote.close()
    server.close()


# --- tuning


async def test_what_events_do(local: LocalEngine, engine: Engine) -> None:
    await engine.start("a")
    await engine.set_lifecycle_action("a", "reboot", "destroy", live=True)
    assert process(local).ends_on_reboot and "<on_reboot>destroy" in await engine.guest_xml("a")
    assert "<on_reboot>restart" in await engine.guest_xml("a", ["inactive"])
    await engine.set_lifecycle_action("a", "crash", "preserve", config=True)
    assert "<on_crash>preserve" in await engine.guest_xml("a", ["inactive"])
    for kind, action, error in (("reboot", "preserve", Unsupported), ("poweroff", "rename-restart", Unsupported),
                                ("poweroff", "coredump-restart", InvalidValue), ("poweroff", "restart", Unsupported)):  # fmt: skip
        with pytest.raises(error):
            await engine.set_lifecycle_action("a", kind, action)  # type: ignore[arg-type]
    await engine.set_lifecycle_action("a", "reboot", "restart", live=True)
    assert not process(local).ends_on_reboot


async def test_single_vcpus(engine: Engine) -> None:
    await engine.start("a")
    await engine.switch_vcpus("a", [3], True, live=True, config=True)
    live = await engine.guest_xml("a")
    assert "<vcpu placement='static' current='3'>4</vcpu>" in live.replace('"', "'")
    assert "id='2' enabled='no' hotpluggable='yes'" in live.replace('"', "'")
    assert (await engine.guest("a")).vcpus == 3
    for numbers, online, text in (
        ([0], False, "first"),
        ([3], True, "on already"),
        ([4], True, "no vCPU 4"),
        ([], True, "at least"),
    ):
        with pytest.raises(InvalidValue, match=text):
            await engine.switch_vcpus("a", numbers, online)
    await engine.set_vcpus("a", 4, config=True)
    await engine.set_vcpus("a", 2, maximum=True, config=True)
    stored = (await engine.guest_xml("a", ["inactive"])).replace('"', "'")
    assert ">2</vcpu>" in stored and "id='2'" not in stored


@given(st.integers(1, 8), st.data())
def test_vcpus_are_counted_right(total: int, data: st.DataObject) -> None:
    guest = Guest(type="kvm", name="g", vcpus=total, vcpu_current=data.draw(st.integers(1, total)))
    for _ in range(6):
        total = guest.vcpus or 1
        step = data.draw(st.sampled_from(["count", "on", "off", "maximum"]))
        on = [vcpu.id for vcpu in each(guest) if vcpu.enabled]
        off = [vcpu.id for vcpu in each(guest) if not vcpu.enabled]
        if step == "count":
            wanted = data.draw(st.integers(1, total))
            set_count(guest, wanted)
            assert sum(vcpu.enabled for vcpu in each(guest)) == wanted
        elif step == "maximum":
            set_maximum(guest, data.draw(st.integers(1, 8)))
        elif step == "on" and off:
            switch(guest, {data.draw(st.sampled_from(off))}, online=True)
        elif step == "off" and len(on) > 1:
            switch(guest, {data.draw(st.sampled_from(on[1:]))}, online=False)
        states = each(guest)
        assert [vcpu.id for vcpu in states] == list(range(guest.vcpus or 1)) and states[0].enabled
        assert (guest.vcpu_current or guest.vcpus) == sum(vcpu.enabled for vcpu in states)
        assert all(vcpu.enabled or vcpu.hotpluggable for vcpu in states) and not states[0].hotpluggable


async def test_iothreads_poll_as_they_are_told(local: LocalEngine, engine: Engine) -> None:
    await engine.start("a")
    await engine.set_iothread("a", 1, IothreadParameters(poll_max_ns=5000, thread_pool_min=70, thread_pool_max=80),
                              live=True, config=True)  # fmt: skip
    assert list(process(local).settings[1].items()) == [
        ("thread-pool-max", 80), ("poll-max-ns", 5000), ("thread-pool-min", 70)]  # fmt: skip
    xml = (await engine.guest_xml("a", ["inactive"])).replace('"', "'")
    assert "<poll max='5000'/>" in xml and "thread_pool_max='80'" in xml
    for number, values in ((2, IothreadParameters(poll_grow=1)), (1, IothreadParameters()),
                           (1, IothreadParameters(thread_pool_min=81)), (1, IothreadParameters(poll_grow=-1))):  # fmt: skip
        with pytest.raises(InvalidValue):
            await engine.set_iothread("a", number, values)


# --- the host, the monitor, the agent


def test_pages_of_a_host(tmp_path: Path) -> None:
    root = machine(tmp_path)
    for node in (0, 1):
        pool = root / f"sys/devices/system/node/node{node}/hugepages/hugepages-2048kB"
        (pool / "free_hugepages").write_text(f"{node + 3}\n")
    node = LinuxNode(root)
    assert node.free_pages(1).pages == {4096: 0, 2**21: 4, 2**30: 0}
    assert node.allocate_pages(2**21, 10, 0, add=True) == 15
    assert (root / "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages").read_text() == "15"
    assert node.allocate_pages(2**21, 4, 0, add=False) == 4
    with pytest.raises(InvalidValue, match="no NUMA node 7"):
        node.free_pages(7)
    with pytest.raises(InvalidValue, match="4096"):
        node.allocate_pages(4096, 1, 0, add=False)


def test_pages_that_the_kernel_does_not_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(tmp_path)
    monkeypatch.setattr(Path, "write_text", lambda self, text: len(text))
    with pytest.raises(HostFailed, match="found room for 5 of 100"):
        LinuxNode(root).allocate_pages(2**21, 100, 0, add=False)


async def test_events_of_monitors(local: LocalEngine, engine: Engine) -> None:
    await engine.start("a")
    await engine.create(XML.format(name="b"))
    found: list[MonitorEvent] = []

    async def listen(guest: str | None) -> None:
        async for event in engine.watch_monitor(guest):
            found.append(event)
            if len(found) == 2:
                return

    task = asyncio.create_task(listen("a"))
    await asyncio.sleep(0)
    await until(lambda: local.world.overhearing._readers)
    process(local, "b").tell("rtc", offset=1)
    process(local).tell("rtc", offset=2)
    process(local).tell("reset")
    await asyncio.wait_for(task, SECONDS)
    assert [(event.name, event.event, event.data) for event in found] == [
        ("a", "RTC", '{"offset": 2}'),
        ("a", "RESET", "{}"),
    ]
    with pytest.raises(NoSuchGuest):
        await anext(engine.watch_monitor("nobody"))


async def test_keys_and_disks_by_the_agent(local: LocalEngine, engine: Engine) -> None:
    await engine.start("a")
    guest = process(local)
    guest.agent = {
        "guest-ssh-get-authorized-keys": {"keys": ["ssh-ed25519 AAAA me"]}, "guest-ssh-add-authorized-keys": {},
        "guest-ssh-remove-authorized-keys": {},
        "guest-get-disks": [{"name": "/dev/vda1", "partition": True, "dependencies": ["/dev/vda"], "alias": "boot"}],
    }  # fmt: skip
    assert await engine.authorized_keys("a", "root") == ["ssh-ed25519 AAAA me"]
    await engine.set_authorized_keys("a", "root", ["k1"])
    await engine.set_authorized_keys("a", "root", [], "replace")
    await engine.set_authorized_keys("a", "root", ["k1"], "remove")
    asked = [command.get("arguments") for command in guest.asked]
    assert asked[1:] == [{"username": "root", "keys": ["k1"], "reset": False}, {"username": "root", "keys": [], "reset": True},
                         {"username": "root", "keys": ["k1"]}]  # fmt: skip
    for keys, mode in ((["a\nb"], "append"), ([], "append"), ([], "remove")):
        with pytest.raises(InvalidValue):
            await engine.set_authorized_keys("a", "root", keys, mode)  # type: ignore[arg-type]
    (disk,) = await engine.guest_disks("a")
    assert (disk.name, disk.partition, disk.dependencies, disk.target) == ("/dev/vda1", True, ("/dev/vda",), None)


async def test_how_long_an_agent_has(local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.start("a")
    given_: list[float] = []

    async def answer(command: str, deadline: float) -> str:
        given_.append(deadline)
        return '{"return": {"host-name": "h"}}'

    monkeypatch.setattr(process(local), "agent_command", answer)
    await engine.set_agent_timeout("a", 42)
    assert await engine.guest_hostname("a") == "h"
    await engine.set_agent_timeout("a")
    await engine.guest_hostname("a")
    assert given_ == [42, 5.0]
    with pytest.raises(InvalidValue):
        await engine.set_agent_timeout("a", 0)
