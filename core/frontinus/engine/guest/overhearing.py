"""Events of the guests' monitors, for those who want them as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

from frontinus.api.options import MonitorEvent

MOST = 1000
"""Events that a reader may be behind; older ones are lost then."""


class Overhearing:
    """Hands every event to every reader. Without readers it costs next to nothing."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[MonitorEvent | None]] = set()

    def tell(self, uuid: str, name: str, event: str, data: Mapping[str, object], seconds: float) -> None:
        if self._readers:
            told = MonitorEvent(uuid=uuid, name=name, event=event, time=seconds, data=json.dumps(data))
            for queue in self._readers:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(told)

    async def watch(self, uuid: str | None) -> AsyncIterator[MonitorEvent]:
        """Events of one guest, or of all."""
        queue: asyncio.Queue[MonitorEvent | None] = asyncio.Queue(MOST)
        self._readers.add(queue)
        try:
            while (event := await queue.get()) is not None:
                if uuid in (None, event.uuid):
                    yield event
        finally:
            self._readers.discard(queue)

    def close(self) -> None:
        """End every reader's stream."""
        for queue in self._readers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
