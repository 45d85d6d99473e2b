"""Waiting for what nobody tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar, cast

T = TypeVar("T")


async def until(check: Callable[[], object], seconds: float = 60) -> None:
    """Look until it is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.005)


def closing(stream: AsyncIterator[T]) -> aclosing[AsyncGenerator[T, None]]:
    """A stream of the facade, closed at the end: what gives it is a generator."""
    return aclosing(cast("AsyncGenerator[T, None]", stream))
