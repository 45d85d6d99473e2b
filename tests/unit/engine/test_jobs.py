"""One change of a guest at a time, and the long jobs that are remembered."""

from __future__ import annotations

import asyncio

import pytest

from frontinus.api.errors import Busy, InvalidValue, WrongState
from frontinus.engine.jobs import KEPT, Job, JobLock, Jobs


async def test_a_change_that_keeps_the_guest_too_long_is_named_to_the_next() -> None:
    lock = JobLock()
    async with lock.hold("save the guest"):
        assert lock.holder == "save the guest"
        async with asyncio.timeout(60):
            with pytest.raises(Busy, match="cannot start it: the guest is held by save the guest"):
                async with lock.hold("start it", wait=0.05):
                    pass
    assert lock.holder is None
    async with lock.hold("start it", wait=0.05):
        assert lock.holder == "start it"


async def test_a_change_waits_for_the_one_before_it() -> None:
    lock, order = JobLock(), []

    async def change(name: str) -> None:
        async with lock.hold(name):
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    await asyncio.gather(change("one"), change("two"))
    assert order == ["one begins", "one ends", "two begins", "two ends"]


async def test_so_many_jobs_that_ended_are_remembered() -> None:
    jobs = Jobs(lambda job: None)
    for _ in range(KEPT + 10):
        async with jobs.run("save", "guest"):
            pass
    views = jobs.of("guest")
    assert [view.id for view in views] == [str(number) for number in range(11, KEPT + 11)]
    assert {view.state for view in views} == {"completed"} and jobs.running == 0


async def test_a_jobs_end_is_its_state() -> None:
    jobs = Jobs(lambda job: None)
    with pytest.raises(ZeroDivisionError):
        async with jobs.run("dump", "guest"):
            assert jobs.under_way().keys() == {"guest"}
            1 / 0  # noqa: B018
    (view,) = jobs.of(None)
    assert (view.state, view.error) == ("failed", "division by zero")
    with pytest.raises(WrongState, match="has ended"):
        jobs.abort(view.id)
    with pytest.raises(InvalidValue, match="no job '77'"):
        jobs.abort("77")


async def test_measuring_is_shared_and_waits_no_longer_than_is_asked() -> None:
    jobs, answer, asked = Jobs(lambda job: None), asyncio.Event(), 0

    async def measure(job: Job) -> None:
        nonlocal asked
        asked += 1
        await answer.wait()
        job.processed, job.total = 5, 10

    async with asyncio.timeout(60), jobs.run("save", "guest") as job:
        job.measure = measure
        await jobs.measure(None, within=0.01)
        await jobs.measure("guest", within=0.01)
        assert asked == 1 and jobs.of("guest")[0].progress is None
        waiting = asyncio.create_task(jobs.measure(None))
        await asyncio.sleep(0)
        answer.set()
        await waiting
        assert asked == 1 and jobs.under_way()["guest"][0].progress == 0.5
        await jobs.measure("another")
        assert asked == 1
