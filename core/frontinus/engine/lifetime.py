"""What ends with the connection of the caller who asked for it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from frontinus.engine.allowance import Allowance

Callback = Callable[[], None]


class Lifetime:
    """Of one connection: whoever serves it says when it ends. `allowance`: what its user may leave open here."""

    def __init__(self, allowance: Allowance | None = None) -> None:
        self.allowance = allowance
        self._ended = False
        self._callbacks: dict[object, Callback] = {}

    def when_ended(self, callback: Callback) -> Callback:
        """Call back at its end, or now if that was. What is returned takes the wish back."""
        if self._ended:
            callback()
            return lambda: None
        key = object()
        self._callbacks[key] = callback

        def take_back() -> None:
            self._callbacks.pop(key, None)

        return take_back

    def end(self) -> None:
        self._ended = True
        for callback in list(self._callbacks.values()):
            callback()
        self._callbacks.clear()


CALLER: ContextVar[Lifetime | None] = ContextVar("caller", default=None)
"""The connection that the call under way came by; None for callers in process."""
