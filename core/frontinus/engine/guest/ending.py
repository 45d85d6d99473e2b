"""Ending a guest: its process, then all that its start set up, on the same road backward."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from frontinus.api.errors import FrontinusError, HostFailed, Unresponsive
from frontinus.engine import runstate
from frontinus.engine.filter import filtering
from frontinus.engine.network import netports
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World

log = logging.getLogger(__name__)


async def end(world: World, record: Record, running: Running) -> None:
    """The process is gone: give everything back and forget the run state. Idempotent."""
    for step in (
        partial(filtering.leave, world, record.uuid),
        partial(world.resources.tear_down, running.undo),
        partial(world.limits.remove, running.process.record.folder),
        partial(runstate.forget, world.store, record, running),
        partial(netports.release, world, record.uuid),
    ):
        try:
            await step()
        except Exception:  # the guest has ended all the same, and the rest is to be given back
            log.exception("guest %s has ended, but not all of it could be given back", record.name)
    world.ports.release(running.guest)
    world.logs.forget(record.uuid)
    if record.running is running:
        record.running, record.ends_with_caller = None, False
    running.ended.set()
    running.works.wake()


CLOSING = 10.0
"""Seconds that a guest whose images hold bitmaps has to write them out before it is killed."""


async def quit(record: Record, running: Running, *, graceful: bool, deadline: float) -> None:
    """End the process. One with bitmaps has time to close its images: if it is killed, what they recorded is lost."""
    if not graceful and len(record.books.checkpoints):
        with contextlib.suppress(Unresponsive):
            await running.process.quit(graceful=True, deadline=CLOSING)
            return
    await running.process.quit(graceful=graceful, deadline=deadline)


async def abandoned(record: Record, running: Running) -> None:
    """Whoever started the guest for the time of a connection is gone: so shall it be."""
    if record.running is running:
        running.ending = running.ending or "destroyed"
        try:
            await kill(record, graceful=False)
        except FrontinusError as error:
            log.error("guest %s outlives the connection that started it: %s", record.name, error.message)


async def kill(record: Record, *, graceful: bool, deadline: float = 15.0) -> None:
    """End the process and wait until the guest is wholly gone."""
    running = record.need_running()
    await quit(record, running, graceful=graceful, deadline=deadline)
    try:
        async with asyncio.timeout(deadline):
            await running.ended.wait()
    except TimeoutError:
        raise HostFailed(f"guest '{record.name}' ended, but its resources are still being given back") from None
