"""Waiting for what nobody tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(check: Callable[[], object], seconds: float = 60) -> None:
    """Look until it is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.005)
