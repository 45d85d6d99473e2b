"""A guest's state through a descriptor: written out, and read back in. QEMU calls both migration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from frontinus.api.errors import FrontinusError, HypervisorFailed
from frontinus.qemu.monitor.client import Command, Event, Monitor

DESCRIPTOR = "saved-state"
"""Our name for the descriptor inside QEMU."""
EVENTS_ON = Command("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]})
"""QEMU tells a migration's states only to those who ask it to."""
BANDWIDTH = 2**63 - 1
"""Bytes a second: a file is written as fast as it can be."""
ENDED = frozenset({"completed", "failed", "cancelled"})
CANCEL_SECONDS = 10.0


class _Memory(msgspec.Struct):
    remaining: int = 0
    total: int = 0


class _Progress(msgspec.Struct, rename="kebab"):
    status: str = "none"
    error_desc: str = ""
    ram: _Memory = msgspec.field(default_factory=_Memory)


def _ends(event: Event) -> bool:
    return event.name == "MIGRATION" and event.data.get("status") in ENDED


async def _pass(monitor: Monitor, fd: int) -> None:
    """Give QEMU the descriptor; one that an earlier, failed attempt left is replaced."""
    await monitor.execute("getfd", {"fdname": DESCRIPTOR}, fds=[fd])


async def save(monitor: Monitor, fd: int) -> None:
    """Write the state of a stopped guest. Raises HypervisorFailed with QEMU's reason. Being cancelled, it cancels."""
    await _pass(monitor, fd)
    await monitor.execute("migrate-set-parameters", {"max-bandwidth": BANDWIDTH})
    with monitor.expect(_ends) as ended:
        await monitor.execute("migrate", {"uri": f"fd:{DESCRIPTOR}"})
        try:
            event = await asyncio.shield(ended)
        except asyncio.CancelledError:
            await _cancel(monitor, ended)
            raise
    if event.data.get("status") != "completed":
        progress = await monitor.ask(_Progress, "query-migrate")
        raise HypervisorFailed(progress.error_desc or f"the state was not written: migration {progress.status}")


async def _cancel(monitor: Monitor, ended: asyncio.Future[Event]) -> None:
    await monitor.execute("migrate_cancel")
    await asyncio.wait([ended], timeout=CANCEL_SECONDS)


async def progress(monitor: Monitor) -> tuple[int, int]:
    """Bytes of memory that are written, and that there are."""
    ram = (await monitor.ask(_Progress, "query-migrate")).ram
    return ram.total - ram.remaining, ram.total


async def restore(monitor: Monitor, fd: int, words: Callable[[], str]) -> None:
    """Read a saved state into a QEMU that waits for one. QEMU exits when it cannot; `words` are its last.

    Raises HypervisorFailed.
    """
    await _pass(monitor, fd)
    with monitor.expect(_ends) as ended:
        await monitor.execute("migrate-incoming", {"uri": f"fd:{DESCRIPTOR}"})
        try:
            event = await ended
        except FrontinusError as error:
            raise HypervisorFailed(words() or error.message) from error
    if event.data.get("status") != "completed":
        raise HypervisorFailed(words() or f"the saved state was not read: {event.data.get('status')}")
