"""A guest's process with its CPUs stopped, for work on the images of a guest that is off: nobody is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frontinus.engine.guest import ending
from frontinus.engine.guest.launch import launch
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World


@asynccontextmanager
async def at_work(world: World, record: Record) -> AsyncIterator[Running]:
    """The running guest if it runs, else a process that is ended afterwards. The guest's lock is held."""
    if record.running is not None:
        yield record.need_running()
        return
    running = await launch(world, record, record.need_inactive(), soon=("shutoff", "unknown"), hidden=True)
    try:
        yield running
    finally:
        await dismiss(record)


async def dismiss(record: Record) -> None:
    """End a hidden process, its images written out."""
    if record.running is not None and record.running.hidden:
        await record.running.process.pause()
        await ending.kill(record, graceful=True)
        record.become("shutoff", record.reason if record.state == "shutoff" else "unknown")
