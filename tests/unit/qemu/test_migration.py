"""Saving a guest's state, with a QEMU that takes its time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frontinus.api.errors import HypervisorFailed
from frontinus.domain.qapi import Schema
from frontinus.qemu import migration
from frontinus.qemu.monitor.client import Event
from support.waiting import until


class Qemu:
    """Tells the end of a migration before it is done with it, as QEMU does; `ends` as what, None: not before it is cancelled."""

    def __init__(self, ends: str | None = "completed") -> None:
        self.ends = ends
        self.said: list[str] = []
        self.status = ["finish-migrate", "finish-migrate", "postmigrate"]
        self._ended: asyncio.Future[Event] | None = None

    @contextmanager
    def expect(self, match: Callable[[Event], bool]) -> Iterator[asyncio.Future[Event]]:
        self._ended = asyncio.get_running_loop().create_future()
        yield self._ended

    async def execute(self, name: str, arguments: object = None, **_: object) -> None:
        self.said.append(name)
        if name == "migrate_cancel":
            self._end("cancelled")
        elif name == "migrate" and self.ends is not None:
            self._end(self.ends)

    def _end(self, status: str) -> None:
        assert self._ended is not None
        self._ended.set_result(Event("MIGRATION", {"status": status}, 0))

    async def ask(self, kind: type, name: str) -> object:
        self.said.append(name)
        return kind(status=self.status.pop(0) if name == "query-status" else "failed")


async def save(qemu: Qemu, folder: Path) -> None:
    fd = os.open(folder / "state", os.O_WRONLY | os.O_CREAT)
    try:
        await migration.save(qemu, fd, Schema([]))  # type: ignore[arg-type]
    finally:
        os.close(fd)


async def test_a_save_ends_when_qemu_is_done_with_it(tmp_path: Path) -> None:
    """Else the guest cannot run on: "Migration is not finalized yet"."""
    qemu = Qemu()
    await save(qemu, tmp_path)
    assert qemu.status == []


async def test_a_save_that_failed_leaves_a_guest_that_can_run_on(tmp_path: Path) -> None:
    qemu = Qemu("failed")
    with pytest.raises(HypervisorFailed):
        await save(qemu, tmp_path)
    assert qemu.status == []


async def test_a_save_that_is_cancelled_leaves_a_guest_that_can_run_on(tmp_path: Path) -> None:
    qemu = Qemu(None)
    saving = asyncio.create_task(save(qemu, tmp_path))
    await until(lambda: "migrate" in qemu.said)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert qemu.status == [] and "migrate_cancel" in qemu.said
