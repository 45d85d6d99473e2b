"""Staying connected: for adapters, which outlive the engine's restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from frontinus.api.errors import Disconnected, FrontinusError
from frontinus.client.remote import RemoteEngine, connect

log = logging.getLogger(__name__)
FIRST_DELAY, LAST_DELAY = 0.1, 5.0
"""Seconds between attempts to connect."""


async def stay_connected(path: Path | Callable[[], Path], follow: Callable[[RemoteEngine], Awaitable[None]]) -> None:
    """Connect, `follow` until the connection ends, and again, until cancelled. Tells once that the engine is away.

    `path` may be a function that says, for each attempt, which socket is to be tried."""
    delay, told = FIRST_DELAY, False
    while True:
        try:
            remote = await connect(path() if callable(path) else path)
        except Disconnected as error:
            if not told:
                log.warning("%s", error.message)
                told = True
        else:
            delay, told = FIRST_DELAY, False
            await _once(remote, follow)
        await asyncio.sleep(delay)
        delay = min(delay * 2, LAST_DELAY)


async def _once(remote: RemoteEngine, follow: Callable[[RemoteEngine], Awaitable[None]]) -> None:
    try:
        await follow(remote)
    except FrontinusError as error:
        log.warning("lost the engine: %s", error.message)
    else:
        log.warning("the engine ended the stream")
    finally:
        remote.close()
