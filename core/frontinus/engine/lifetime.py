"""What ends with the connection of the caller who asked for it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


class Lifetime:
    """Of one connection: whoever serves it says when it ends."""

    def __init__(self) -> None:
        self._ended = False
        self._callbacks: list[Callable[[], None]] = []

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back at its end, or now if that was."""
        if self._ended:
            callback()
        else:
            self._callbacks.append(callback)

    def end(self) -> None:
        self._ended = True
        for callback in self._callbacks:
            callback()
        self._callbacks.clear()


CALLER: ContextVar[Lifetime | None] = ContextVar("caller", default=None)
"""The connection that the call under way came by; None for callers in process."""
