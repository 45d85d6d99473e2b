"""Waiting for what nobody tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TypeVar, cast

T = TypeVar("T")


async def until(check: Callable[[], object], seconds: float = 120) -> None:
    """Look until it is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.005)


async def eventually(there: Callable[[], Awaitable[T]], what: str, seconds: float = 120) -> T:
    """The first true answer of a question that is asked until then. Raises AssertionError with `what` is wrong."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (answer := await there()):  # noqa: ASYNC110  what a client sees, it sees by asking
                await asyncio.sleep(0.05)
            return answer
    raise AssertionError(f"{what}, in {seconds:g} s")


def closing(stream: AsyncIterator[T]) -> aclosing[AsyncGenerator[T, None]]:
    """A stream of the facade, closed at the end: what gives it is a generator."""
    return aclosing(cast("AsyncGenerator[T, None]", stream))
