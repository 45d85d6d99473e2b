"""The way to the engine for changes: the manage socket, opened when the first change is wanted."""

from __future__ import annotations

import logging
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, FrontinusError
from frontinus.client.remote import RemoteEngine, as_engine, connect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from frontinus.api.events import AnyEvent
    from frontinus.api.views import Snapshot

log = logging.getLogger(__name__)


class Manage:
    """At most one connection, made again when it was lost."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._remote: RemoteEngine | None = None

    async def engine(self) -> Engine | None:
        """The engine, or None where it cannot be reached or does not let this process change anything."""
        for _ in range(2):
            try:
                if self._remote is None and self._path is not None:
                    self._remote = await connect(self._path)
                if self._remote is None:
                    return None
                engine = as_engine(self._remote)
                await engine.version()
            except Disconnected as error:
                self.close()
                log.warning("nothing can be changed: %s", error.message)
            except FrontinusError as error:
                log.warning("nothing can be changed: %s", error.message)
                return None
            else:
                return engine
        return None

    async def generation(self) -> int:
        """What the engine has told up to now, so that its readers can tell when they know it too."""
        engine = await self.engine()
        if engine is not None:
            async with aclosing(cast("AsyncGenerator[Snapshot | AnyEvent, None]", engine.watch())) as stream:
                async for item in stream:
                    return item.generation
        return -1

    def close(self) -> None:
        if self._remote is not None:
            self._remote.close()
            self._remote = None
