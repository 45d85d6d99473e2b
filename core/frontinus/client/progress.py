"""Progress of long work, for a person at a terminal: a bar on standard error, of a call, a guest's job, or a disk's job."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from frontinus.api.errors import FrontinusError
from frontinus.client.bar import bar

if TYPE_CHECKING:
    from frontinus.api.engine import Engine
    from frontinus.api.views import JobView
    from frontinus.client.commands.base import Output

SECONDS = 0.3
"""Between two looks at a job while somebody watches."""

T = TypeVar("T")
Look = Callable[[], Awaitable[float | None]]
"""How much is done, 0 to 1; None once there is nothing more to see."""


async def _sleep() -> None:
    await asyncio.sleep(SECONDS)


async def shown(title: str, look: Look, pause: Callable[[], Awaitable[object]] = _sleep) -> None:
    """Draw a bar until there is nothing more to see."""
    with bar(title) as show:
        while (done := await look()) is not None:
            show(done)
            await pause()


# --- a call of ours that is a job


async def watched(engine: Engine, kind: str, title: str, work: Awaitable[T]) -> T:
    """The result of a call that is a job of this kind. Interrupted, the job is aborted."""
    known = {job.id for job in await engine.jobs()}
    task = asyncio.ensure_future(work)

    async def look() -> float | None:
        if task.done():
            return None
        job = await _job(engine, kind, known)
        return job.progress or 0.0 if job is not None else 0.0

    async def pause() -> None:
        await asyncio.wait({task}, timeout=SECONDS)

    try:
        if sys.stderr.isatty():
            await pause()
            if not task.done():
                await shown(title, look, pause)
        return await task
    except asyncio.CancelledError:
        await _abort(engine, kind, known)
        raise


async def _job(engine: Engine, kind: str, known: set[str]) -> JobView | None:
    """The job that our call began."""
    mine = [job for job in await engine.jobs() if job.kind == kind and job.id not in known]
    return mine[0] if mine else None


async def _abort(engine: Engine, kind: str, known: set[str]) -> None:
    with suppress(FrontinusError):
        job = await _job(engine, kind, known)
        if job is not None and job.state == "running":
            await engine.abort_job(job.id)


# --- a job of a guest


async def watch_job(engine: Engine, guest: str, kind: str, out: Output) -> int:
    """Wait for the newest job of a kind to end; returns the exit code."""

    async def newest() -> JobView | None:
        jobs = [job for job in await engine.jobs(guest) if job.kind == kind]
        return max(jobs, key=lambda job: job.started, default=None)

    async def look() -> float | None:
        job = await newest()
        return None if job is None or job.state != "running" else job.progress or 0.0

    await shown(kind, look)
    job = await newest()
    if job is None or job.state == "completed":
        out.line(f"{kind}: completed")
        return 0
    sys.stderr.write(f"frontinus: {kind} {job.state}{': ' + job.error if job.error else ''}\n")
    return 1


# --- a job on a disk


async def watch_disk(engine: Engine, guest: str, disk: str, what: str, out: Output, seconds: float | None = None, *,
                     wait: bool = True) -> int:  # fmt: skip
    """Wait until the job on a disk is in step, or gone; returns the exit code.

    After so many seconds, or interrupted, it is aborted; `wait`: until that has been done.
    """

    async def look() -> float | None:
        view = await engine.block_job(guest, disk)
        return None if view is None or view.ready else view.current / view.end if view.end else 0.0

    async with _endings(engine, guest) as ended:
        try:
            async with asyncio.timeout(seconds):
                await shown(what, look)
        except (TimeoutError, asyncio.CancelledError) as error:
            await engine.abort_block_job(guest, disk, [] if wait else ["async"])
            if isinstance(error, asyncio.CancelledError):
                raise
            sys.stderr.write(f"frontinus: {what} aborted after {seconds:g} s\n")
            return 1
        await asyncio.sleep(0)
    if ended and ended[-1] in ("failed", "cancelled"):
        sys.stderr.write(f"frontinus: {what} {ended[-1]}\n")
        return 1
    out.line(f"{what}: done")
    return 0


@asynccontextmanager
async def _endings(engine: Engine, guest: str) -> AsyncIterator[list[str]]:
    """How block jobs of a guest end meanwhile: afterwards nobody else knows."""
    from frontinus.api.events import BlockJobEvent

    ended: list[str] = []

    async def listen() -> None:
        async for event in engine.watch():
            if isinstance(event, BlockJobEvent) and guest in (event.name, event.uuid):
                ended.append(event.status)

    task = asyncio.ensure_future(listen())
    try:
        yield ended
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
