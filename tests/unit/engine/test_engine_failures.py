"""What fails in the middle leaves nothing half: starts, saves, ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import HypervisorFailed, NoSuchGuest, StorageFailed
from frontinus.engine.guest import launch
from frontinus.engine.guest.stats import Statistics
from frontinus.engine.local import LocalEngine
from frontinus.mock.hypervisor import MockGuest
from support.mocked import XML


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs that do not go: an image is held by another, say."""

    async def resume(self: MockGuest) -> None:
        raise HypervisorFailed("Failed to get a lock")

    monkeypatch.setattr(MockGuest, "resume", resume)


async def test_a_guest_whose_cpus_do_not_go_has_not_started(local: LocalEngine, engine: Engine, stuck: None) -> None:
    await engine.define(XML.format(name="a"))
    with pytest.raises(HypervisorFailed, match="a lock"):
        await engine.start("a")
    view = await engine.guest("a")
    assert (view.state, view.reason, view.active) == ("shutoff", "failed", False)
    assert not list(await local.world.store.load("running"))
    with pytest.raises(HypervisorFailed, match="a lock"):
        await engine.create(XML.format(name="b"))
    with pytest.raises(NoSuchGuest):
        await engine.guest("b")


async def test_a_saved_state_outlives_a_restore_that_fails(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")

    async def resume(self: MockGuest) -> None:
        raise HypervisorFailed("Failed to get a lock")

    with monkeypatch.context() as patched:
        patched.setattr(MockGuest, "resume", resume)
        with pytest.raises(HypervisorFailed):
            await engine.start("a")
    view = await engine.guest("a")
    assert (view.state, view.managed_save) == ("shutoff", True)
    assert (await engine.start("a")).reason == "restored"


async def test_a_save_that_cannot_begin_leaves_the_guest_heard(local: LocalEngine, engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    with pytest.raises(StorageFailed):
        await engine.save("a", "/proc/nowhere/a.save")
    running = local.world.guests.find("a").need_running()
    assert not running.quiet
    await engine.suspend("a")


async def test_a_guest_has_ended_though_not_all_of_it_could_be_given_back(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")

    async def full(kind: str, key: str) -> None:
        raise StorageFailed("No space left on device")

    torn: list[object] = []

    async def fails(folder: str) -> None:
        torn.append(folder)
        raise OSError("a group is busy")

    monkeypatch.setattr(local.world.store, "delete", full)
    monkeypatch.setattr(local.world.limits, "remove", fails)
    await engine.destroy("a")
    assert (await engine.guest("a")).state == "shutoff"
    assert torn and "a group is busy" in caplog.text and "No space left" in caplog.text


async def test_one_guest_that_fails_unexpectedly_stops_no_other_at_the_start(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        await engine.define(XML.format(name=name))
        await engine.set_autostart(name, True)
    real = launch.launch

    async def fails(world, record, *args, **kwargs):  # type: ignore[no-untyped-def]
        if record.name == "a":
            raise KeyError("a defect")
        return await real(world, record, *args, **kwargs)

    monkeypatch.setattr(launch, "launch", fails)
    await local.power.autostart()
    assert [(guest.name, guest.state) for guest in await engine.guests()] == [("a", "shutoff"), ("b", "running")]


async def test_figures_of_guests_that_are_no_more_are_not_kept(local: LocalEngine, engine: Engine) -> None:
    desk = local._use_cases["stats"].__self__  # type: ignore[attr-defined]
    assert isinstance(desk, Statistics)
    for _ in range(3):
        await engine.create(XML.format(name="a"))
        await engine.stats()
        assert len(desk._last) == len(desk._rounds) == 1
        await engine.destroy("a")
        await asyncio.sleep(0)
    await engine.stats()
    assert not desk._last and not desk._rounds
