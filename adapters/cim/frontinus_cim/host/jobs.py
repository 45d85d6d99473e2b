"""Long work as CIM_ConcreteJob (DSP1042, DSP1103): what methods go on with after they were answered, and the engine's own jobs."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

from frontinus.api.errors import Cancelled, FrontinusError, InternalError
from frontinus_cim.wire import errors
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import Embedded

T = TypeVar("T")
log = logging.getLogger(__name__)

RUNNING, COMPLETED, TERMINATED, EXCEPTION = 4, 7, 8, 10
"""JobState."""
PATIENCE = 3.0
"""Seconds that a method's answer waits for its work; what takes longer becomes a job."""
KEPT, MOST_KEPT = 300.0, 256
"""Seconds that an ended job is shown, and how many at most."""
MOST_RUNNING = 64


@dataclass(eq=False)
class Job:
    """A piece of work. `guest` names what it works on; `outputs` is what the method would have answered."""

    id: str
    name: str
    owner: str
    service: str
    guest: str | None = None
    state: int = RUNNING
    started: float = 0.0
    ended: float | None = None
    percent: int = 0
    error: CimError | None = None
    task: asyncio.Future[object] | None = None
    engine_job: str | None = None

    @property
    def elapsed(self) -> timedelta:
        return timedelta(seconds=max((self.ended or time.time()) - self.started, 0))

    def errors(self) -> list[Embedded]:
        """Why it failed, as CIM_Error."""
        if self.error is None:
            return []
        return [Embedded("CIM_Error", {
            "ErrorType": 4, "OwningEntity": "Frontinus", "MessageID": f"CIM{int(self.error.status)}", "Message": self.error.message,
            "PerceivedSeverity": 5, "CIMStatusCode": int(self.error.status),
            "CIMStatusCodeDescription": f"CIM_ERR_{self.error.status.name}",
        })]  # fmt: skip


Ended = Callable[[Job], None]


class Jobs:
    """All jobs by id. `listeners` hear of each when it begins and ends."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.listeners: list[Ended] = []
        self._numbers = itertools.count(1)
        self._run = f"{time.time_ns():x}"

    def all(self) -> Iterable[Job]:
        self._forget()
        return list(self.jobs.values())

    def find(self, number: str) -> Job | None:
        self._forget()
        return self.jobs.get(number)

    async def run(
        self, name: str, work: Awaitable[T], *, owner: str, service: str, guest: str | None = None
    ) -> T | Job:
        """Do work; its result when it is done before patience ends, else the job that it has become.

        Raises what the work raises, if that comes before.
        """
        if sum(1 for job in self.jobs.values() if job.task is not None and job.state == RUNNING) >= MOST_RUNNING:
            raise CimError(Status.SERVER_LIMITS_EXCEEDED, f"{MOST_RUNNING} jobs are under way")
        task: asyncio.Future[T] = asyncio.ensure_future(work)
        began = time.time()
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        if done:
            return task.result()
        number = f"Job:{self._run}-{next(self._numbers)}"
        job = Job(number, name, owner, service, guest, started=began, task=cast("asyncio.Future[object]", task))
        self._add(job)
        task.add_done_callback(lambda ended: self._task_ended(job, ended))
        return job

    def engine_job(self, number: str, kind: str, state: str, guest: str | None) -> None:
        """News of a job of the engine's."""
        job = self.jobs.get(f"Engine:{number}")
        if job is None and state == "running":
            self._add(Job(f"Engine:{number}", kind, "engine", "", guest, started=time.time(), engine_job=number))
        elif job is not None and state in ENDS:
            failed = CimError(Status.FAILED, f"the engine's job {kind} failed") if state == "failed" else None
            self._end(job, ENDS[state], failed)

    def _add(self, job: Job) -> None:
        self._forget()
        self.jobs[job.id] = job
        self._tell(job)

    def _task_ended(self, job: Job, task: asyncio.Future[T]) -> None:
        if task.cancelled():
            self._end(job, TERMINATED, None)
        elif (problem := task.exception()) is None:
            self._end(job, COMPLETED, None)
        elif isinstance(problem, Cancelled):
            self._end(job, TERMINATED, None)
        else:
            self._end(job, EXCEPTION, _told(problem))

    def _end(self, job: Job, state: int, error: CimError | None) -> None:
        job.state, job.error, job.ended, job.percent, job.task = state, error, time.time(), 100, None
        self._tell(job)

    def _tell(self, job: Job) -> None:
        for listener in self.listeners:
            listener(job)

    def remove(self, job: Job) -> None:
        """Forget an ended job. Raises CimError while it runs."""
        if job.state == RUNNING:
            raise CimError(Status.FAILED, "the job has not ended")
        self.jobs.pop(job.id, None)

    def _forget(self) -> None:
        now = time.time()
        ended = [job for job in self.jobs.values() if job.ended is not None]
        for place, job in enumerate(ended):
            if now - (job.ended or 0) > KEPT or place < len(ended) - MOST_KEPT:
                del self.jobs[job.id]


ENDS = {"completed": COMPLETED, "failed": EXCEPTION, "cancelled": TERMINATED}
"""JobState by the state that a job of the engine's ends in."""


def _told(problem: BaseException) -> CimError:
    if isinstance(problem, CimError):
        return problem
    if isinstance(problem, FrontinusError):
        return errors.of(problem)
    log.error("a job failed unexpectedly", exc_info=problem)
    return errors.of(InternalError("it failed unexpectedly; the log has more"))
