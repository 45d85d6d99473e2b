"""A week of clients: subscriptions, enumerations and jobs that come and go leave nothing behind.

A thousand rounds here; FRONTINUS_CHURN=100000 makes it the week that is promised.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from frontinus_cim.host import jobs as working
from frontinus_cim.methods.calls import Result
from frontinus_cim.operations.pulls import Context
from frontinus_cim.wire.model import Embedded
from support.cim import Rig, rig

ROUNDS = int(os.environ.get("FRONTINUS_CHURN", "1000"))
FILTER = {"Query": "SELECT * FROM CIM_InstCreation", "QueryLanguage": "WQL"}


def resident() -> int:
    """This process's memory, octets."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def one(cim: Rig, name: str) -> None:
    """A filter, a receiver and their subscription, an enumeration, a method's job and one of the engine's, each to its end."""
    kept, jobs, contexts = cim.world.subscriptions, cim.world.jobs, cim.service.contexts
    await kept.add_filter(Embedded("CIM_IndicationFilter", {"Name": name, **FILTER}), "h")
    there = {"Name": name, "Destination": "http://127.0.0.1:9/"}
    await kept.add_destination(Embedded("CIM_ListenerDestinationCIMXML", there), "h")
    await kept.add_subscription(Embedded("CIM_IndicationSubscription", {}), name, name)
    context = Context(name, "admin", "paths", iter(()), 60, "root/virt", str)
    contexts.add(context)
    jobs.engine_job(name, "work", "running", "test")  # of which the subscription is told: a delivery to nobody begins
    gate = asyncio.Event()

    async def work() -> Result:
        await gate.wait()
        return Result(0)

    job = await jobs.run("Work", work(), owner="admin", service="KVM_VirtualSystemManagementService", guest="test")
    assert isinstance(job, working.Job) and job.task is not None
    gate.set()
    await job.task
    jobs.engine_job(name, "work", "completed", "test")
    contexts.close(context)
    await kept.remove("CIM_IndicationSubscription", (name, name))
    await kept.remove("CIM_IndicationFilter", name)
    await kept.remove("CIM_ListenerDestinationCIMXML", name)
    await asyncio.sleep(0)  # the loop drops timers that were cancelled only when it runs


@pytest.mark.timeout(300 + ROUNDS // 25)
async def test_a_week_of_churn_keeps_memory_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path, guests=3) as cim:
        monkeypatch.setattr(working, "PATIENCE", 0.0)
        cim.world.subscriptions._folder = None  # the disk is not what is measured
        for number in range(400):  # more than there are ended jobs kept
            await one(cim, str(number))
        gc.collect()
        tracemalloc.start()
        before, resident_before, began = tracemalloc.get_traced_memory()[0], resident(), time.perf_counter()
        for number in range(ROUNDS):
            await one(cim, str(number))
        gc.collect()
        grown, took = tracemalloc.get_traced_memory()[0] - before, time.perf_counter() - began
        tracemalloc.stop()
        print(f"\n{ROUNDS:,} rounds in {took:.0f} s: {grown / 1024:.0f} KiB of objects more, resident "
              f"{resident_before / 2**20:.0f} MiB before and {resident() / 2**20:.0f} MiB after")  # fmt: skip
        assert grown < 2**20
        assert not cim.service.contexts.open and not cim.world.subscriptions.subscriptions
        assert len(cim.world.jobs.jobs) <= working.MOST_KEPT + 2 and not cim.delivery._queues
