"""Work that a command waits for on demand (--wait): a bar while it lasts, a line at its end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from frontinus.api.engine import Engine
from frontinus.client.bar import bar
from frontinus.client.commands.base import Output

EVERY = 0.5
"""Seconds between two looks at a job."""


async def watch_disk(engine: Engine, guest: str, disk: str, what: str, out: Output) -> int:
    """Wait until the job on a disk is in step, or gone; returns the exit code."""
    failed = _failure_of(engine, guest, disk)
    with bar(what) as show:
        while (view := await engine.block_job(guest, disk)) is not None and not view.ready:
            show(view.current / view.end if view.end else 0.0)
            await asyncio.sleep(EVERY)
        show(1.0)
    return await failed(out, what)


def _failure_of(engine: Engine, guest: str, disk: str) -> Callable[[Output, str], asyncio.Future[int]]:
    """Follows the events of a disk's job meanwhile: afterwards nobody else knows how it ended."""
    from frontinus.api.events import BlockJobEvent

    ended: list[str] = []

    async def listen() -> None:
        async for event in engine.watch():
            if isinstance(event, BlockJobEvent) and guest in (event.name, event.uuid):
                ended.append(event.status)

    task = asyncio.ensure_future(listen())

    async def tell(out: Output, what: str) -> int:
        await asyncio.sleep(0)
        task.cancel()
        if ended and ended[-1] in ("failed", "cancelled"):
            sys.stderr.write(f"frontinus: {what} {ended[-1]}\n")
            return 1
        out.line(f"{what}: done")
        return 0

    return lambda out, what: asyncio.ensure_future(tell(out, what))


async def watch_job(engine: Engine, guest: str, kind: str, out: Output) -> int:
    """Wait for the newest job of a kind to end; returns the exit code."""
    with bar(kind) as show:
        while True:
            jobs = [job for job in await engine.jobs(guest) if job.kind == kind]
            newest = max(jobs, key=lambda job: job.started, default=None)
            if newest is None or newest.state != "running":
                break
            show(newest.progress or 0.0)
            await asyncio.sleep(EVERY)
    if newest is None or newest.state == "completed":
        out.line(f"{kind}: completed")
        return 0
    sys.stderr.write(f"frontinus: {kind} {newest.state}{': ' + newest.error if newest.error else ''}\n")
    return 1
