"""Progress of long work, for a person at a terminal: a bar on standard error. Interrupted, the job is aborted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from frontinus.api.errors import FrontinusError
from frontinus.client.bar import bar

if TYPE_CHECKING:
    from frontinus.api.engine import Engine
    from frontinus.api.views import JobView

SECONDS = 0.3
"""Between two looks at a job while somebody watches."""

T = TypeVar("T")


async def watched(engine: Engine, kind: str, title: str, work: Awaitable[T]) -> T:
    """The result of a call that is a job of this kind."""
    known = {job.id for job in await engine.jobs()}
    task = asyncio.ensure_future(work)
    try:
        if sys.stderr.isatty():
            await _draw(engine, kind, title, known, task)
        return await task
    except asyncio.CancelledError:
        await _abort(engine, kind, known)
        raise


async def _draw(engine: Engine, kind: str, title: str, known: set[str], task: asyncio.Future[T]) -> None:
    """A bar as soon as the work takes long enough to be seen."""
    done, _ = await asyncio.wait({task}, timeout=SECONDS)
    if done:
        return
    with bar(title) as show:
        while not done:
            job = await _job(engine, kind, known)
            show(job.progress if job is not None and job.progress is not None else 0.0)
            done, _ = await asyncio.wait({task}, timeout=SECONDS)


async def _job(engine: Engine, kind: str, known: set[str]) -> JobView | None:
    """The job that our call began."""
    mine = [job for job in await engine.jobs() if job.kind == kind and job.id not in known]
    return mine[0] if mine else None


async def _abort(engine: Engine, kind: str, known: set[str]) -> None:
    with suppress(FrontinusError):
        job = await _job(engine, kind, known)
        if job is not None and job.state == "running":
            await engine.abort_job(job.id)
