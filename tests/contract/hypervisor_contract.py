"""What every hypervisor does alike, seen through its port alone. QEMU and the mock run it."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from frontinus.api.errors import AgentUnavailable, FrontinusError, NoSuchProcess
from frontinus.ports import GuestFacts, Hypervisor, RunningGuest
from support.waiting import closing

SECONDS = 300.0
"""The longest that anything here may take: a guest's boot on a busy machine."""
GROUPS = ("cpu", "vcpu", "memory", "block", "interface", "iothread")
STOPPED = ("prelaunch", "paused")


class Rig(Protocol):
    """What a subclass gives: guests with one CPU of two, a disk `disk`, 128 MiB and a balloon, launched and not running."""

    hypervisor: Hypervisor
    disk: str

    async def launch(self, incoming: int | None = None) -> RunningGuest:
        """A new guest; the rig ends it after the test if it still lives."""

    async def booted(self, guest: RunningGuest) -> None:
        """Return once the running guest's system would obey a power button."""


class News:
    """Reads a guest's news and remembers them."""

    def __init__(self, guest: RunningGuest) -> None:
        self.seen: list[GuestFacts] = []
        self._stream: AsyncIterator[GuestFacts] = guest.news()

    async def until(self, name: str) -> GuestFacts:
        """The next piece of news of this name; what came before it is in `seen`."""
        async with asyncio.timeout(SECONDS):
            while True:
                fact = await anext(self._stream)
                self.seen.append(fact)
                if fact.name == name:
                    return fact

    @property
    def names(self) -> list[str]:
        return [fact.name for fact in self.seen]


class HypervisorContract:
    """Subclasses are collected by pytest and define a fixture `rig`."""

    async def test_launched_guest_waits(self, rig: Rig) -> None:
        guest = await rig.launch()
        assert await guest.status() in STOPPED
        assert guest.record.pid > 0 and guest.record.monitor and guest.record.folder

    async def test_resume_and_pause_tell_their_news_in_order(self, rig: Rig) -> None:
        guest = await rig.launch()
        news = News(guest)
        await guest.resume()
        assert await guest.status() == "running"
        await guest.pause()
        assert await guest.status() == "paused"
        await guest.resume()
        await guest.reset()
        await news.until("reset")
        told = [name for name in news.names if name in ("resumed", "stopped", "reset")]
        assert told[:3] == ["resumed", "stopped", "resumed"]

    async def test_quit_closes_the_news(self, rig: Rig) -> None:
        guest = await rig.launch()
        news = News(guest)
        await guest.resume()
        await guest.quit(graceful=False, deadline=SECONDS)
        closed = await news.until("closed")
        assert "status" in closed.data
        with pytest.raises(StopAsyncIteration):
            await anext(news._stream)
        await guest.quit(graceful=False, deadline=SECONDS)  # once more is no harm

    async def test_graceful_quit(self, rig: Rig) -> None:
        guest = await rig.launch()
        await guest.quit(graceful=True, deadline=SECONDS)
        closed = await News(guest).until("closed")
        assert closed.data["status"] == 0

    async def test_another_engine_attaches(self, rig: Rig) -> None:
        guest = await rig.launch()
        await guest.resume()
        record = guest.record
        await guest.detach()
        again = await rig.hypervisor.attach(record)
        assert await again.status() == "running"
        news = News(again)
        await again.pause()
        await news.until("stopped")
        await again.quit(graceful=False, deadline=SECONDS)
        await news.until("closed")
        with pytest.raises(NoSuchProcess):
            await rig.hypervisor.attach(record)

    async def test_stray_is_ended(self, rig: Rig) -> None:
        """An engine that died between launching a guest and recording it leaves a process that only its folder tells."""
        guest, other = await rig.launch(), await rig.launch()
        record = guest.record
        await guest.detach()
        await rig.hypervisor.end_strays(record.folder)
        with pytest.raises(NoSuchProcess):
            await rig.hypervisor.attach(record)
        assert await other.status() in STOPPED
        await rig.hypervisor.end_strays(record.folder)

    async def test_power_button(self, rig: Rig) -> None:
        guest = await rig.launch()
        news = News(guest)
        await guest.resume()
        await rig.booted(guest)
        await guest.powerdown()
        shutdown = await news.until("shutdown")
        assert shutdown.data["detail"] == "guest"
        assert news.names.index("powerdown") < news.names.index("shutdown")
        assert await guest.status() == "shutdown"  # QEMU stays: what comes next is the engine's to decide

    async def test_balloon(self, rig: Rig) -> None:
        guest = await rig.launch()
        news = News(guest)
        await guest.resume()
        await rig.booted(guest)
        size = 96 << 20
        await guest.set_balloon(size)
        while (await news.until("balloon")).data["actual"] != size:
            pass
        figures = await guest.figures(["memory"], SECONDS)
        assert figures.memory["current"] == size

    async def test_figures(self, rig: Rig) -> None:
        guest = await rig.launch()
        await guest.resume()
        await rig.booted(guest)
        first = await guest.figures(GROUPS, SECONDS)
        assert not first.stale and first.taken > 0
        assert {"time", "user", "system"} <= set(first.cpu) and first.cpu["time"] >= first.cpu["user"]
        assert list(first.vcpus) == [0] and "time" in first.vcpus[0]
        assert first.memory["current"] == 128 << 20 and first.memory["rss"] > 0
        counters = first.blocks[rig.disk]
        for name in ("read_bytes", "read_requests", "read_time", "write_bytes", "write_requests", "write_time",
                     "flush_requests", "flush_time", "allocation", "capacity", "physical"):  # fmt: skip
            assert isinstance(counters[name], int), name
        second = await guest.figures(GROUPS, SECONDS)
        assert second.cpu["time"] >= first.cpu["time"] and second.vcpus[0]["time"] >= first.vcpus[0]["time"]
        assert second.taken >= first.taken

    async def test_the_dirty_rate_once_measured(self, rig: Rig) -> None:
        guest = await rig.launch()
        await guest.resume()
        assert (await guest.figures(["dirtyrate"], SECONDS)).dirty_rate is None
        await guest.measure_dirty_rate(1, "page-sampling")
        async with asyncio.timeout(SECONDS):
            while (found := (await guest.figures(["dirtyrate"], SECONDS)).dirty_rate) is None:  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0.1)
        began, seconds, rate = found
        assert abs(time.time() - began) < SECONDS and seconds == 1.0 and rate >= 0

    async def test_only_groups_asked_for(self, rig: Rig) -> None:
        guest = await rig.launch()
        figures = await guest.figures(["cpu"], SECONDS)
        assert figures.cpu and not (figures.vcpus or figures.memory or figures.blocks or figures.interfaces)

    async def test_state_is_saved_and_brought_back(self, rig: Rig) -> None:
        guest = await rig.launch()
        await guest.resume()
        with tempfile.TemporaryFile() as file:
            await guest.save("unused", file.fileno())
            assert await guest.status() in ("paused", "postmigrate")
            assert os.fstat(file.fileno()).st_size > 0
            await guest.quit(graceful=False, deadline=SECONDS)
            file.seek(0)
            again = await rig.launch(incoming=file.fileno())
            assert await again.status() in STOPPED
            await again.resume()
            assert await again.status() == "running"

    async def test_screenshot(self, rig: Rig) -> None:
        guest = await rig.launch()
        path = Path(guest.record.folder, "screenshot")
        await guest.screenshot(str(path), None, 0)
        assert await asyncio.to_thread(path.read_bytes)

    async def test_keys_and_interrupts(self, rig: Rig) -> None:
        guest = await rig.launch()
        await guest.resume()
        await guest.send_keys(["ctrl", "alt", "delete"], 10)
        await guest.inject_nmi()

    async def test_agent_that_is_not_there(self, rig: Rig) -> None:
        guest = await rig.launch()
        with pytest.raises(AgentUnavailable):
            await guest.agent_command('{"execute": "guest-ping"}', 0.2)

    async def test_wakeup_of_a_guest_that_is_awake(self, rig: Rig) -> None:
        guest = await rig.launch()
        await guest.resume()
        with pytest.raises(FrontinusError):
            await guest.wakeup()

    async def test_many_guests_at_once(self, rig: Rig) -> None:
        guests = await asyncio.gather(*(rig.launch() for _ in range(4)))
        await asyncio.gather(*(guest.resume() for guest in guests))
        assert [await guest.status() for guest in guests] == ["running"] * 4
        assert len({guest.record.pid for guest in guests}) == 4
        await asyncio.gather(*(guest.quit(graceful=False, deadline=SECONDS) for guest in guests))
        for guest in guests:
            async with closing(guest.news()) as news:
                assert [fact.name async for fact in news][-1] == "closed"
