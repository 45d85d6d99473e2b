"""What the engine tells in figures, on the mock hypervisor."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    InvalidValue,
    WrongState,
)
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.host import Paths
from frontinus.engine.guest.stats import AT_ONCE
from frontinus.engine.local import LocalEngine
from frontinus.mock.capabilities import capabilities
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.hypervisor import MockHypervisor
from support.mocked import XML


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
    monkeypatch.setattr("frontinus.engine.guest.stats.DEADLINE", 0.05)
    stale = (await engine.stats())[0]
    assert stale.stale and stale.taken == answers[0][0].taken


async def test_guests_stay_in_their_order_though_one_hangs(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontinus.engine.guest.stats.DEADLINE", 0.05)
    for name in "abc":
        await engine.define(XML.format(name=name))
        await engine.start(name)
    hypervisor = local.world.hypervisor
    assert isinstance(hypervisor, MockHypervisor)
    hung = next(guest for guest in hypervisor.guests.values() if guest.guest.name == "a")
    hung.answers.clear()
    for _ in range(2):  # it is waited for, then it is known to hang and comes last
        told = await engine.stats()
        assert [(one.name, one.stale) for one in told] == [("a", True), ("b", False), ("c", False)]


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


async def test_kvm_is_there_only_if_guests_can_have_it(local: LocalEngine, engine: Engine) -> None:
    view = local.world.host_view()
    local.world.host_view = lambda: msgspec.structs.replace(view, kvm=True)
    assert not (await engine.host()).kvm, "the mock's hypervisor has none"

    async def with_kvm(emulator: str | None = None) -> Capabilities:
        return replace(capabilities(), kvm=True)

    local.world.hypervisor.capabilities = with_kvm  # type: ignore[method-assign]
    assert (await engine.host()).kvm


async def test_others_have_their_turn_while_many_figures_are_put_together(tmp_path: Path) -> None:
    many = 4 * AT_ONCE
    local = await mock_engine(
        Paths(*(str(tmp_path / n) for n in ("config", "state", "run", "log", "cache"))), guests=many
    )
    engine, turns = local.session(ROOT), 0
    polled = asyncio.ensure_future(engine.stats(groups=["state"]))  # no guest is asked for that: only put together
    while not polled.done():
        turns += 1
        await asyncio.sleep(0)
    assert len(polled.result()) >= many and turns >= many / AT_ONCE
    await local.stop()
