"""The engine's use cases on the mock hypervisor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AlreadyExists,
    Denied,
    HypervisorFailed,
    InvalidValue,
    InvalidXML,
    NoSuchGuest,
    NoSuchMetadata,
    Unresponsive,
    WrongState,
)
from frontinus.api.events import ChangedEvent, LifecycleEvent
from frontinus.api.identity import Identity
from frontinus.api.views import Snapshot
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.host import Paths
from frontinus.engine import runstate
from frontinus.engine.launch import PORT_TRIES
from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from frontinus.mock.capabilities import capabilities
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.hypervisor import MockHypervisor

XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalEngine]:
    paths = Paths(*(str(tmp_path / name) for name in ("config", "state", "run", "log", "cache")))
    engine = await mock_engine(paths, fixture=False)
    yield engine
    await engine.stop()


@pytest.fixture
async def engine(local: LocalEngine) -> Engine:
    return local.session(ROOT)


async def lifecycle(engine: Engine, count: int) -> list[tuple[str, str]]:
    """The next `count` lifecycle events."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(5):
        async for item in engine.watch():
            if isinstance(item, LifecycleEvent):
                found.append((item.kind, item.detail))
            if len(found) == count:
                break
    return found


async def watch(engine: Engine, count: int) -> asyncio.Task[list[tuple[str, str]]]:
    task = asyncio.create_task(lifecycle(engine, count))
    await asyncio.sleep(0)
    return task


async def test_life_of_a_guest(engine: Engine) -> None:
    events = await watch(engine, 7)
    view = await engine.define(XML.format(name="a"))
    assert (view.state, view.persistent, view.vcpus, view.max_vcpus) == ("shutoff", True, 1, 2)
    assert (await engine.start("a")).state == "running"
    await engine.suspend("a")
    assert (await engine.guest(view.uuid)).reason == "user"
    await engine.resume("a")
    await engine.destroy("a")
    assert [(g.state, g.reason) for g in await engine.guests()] == [("shutoff", "destroyed")]
    await engine.start("a", paused=True)
    assert await events == [("defined", "added"), ("started", "booted"), ("suspended", "paused"), ("resumed", "unpaused"),
                            ("stopped", "destroyed"), ("started", "booted"), ("suspended", "paused")]  # fmt: skip
    await engine.destroy("a")
    await engine.undefine("a")
    with pytest.raises(NoSuchGuest):
        await engine.guest("a")


async def test_our_own_stops_are_told_once_however_late_they_are_heard(local: LocalEngine, engine: Engine) -> None:
    """Nothing is awaited between the calls that would let the engine hear the guest's own news of them."""
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    record = local.world.guests.find("a")
    assert record.running
    events = await watch(engine, 3)
    for _ in range(2):
        record.running.quiet = True
        await record.running.process.pause()
        await record.running.process.resume()
        record.running.quiet = False
    for _ in range(20):
        await asyncio.sleep(0)  # now the news are heard
    await engine.suspend("a")
    await engine.resume("a")
    await engine.destroy("a")
    assert await events == [("suspended", "paused"), ("resumed", "unpaused"), ("stopped", "destroyed")]


VNC = XML.replace("</domain>", "<devices><graphics type='vnc' port='{port}' autoport='{auto}'/></devices></domain>")


def busy_until(hypervisor: MockHypervisor, last: int) -> list[int]:
    """The ports that starts try; those up to the last one are another program's, which shows only then."""
    tried: list[int] = []
    launch = hypervisor.launch

    async def refusing(*args: object, **kwargs: object) -> object:
        tried.append(hypervisor._planned.devices.graphics[0].port or 0)
        if len(tried) <= last:
            raise HypervisorFailed("QEMU did not start: Failed to find an available port: Address already in use")
        return await launch(*args, **kwargs)  # type: ignore[arg-type]

    hypervisor.launch = refusing  # type: ignore[assignment, method-assign]
    return tried


async def test_a_port_that_another_took_meanwhile_is_left_for_the_next(local: LocalEngine, engine: Engine) -> None:
    assert isinstance(local.world.hypervisor, MockHypervisor)
    await engine.define(VNC.format(name="a", port=-1, auto="yes"))
    tried = busy_until(local.world.hypervisor, 2)
    await engine.start("a")
    assert len(tried) == len(set(tried)) == 3 and f"port='{tried[-1]}'" in await engine.guest_xml("a")
    await engine.destroy("a")


async def test_ports_are_not_tried_without_end_nor_those_that_the_user_chose(
    local: LocalEngine, engine: Engine
) -> None:
    assert isinstance(local.world.hypervisor, MockHypervisor)
    tried = busy_until(local.world.hypervisor, 1000)
    for port, auto, times in ((-1, "yes", PORT_TRIES), (5999, "no", 1)):
        tried.clear()
        await engine.define(VNC.format(name=f"g{times}", port=port, auto=auto))
        with pytest.raises(HypervisorFailed, match="Address already in use"):
            await engine.start(f"g{times}")
        assert len(tried) == times


async def test_shutdown_by_the_guest_ends_it(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    events = await watch(engine, 2)
    await engine.shutdown("a")
    assert await events == [("shutdown", "guest"), ("stopped", "shutdown")]
    assert (await engine.guest("a")).reason == "shutdown"


async def test_transient_guest_leaves_no_trace(local: LocalEngine, engine: Engine) -> None:
    view = await engine.create(XML.format(name="t"))
    assert (view.persistent, view.state) == (False, "running")
    await engine.destroy("t")
    assert await engine.guests() == []
    assert local.world.store.documents["running"] == {}  # type: ignore[attr-defined]


async def test_names_and_uuids_are_unique(engine: Engine) -> None:
    view = await engine.define(XML.format(name="a"))
    with pytest.raises(AlreadyExists):
        await engine.define(XML.format(name="a"))
    other = XML.format(name="b").replace("<memory", f"<uuid>{view.uuid}</uuid><memory")
    with pytest.raises(AlreadyExists):
        await engine.define(other)
    again = XML.format(name="a").replace("<memory", f"<uuid>{view.uuid}</uuid><title>T</title><memory")
    assert (await engine.define(again)).title == "T"


async def test_wrong_states_are_refused(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    for call in (engine.suspend, engine.resume, engine.destroy, engine.shutdown, engine.reset):
        with pytest.raises(WrongState):
            await call("a")
    await engine.start("a")
    with pytest.raises(WrongState):
        await engine.start("a")
    with pytest.raises(WrongState):
        await engine.rename("a", "b")


async def test_failed_start_leaves_nothing(local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise InvalidValue("no")

    await engine.define(XML.format(name="a"))
    monkeypatch.setattr(local.world.hypervisor, "launch", fail)
    with pytest.raises(InvalidValue):
        await engine.start("a")
    assert (await engine.guest("a")).state == "shutoff"
    assert local.world.store.documents["running"] == {}  # type: ignore[attr-defined]
    assert local.world.resources.held == []  # type: ignore[attr-defined]


async def test_managed_save_and_restore(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")
    view = await engine.guest("a")
    assert (view.state, view.reason, view.managed_save) == ("shutoff", "saved", True)
    with pytest.raises(WrongState):
        await engine.undefine("a")
    view = await engine.start("a")
    assert (view.state, view.reason, view.managed_save) == ("running", "restored", False)


async def test_who_watches_hears_that_a_saved_state_is_used_up(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")
    stream = engine.watch()
    await anext(stream)
    view = await engine.start("a")
    async with asyncio.timeout(20):
        async for item in stream:
            if isinstance(item, LifecycleEvent | ChangedEvent) and item.guest == view:
                break
    await stream.aclose()  # type: ignore[attr-defined]


async def test_save_and_restore_a_transient_guest(engine: Engine, tmp_path: Path) -> None:
    await engine.create(XML.format(name="a"))
    file = str(tmp_path / "a.save")
    await engine.save("a", file)
    assert await engine.guests() == []
    assert "<name>a</name>" in await engine.saved_xml(file)
    assert (await engine.restore(file, paused=True)).state == "paused"
    await engine.destroy("a")


async def test_a_saved_guest_is_restored_with_a_definition_of_the_same_hardware(engine: Engine, tmp_path: Path) -> None:
    await engine.create(XML.format(name="a"))
    text, file = await engine.guest_xml("a"), str(tmp_path / "a.save")
    larger = text.replace("65536</memory>", "131072</memory>")
    named = text.replace("</name>", "</name><title>By another description</title>")
    assert text not in (larger, named)
    with pytest.raises(InvalidXML, match="<memory>: .* became"):
        await engine.save("a", file, xml=larger)
    assert (await engine.guest("a")).state == "running"
    await engine.save("a", file, xml=named)
    assert "By another" in await engine.saved_xml(file)
    with pytest.raises(InvalidXML, match="<memory>: .* became"):
        await engine.restore(file, xml=larger)
    assert await engine.guests() == []
    await engine.restore(file, xml=text)
    assert "By another" not in await engine.guest_xml("a")
    await engine.destroy("a")


async def test_a_slow_watcher_is_resynchronised(local: LocalEngine, engine: Engine) -> None:
    local.world.bus._limit = 3
    stream = engine.watch()
    first = await anext(stream)
    assert isinstance(first, Snapshot) and not first.resync
    for number in range(5):
        await engine.define(XML.format(name=f"g{number}"))
    again = await anext(stream)
    assert isinstance(again, Snapshot) and again.resync and len(again.guests) == 5
    await engine.undefine("g0")
    assert isinstance(item := await anext(stream), LifecycleEvent) and item.kind == "undefined"
    assert item.generation == again.generation + 1


async def test_readonly_sessions_cannot_write(local: LocalEngine) -> None:
    await local.session(ROOT).define(XML.format(name="a"))
    reader = local.session(Identity(uid=1000, gid=1000, readonly=True))
    assert len(await reader.guests()) == 1
    with pytest.raises(Denied):
        await reader.start("a")
    with pytest.raises(Denied):
        await reader.guest_xml("a", ["secure"])


async def test_one_call_brings_guests_host_and_engine(local: LocalEngine, engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    local.world.restarts = {"snmp": 2}
    async with local.world.jobs.run("save", (await engine.guest("a")).uuid) as job:
        job.processed, job.total = 1, 4
        told = await engine.poll(max_age=0.0)
        assert [(j.kind, j.progress) for j in told.guests[0].jobs] == [("save", 0.25)] and told.engine.jobs == 1
    assert told.host.memory >= told.host.memory_available > 0
    assert told.engine.restarts == {"snmp": 2} and told.engine.rss > 2**20 and told.engine.generation > 0
    again = await engine.poll(max_age=60.0)
    assert (again.engine.rounds, again.engine.shared) == (told.engine.rounds, told.engine.shared + 1)
    assert again.guests[0].jobs == () and again.engine.jobs == 0


async def test_the_dirty_rate_is_measured_on_request(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    with pytest.raises(WrongState):
        await engine.measure_dirty_rate("a")
    await engine.start("a")
    assert (await engine.stats(["a"]))[0].dirty_rate is None
    for seconds in (0, 61):
        with pytest.raises(InvalidValue, match="1 to 60"):
            await engine.measure_dirty_rate("a", seconds)
    await engine.measure_dirty_rate("a", 2)
    (told,) = await engine.stats(["a"])
    assert told.dirty_rate is not None and (told.dirty_rate.seconds, told.dirty_rate.rate) == (2.0, 2**20)


async def test_stats_share_a_round_and_go_stale(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontinus.engine.stats.DEADLINE", 0.05)
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    hypervisor = local.world.hypervisor
    assert isinstance(hypervisor, MockHypervisor)
    guest = next(iter(hypervisor.guests.values()))
    rounds = 0
    figures = guest.figures

    async def counted(*args: object) -> object:
        nonlocal rounds
        rounds += 1
        return await figures(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(guest, "figures", counted)
    answers = await asyncio.gather(*(engine.stats() for _ in range(10)))
    assert rounds == 1 and all(a[0].cpu is not None and not a[0].stale for a in answers)
    await engine.stats(max_age=60)
    assert rounds == 1
    guest.answers.clear()
    stale = (await engine.stats())[0]
    assert stale.stale and stale.taken == answers[0][0].taken


async def test_figures_that_fail_unexpectedly_are_stale_alone(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        await engine.define(XML.format(name=name))
        await engine.start(name)
    hypervisor = local.world.hypervisor
    assert isinstance(hypervisor, MockHypervisor)

    async def broken(*args: object) -> object:
        raise RuntimeError("a bug")

    monkeypatch.setattr(
        next(guest for guest in hypervisor.guests.values() if guest.guest.name == "a"), "figures", broken
    )
    assert {told.name: told.stale for told in await engine.stats()} == {"a": True, "b": False}
    assert "a bug" in caplog.text


async def test_metadata(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.set_metadata("a", "title", "One line")
    await engine.set_metadata("a", "element", "<app x='1'/>", "my", "http://example.org/app")
    assert await engine.metadata("a", "title") == "One line"
    assert 'x="1"' in await engine.metadata("a", "element", "http://example.org/app")
    with pytest.raises(NoSuchMetadata):
        await engine.metadata("a", "element", "http://example.org/other")
    with pytest.raises(InvalidXML):
        await engine.set_metadata("a", "element", "<app", "my", "http://example.org/app")


async def test_balloon_and_vcpus(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.set_vcpus("a", 2, config=True)
    assert (await engine.guest("a")).vcpus == 2
    with pytest.raises(InvalidValue):
        await engine.set_vcpus("a", 3, config=True)
    await engine.start("a")
    await engine.set_memory("a", 32 * 2**20, live=True)
    async with asyncio.timeout(2):
        async for _ in engine.watch():
            if (await engine.guest("a")).memory == 32 * 2**20:
                return


async def test_recovery_finds_running_guests_and_buries_dead_ones(local: LocalEngine, engine: Engine) -> None:
    for name in ("lives", "dies"):
        await engine.define(XML.format(name=name))
        await engine.start(name)
    await engine.suspend("lives")
    before = await engine.guest("lives")
    dead = local.world.guests.find("dies").need_running().process
    world = local.world
    await local.stop()
    dead.state = "closed"  # type: ignore[attr-defined]
    world.guests.__init__()  # type: ignore[misc]
    await recover(world)
    assert [(g.name, g.state, g.reason) for g in await engine.guests()] == [
        ("dies", "shutoff", "daemon"), ("lives", "paused", "user")]  # fmt: skip
    assert (await engine.guest("lives")).id == before.id


@pytest.mark.parametrize(("paused", "found"), [(False, ("running", "booted")), (True, ("paused", "user"))])
async def test_a_start_writes_its_books_twice(local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch,
                                              paused: bool, found: tuple[str, str]) -> None:  # fmt: skip
    """Before anything is made, and when the process is there: then with the state that it is about to have."""
    await engine.define(XML.format(name="a"))
    written: list[str] = []
    save = local.world.store.save

    async def counted(kind: str, key: str, text: str) -> None:
        written.append(text)
        await save(kind, key, text)

    monkeypatch.setattr(local.world.store, "save", counted)
    await engine.start("a", paused=paused)
    states = [runstate.decode(text) for text in written]
    assert [bool(state.xml) for state in states] == [False, True]
    assert [state.process is not None for state in states] == [False, True]
    view = await engine.guest("a")
    assert (view.state, view.reason) == (states[1].state, states[1].reason) == found
    assert abs(states[1].since - view.since) < 5


async def test_a_guest_that_does_not_answer_a_new_engine_is_kept(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontinus.engine.recovery.RETRY", 0.01)
    await engine.define(XML.format(name="hangs"))
    await engine.start("hangs")
    world = local.world
    attach = world.hypervisor.attach

    async def hung(_: object) -> None:
        raise Unresponsive("no answer")

    await local.stop()
    world.guests.__init__()  # type: ignore[misc]
    monkeypatch.setattr(world.hypervisor, "attach", hung)
    await recover(world)
    assert [(g.state, g.active) for g in await engine.guests()] == [("nostate", True)]
    with pytest.raises(Unresponsive):
        await engine.start("hangs")
    events = engine.watch()
    await anext(events)
    monkeypatch.setattr(world.hypervisor, "attach", attach)
    await anext(events)
    assert (await engine.guest("hangs")).state == "running"


async def test_torn_definition_is_set_aside(local: LocalEngine, engine: Engine) -> None:
    await engine.define(XML.format(name="good"))
    store = local.world.store
    await store.save("definitions", "11111111-1111-1111-1111-111111111111", "<domain type='qemu'><na")
    local.world.guests.__init__()  # type: ignore[misc]
    await recover(local.world)
    assert [g.name for g in await engine.guests()] == ["good"]
    assert len(store.aside) == 1  # type: ignore[attr-defined]


async def test_destroy_of_a_hung_guest_is_said(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    process = local.world.guests.find("a").need_running().process

    async def hang(**_: object) -> None:
        raise Unresponsive("it lives on")

    monkeypatch.setattr(process, "quit", hang)
    with pytest.raises(Unresponsive):
        await engine.destroy("a", graceful=True)
    assert (await engine.guest("a")).state == "running"


async def test_every_write_is_audited(local: LocalEngine, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "frontinus.audit")
    view = await engine.define(XML.format(name="a"))
    await engine.guests()
    with pytest.raises(WrongState):
        await engine.destroy("a")
    with pytest.raises(Denied):
        await local.session(Identity(uid=7, gid=7, pid=9, readonly=True)).start("a")
    assert [record.message for record in caplog.records] == [
        "uid=0 pid=0 via=socket call=define guest=a uuid=- result=done",
        f"uid=0 pid=0 via=socket call=destroy guest=a uuid={view.uuid} result=wrong-state",
        f"uid=7 pid=9 via=socket call=start guest=a uuid={view.uuid} result=denied",
    ]


async def test_the_audit_log_names_what_is_no_guest(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "frontinus.audit"):
        view = await engine.define_network("<network><name>lab</name></network>")
        await engine.start_network("lab")
    assert [r.getMessage() for r in caplog.records][-1] == (
        f'uid=0 pid=0 via=socket call=start_network guest=- uuid=- network_name="lab" network_uuid="{view.uuid}" result=done'
    )


async def test_the_audit_trail_tells_starts_and_ends(local: LocalEngine, engine: Engine) -> None:
    disk = "<devices><disk type='file'><source file='/a.img'/><target dev='vda'/></disk></devices></domain>"
    await engine.create(XML.format(name="a").replace("</domain>", disk))
    await engine.destroy("a")
    records = local.world.audit.records  # type: ignore[attr-defined]
    assert records[0] == ("resource", "a", "disk start None->/a.img", True)
    assert [r[2] for r in records if r[0] == "control"] == ["start booted", "stop destroyed"]


async def test_kvm_is_there_only_if_guests_can_have_it(local: LocalEngine, engine: Engine) -> None:
    view = local.world.host_view()
    local.world.host_view = lambda: msgspec.structs.replace(view, kvm=True)
    assert not (await engine.host()).kvm, "the mock's hypervisor has none"

    async def with_kvm(emulator: str | None = None) -> Capabilities:
        return replace(capabilities(), kvm=True)

    local.world.hypervisor.capabilities = with_kvm  # type: ignore[method-assign]
    assert (await engine.host()).kvm
