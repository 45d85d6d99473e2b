"""Block jobs under way: what a later engine must know of them to finish or undo what this one began."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from frontinus.api.blockjobs import BlockJobKind

Phase = Literal["starting", "running", "pivot"]


class Work(msgspec.Struct, kw_only=True):
    """One block job. It is written down with the run state before the hypervisor gets to know it.

    `top` and `base`: indexes of layers, of a commit the lowest and the highest that go, and the one that takes them; of a
    pull the one that stays below. `made`: files that exist for it alone.
    """

    job: str
    kind: BlockJobKind
    disk: str
    phase: Phase = "starting"
    ready: bool = False
    top: int | None = None
    base: int | None = None
    delete: bool = False
    made: list[str] = []
    began: float = msgspec.field(default_factory=time.time)
    """Unix time."""


class BackupState(msgspec.Struct, kw_only=True):
    """A backup under way: its document, and the files that were made for it."""

    xml: str
    made: list[str] = []


class Works:
    """The block jobs of one running guest, and who waits for news of them."""

    def __init__(self, known: Iterable[Work] = ()) -> None:
        self._known = {work.job: work for work in known}
        self._told: dict[str, asyncio.Event] = {}
        self.owned: set[str] = set()
        """Jobs whose end an operation waits for: it does what is to be done then."""
        self._closing: str | None = None
        self.thresholds: dict[int, str] = {}
        """Layers that are watched, and what their watchers call them."""

    def __iter__(self) -> Iterator[Work]:
        return iter(list(self._known.values()))

    def get(self, job: str) -> Work | None:
        return self._known.get(job)

    def of(self, disk: str) -> Work | None:
        """The job on a disk, by its target."""
        return next((work for work in self._known.values() if work.disk == disk), None)

    def add(self, work: Work) -> None:
        self._known[work.job] = work

    def begun(self, job: str) -> None:
        """The hypervisor has the job."""
        self._known[job].phase = "running"

    def to_keep(self) -> list[Work]:
        """Those that a later engine must know."""
        return [work for work in self._known.values() if work.job != self._closing]

    @contextmanager
    def closing(self, work: Work) -> Iterator[None]:
        """A job's outcome is written to the books: they do not have it any more, but it is gone only afterwards."""
        self._closing = work.job
        try:
            yield
        finally:
            self._closing = None
        self.remove(work)

    def remove(self, work: Work) -> None:
        self._known.pop(work.job, None)

    def told(self, job: str) -> asyncio.Event:
        """Set whenever there is news of a job."""
        return self._told.setdefault(job, asyncio.Event())

    def wake(self) -> None:
        """Have everyone who waits look again: the guest has ended."""
        for event in self._told.values():
            event.set()
