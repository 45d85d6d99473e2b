"""The event bus: one order for all news, and no reader can hurt another.

A reader starts with a snapshot taken in the same turn of the loop that enters it, so nothing falls between. A reader that
does not keep up loses its queue and gets a fresh snapshot marked `resync`: memory is bounded, and the loss is said.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from frontinus.api.events import AnyEvent
from frontinus.api.views import Snapshot

QUEUE = 4096
"""Events that a reader may be behind before it is resynchronised."""


class _Reader:
    def __init__(self) -> None:
        self.queue: deque[AnyEvent] = deque()
        self.lost = False
        self.closed = False
        self.ready = asyncio.Event()


class EventBus:
    """Publishes events in order to any number of readers."""

    def __init__(self, picture: Callable[[], Snapshot], queue: int = QUEUE) -> None:
        self._picture = picture
        self._limit = queue
        self._readers: set[_Reader] = set()
        self.generation = 0
        self.resyncs = 0

    def publish(self, event: AnyEvent) -> None:
        """Stamp an event with the next generation and give it to every reader. Never blocks."""
        self.generation += 1
        stamped = msgspec.structs.replace(event, generation=self.generation, time=time.time())
        for reader in self._readers:
            if len(reader.queue) >= self._limit:
                reader.queue.clear()
                reader.lost = True
            if not reader.lost:
                reader.queue.append(stamped)
            reader.ready.set()

    async def watch(self) -> AsyncIterator[Snapshot | AnyEvent]:
        """A snapshot, then every event after it; after a loss, another snapshot."""
        reader = _Reader()
        self._readers.add(reader)
        try:
            yield self._snapshot(resync=False)
            while not reader.closed:
                await reader.ready.wait()
                reader.ready.clear()
                if reader.lost:
                    reader.lost = False
                    self.resyncs += 1
                    reader.queue.clear()
                    yield self._snapshot(resync=True)
                while reader.queue and not reader.lost:
                    yield reader.queue.popleft()
        finally:
            self._readers.discard(reader)

    @property
    def readers(self) -> int:
        """How many follow the stream."""
        return len(self._readers)

    def resync(self) -> None:
        """Have every reader begin anew with a snapshot: who may see what has changed."""
        for reader in self._readers:
            reader.queue.clear()
            reader.lost = True
            reader.ready.set()

    def close(self) -> None:
        """End every reader's stream after what it has."""
        for reader in self._readers:
            reader.closed = True
            reader.ready.set()

    def _snapshot(self, *, resync: bool) -> Snapshot:
        return msgspec.structs.replace(self._picture(), generation=self.generation, resync=resync)
