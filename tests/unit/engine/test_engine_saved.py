"""Saved states of guests, on the mock hypervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    HypervisorFailed,
    InvalidXML,
    WrongState,
)
from frontinus.api.events import ChangedEvent, LifecycleEvent
from frontinus.engine.guest import ending, launch, savefile
from frontinus.engine.guest.saving import managed_path, used_path
from frontinus.engine.local import LocalEngine
from frontinus.engine.record import Record, Running
from frontinus.engine.recovery import recover
from support.mocked import XML


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
    async with asyncio.timeout(60):
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


@pytest.fixture
def save_of(local: LocalEngine) -> Callable[[str], Path]:
    return lambda name: managed_path(local.world, local.world.guests.find(name).uuid)


async def restarted(local: LocalEngine) -> None:
    """A new engine on what the one before left."""
    await local.stop()
    local.world.guests.__init__()  # type: ignore[misc]
    await recover(local.world)


async def test_a_saved_state_is_not_there_any_more_when_its_guest_runs(
    local: LocalEngine, engine: Engine, save_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an engine that dies then leaves a memory that does not fit the disks."""
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")
    path, there = save_of("a"), []
    set_going = launch.set_going

    async def going(record: Record, running: Running) -> None:
        there.append(path.exists())
        await set_going(record, running)

    monkeypatch.setattr(launch, "set_going", going)
    await engine.start("a")
    assert there == [False] and list(path.parent.iterdir()) == []


async def test_a_saved_state_stays_if_its_guest_cannot_run(
    local: LocalEngine, engine: Engine, save_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")

    async def refused(record: Record, running: Running) -> None:
        running.ending = "failed"
        await ending.kill(record, graceful=False)
        raise HypervisorFailed("another has the image")

    with monkeypatch.context() as patch:
        patch.setattr(launch, "set_going", refused)
        with pytest.raises(HypervisorFailed):
            await engine.start("a")
    assert (await engine.guest("a")).managed_save and save_of("a").exists()
    assert (await engine.start("a")).reason == "restored"


@pytest.mark.parametrize("what", ["torn", "used up", "of a guest that lives"])
async def test_a_new_engine_believes_no_saved_state_that_is(
    local: LocalEngine, engine: Engine, save_of: Callable[[str], Path], what: str
) -> None:
    """Written half, or its guest has run since: to bring that back would tear its disks."""
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")
    path = save_of("a")
    whole = path.read_bytes()
    if what == "torn":
        path.write_bytes(savefile.UNFINISHED + whole[len(savefile.MAGIC) :])
    elif what == "used up":
        path.rename(used_path(path))
    else:
        await engine.start("a", force_boot=True)
        path.write_bytes(whole)
    await restarted(local)
    assert not (await engine.guest("a")).managed_save
    assert list(path.parent.iterdir()) == []
    if what != "of a guest that lives":
        assert (await engine.start("a")).reason == "booted"


async def test_a_new_engine_finds_a_whole_saved_state(local: LocalEngine, engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")
    await restarted(local)
    assert (await engine.guest("a")).managed_save
    assert (await engine.start("a")).reason == "restored"
