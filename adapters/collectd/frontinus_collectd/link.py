"""The connection to the engine: it lives through a restart of the engine, and says each change once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, FrontinusError
from frontinus.client.thin import ThinEngine

P = ParamSpec("P")
T = TypeVar("T")

PAUSE = 0.05
"""Seconds between two attempts to reach an engine that is being started anew."""


class Link:
    """Calls of one reading share a deadline; while the engine restarts they wait for it until then."""

    def __init__(self, path: Path, say: Callable[[str, str], None]) -> None:
        self._engine = ThinEngine(path)
        self._say = say
        self._up: bool | None = None
        self._deadline = 0.0
        self._lost: float | None = None

    def begin(self, timeout: float) -> None:
        """Start a reading that may take `timeout` seconds."""
        self._deadline = time.monotonic() + timeout

    def call(self, method: Callable[Concatenate[Engine, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the engine. Raises what the method raises, and Disconnected or Unresponsive past the deadline."""
        while True:
            self._engine.timeout = max(self._deadline - time.monotonic(), PAUSE)
            try:
                answer = self._engine.call(method, *args, **kwargs)
            except Disconnected:
                self._lost = self._lost or time.monotonic()
                if not self._up or time.monotonic() + PAUSE >= self._deadline:
                    raise
                time.sleep(PAUSE)
            else:
                self._reached()
                return answer

    def failed(self, error: FrontinusError) -> None:
        """A reading came to nothing; said once until one succeeds."""
        if self._up is not False:
            self._say("error", error.message)
        self._up = False

    def close(self) -> None:
        self._engine.close()

    def _reached(self) -> None:
        if self._lost is not None and self._up is not None:
            self._say("notice", f"the engine is back; it was away for {time.monotonic() - self._lost:.1f} s")
        elif not self._up:
            self._say("info", f"connected to the engine at {self._engine.path}")
        self._up, self._lost = True, None
