"""A new engine finds what an earlier one left."""

from __future__ import annotations

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    Unresponsive,
)
from frontinus.engine import runstate
from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from support.mocked import XML


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
