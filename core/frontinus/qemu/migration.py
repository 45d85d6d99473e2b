"""A guest's state through a descriptor: written out, and read back in. QEMU calls both migration."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec

from frontinus.api.errors import FrontinusError, HypervisorFailed, Unresponsive
from frontinus.domain.qapi import Schema
from frontinus.qemu.monitor.client import Command, Event, Monitor

DESCRIPTOR = "saved-state"
"""Our name for the descriptor inside QEMU."""
EVENTS_ON = Command("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]})
"""QEMU tells a migration's states only to those who ask it to."""
FILES = "migrate/arg-type/channels/addr/transport=file"
"""Where QEMU's schema says that a state may go to a file by its name."""
BANDWIDTH = 2**63 - 1
"""Bytes a second: a file is written as fast as it can be."""
ENDED = frozenset({"completed", "failed", "cancelled"})
CANCEL_SECONDS = FINISH_SECONDS = 10.0


class _Memory(msgspec.Struct):
    remaining: int = 0
    total: int = 0


class _Progress(msgspec.Struct, rename="kebab"):
    status: str = "none"
    error_desc: str = ""
    ram: _Memory = msgspec.field(default_factory=_Memory)


def _ends(event: Event) -> bool:
    return event.name == "MIGRATION" and event.data.get("status") in ENDED


class _Set(msgspec.Struct, rename="kebab"):
    fdset_id: int


@asynccontextmanager
async def _passed(monitor: Monitor, fd: int, schema: Schema, mode: int) -> AsyncIterator[str]:
    """Give QEMU the descriptor, from where it stands; how it calls it.

    A file by "fd:" was the way until QEMU 8.2 had another, and 11 dropped it. A set of descriptors is searched by the mode.
    """
    if not (stat.S_ISREG(os.fstat(fd).st_mode) and schema.has(FILES)):
        await monitor.execute(
            "getfd", {"fdname": DESCRIPTOR}, fds=[fd]
        )  # one of an earlier, failed attempt is replaced
        yield f"fd:{DESCRIPTOR}"
        return
    offset = os.lseek(fd, 0, os.SEEK_CUR)
    own = os.open(f"/proc/self/fd/{fd}", mode | os.O_CLOEXEC)
    try:
        (answer,) = await monitor.execute_many([Command("add-fd")], fds=[own])
    finally:
        os.close(own)
    number = answer.value(_Set).fdset_id
    try:
        yield f"file:/dev/fdset/{number},offset={offset}"
    finally:
        with suppress(FrontinusError):  # it has ended, perhaps
            await monitor.execute("remove-fd", {"fdset-id": number})


async def save(monitor: Monitor, fd: int, schema: Schema) -> None:
    """Write the state of a stopped guest. Raises HypervisorFailed with QEMU's reason. Being cancelled, it cancels."""
    async with _passed(monitor, fd, schema, os.O_WRONLY) as uri:
        await _save(monitor, uri)


async def _save(monitor: Monitor, uri: str) -> None:
    await monitor.execute("migrate-set-parameters", {"max-bandwidth": BANDWIDTH})
    with monitor.expect(_ends) as ended:
        await monitor.execute("migrate", {"uri": uri})
        try:
            event = await asyncio.shield(ended)
        except asyncio.CancelledError:
            with suppress(FrontinusError):
                await _cancel(monitor, ended)
            raise
    if event.data.get("status") != "completed":
        progress = await monitor.ask(_Progress, "query-migrate")
        await _finish(monitor)
        raise HypervisorFailed(progress.error_desc or f"the state was not written: migration {progress.status}")
    await _finish(monitor)


async def _cancel(monitor: Monitor, ended: asyncio.Future[Event]) -> None:
    await monitor.execute("migrate_cancel")
    await asyncio.wait([ended], timeout=CANCEL_SECONDS)
    await _finish(monitor)


async def _finish(monitor: Monitor) -> None:
    """QEMU tells the end some moments before it lets the guest's CPUs be started again, and nothing tells of that."""
    until = asyncio.get_running_loop().time() + FINISH_SECONDS
    while (await monitor.ask(_Progress, "query-status")).status == "finish-migrate":
        if asyncio.get_running_loop().time() > until:
            raise Unresponsive("QEMU does not come to the end of writing its state")
        await asyncio.sleep(0.005)


async def progress(monitor: Monitor) -> tuple[int, int]:
    """Bytes of memory that are written, and that there are."""
    ram = (await monitor.ask(_Progress, "query-migrate")).ram
    return ram.total - ram.remaining, ram.total


async def restore(monitor: Monitor, fd: int, words: Callable[[], str], schema: Schema) -> None:
    """Read a saved state into a QEMU that waits for one. QEMU exits when it cannot; `words` are its last.

    Raises HypervisorFailed.
    """
    async with _passed(monitor, fd, schema, os.O_RDONLY) as uri:
        await _restore(monitor, uri, words)


async def _restore(monitor: Monitor, uri: str, words: Callable[[], str]) -> None:
    with monitor.expect(_ends) as ended:
        await monitor.execute("migrate-incoming", {"uri": uri})
        try:
            event = await ended
        except FrontinusError as error:
            raise HypervisorFailed(words() or error.message) from error
    if event.data.get("status") != "completed":
        raise HypervisorFailed(words() or f"the saved state was not read: {event.data.get('status')}")
