"""Jobs: one piece of work at a time changes a guest; long ones have a view, progress and can be cancelled."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from frontinus.api.errors import Busy, FrontinusError, InvalidValue, WrongState
from frontinus.api.views import JobView

WAIT = 30.0
"""Seconds that a change waits for the one before it."""

KEPT = 256
"""Ended jobs that are remembered."""


class JobLock:
    """Serialises the changes of one guest. Queries do not take it, so they never wait."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.holder: str | None = None
        self.since = 0.0
        """When the holder got it, by the monotonic clock."""

    @asynccontextmanager
    async def hold(self, what: str, wait: float = WAIT) -> AsyncIterator[None]:
        """Hold the guest for `what`. Raises Busy when another change keeps it longer than `wait` seconds."""
        try:
            async with asyncio.timeout(wait):
                await self._lock.acquire()
        except TimeoutError:
            raise Busy(f"cannot {what}: the guest is held by {self.holder}", job=self.holder or "") from None
        self.holder, self.since = what, time.monotonic()
        try:
            yield
        finally:
            self.holder = None
            self._lock.release()


@dataclass
class Job:
    """A long piece of work under way. The worker sets `processed` and `total`."""

    id: str
    kind: str
    guest: str | None
    task: asyncio.Task[object] | None = None
    started: float = field(default_factory=time.time)
    ended: float | None = None
    state: str = "running"
    error: str | None = None
    processed: int | None = None
    total: int | None = None
    on_abort: Callable[[], object] | None = None
    """How to abort it, where cancelling the worker is not the way."""
    measure: Measure | None = None
    """Asks how far it is, where the worker does not say so by itself."""
    measuring: asyncio.Task[None] | None = None

    def view(self) -> JobView:
        progress = self.processed / self.total if self.total and self.processed is not None else None
        return JobView(id=self.id, kind=self.kind, state=self.state, started=self.started, guest=self.guest,
                       progress=progress, processed=self.processed, total=self.total, ended=self.ended,
                       error=self.error)  # fmt: skip


Measure = Callable[[Job], Awaitable[None]]


async def _measure(job: Job, measure: Measure) -> None:
    with suppress(FrontinusError):
        await measure(job)


class Jobs:
    """All long jobs of the engine, running and lately ended."""

    def __init__(self, changed: Callable[[Job], None]) -> None:
        self._changed = changed
        self._numbers = itertools.count(1)
        self._running: dict[str, Job] = {}
        self._ended: deque[Job] = deque(maxlen=KEPT)

    @asynccontextmanager
    async def run(self, kind: str, guest: str | None = None) -> AsyncIterator[Job]:
        """Show the body as a job: its end, failure or cancellation becomes the job's state."""
        job = Job(str(next(self._numbers)), kind, guest, asyncio.current_task())
        self._running[job.id] = job
        self._changed(job)
        try:
            yield job
            job.state = "completed"
        except asyncio.CancelledError:
            job.state = "cancelled"
            raise
        except BaseException as error:
            job.state, job.error = "failed", str(error)
            raise
        finally:
            job.ended = time.time()
            del self._running[job.id]
            self._ended.append(job)
            self._changed(job)

    def of(self, guest: str | None) -> list[JobView]:
        """Views of the running and lately ended jobs, of one guest or all."""
        return [job.view() for job in (*self._ended, *self._running.values()) if guest in (None, job.guest)]

    async def measure(self, guest: str | None, within: float | None = None) -> None:
        """Have running jobs say how far they are; one that cannot, or not `within` so many seconds, stays as it was."""
        asked = [self._measured(job) for job in self._running.values() if guest in (None, job.guest)]
        if measures := [task for task in asked if task is not None]:
            await asyncio.wait(measures, timeout=within)

    def _measured(self, job: Job) -> asyncio.Task[None] | None:
        """The measuring of a job that is under way, or begins now."""
        if job.measure is not None and (job.measuring is None or job.measuring.done()):
            job.measuring = asyncio.get_running_loop().create_task(_measure(job, job.measure))
        return job.measuring

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self._running)

    def under_way(self) -> dict[str, tuple[JobView, ...]]:
        """Views of the running jobs by their guest."""
        found: dict[str, tuple[JobView, ...]] = {}
        for job in self._running.values():
            if job.guest is not None:
                found[job.guest] = (*found.get(job.guest, ()), job.view())
        return found

    def abort(self, job_id: str) -> None:
        """Cancel a running job. Raises InvalidValue for an unknown one, WrongState for one that has ended."""
        job = self._running.get(job_id)
        if job is None:
            if any(job_id == ended.id for ended in self._ended):
                raise WrongState(f"job {job_id} has ended")
            raise InvalidValue(f"no job '{job_id}'", field="job")
        if job.on_abort is not None:
            job.on_abort()
        elif job.task is not None:
            job.task.cancel()
