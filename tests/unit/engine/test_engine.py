"""The engine's use cases on the mock hypervisor."""

from __future__ import annotations

import asyncio

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AlreadyExists,
    HypervisorFailed,
    InvalidValue,
    InvalidXML,
    NoSuchGuest,
    NoSuchMetadata,
    Unresponsive,
    WrongState,
)
from frontinus.api.events import LifecycleEvent
from frontinus.api.views import Snapshot
from frontinus.engine.guest.launch import PORT_TRIES
from frontinus.engine.local import LocalEngine
from frontinus.mock.hypervisor import MockHypervisor
from support.mocked import XML, watch


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
    async with asyncio.timeout(60):
        async for _ in engine.watch():
            if (await engine.guest("a")).memory == 32 * 2**20:
                return


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
