"""The calls that go on: kept alive to their end, and bounded for each client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine

AT_ONCE = 200
"""Calls that go on at once; more wait. The engine takes 256 on a connection."""
OF_A_CLIENT = 4096
"""Calls of one client that go on or wait; the bus bounds only those whose answers are wanted."""


class UnderWay:
    """All calls under way; `room` is held by those that are at work."""

    def __init__(self) -> None:
        self.room = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: Counter[str] = Counter()

    def full(self, client: str) -> bool:
        """Whether the client has too many calls under way to begin another."""
        return self._clients[client] >= OF_A_CLIENT

    def begin(self, client: str, work: Coroutine[object, object, None]) -> None:
        """Run it in the background."""
        self._clients[client] += 1
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(client, done))

    def _ended(self, client: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
