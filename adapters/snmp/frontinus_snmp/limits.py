"""What strangers and broken managers may cost: reports to an address, lines in the log."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

log = logging.getLogger(__name__)
REPORTS_A_SECOND, MOST_SOURCES = 20.0, 1024


class Limiter:
    """So many reports a second to one address: what is not authentic must not make this agent a reflector."""

    def __init__(self, rate: float = REPORTS_A_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._sources: dict[str, tuple[float, float]] = {}

    def allows(self, host: str) -> bool:
        now = self._clock()
        left, since = self._sources.pop(host, (self._rate, now))
        left = min(self._rate, left + (now - since) * self._rate)
        if len(self._sources) >= MOST_SOURCES:
            self._sources.pop(next(iter(self._sources)))
        allowed = left >= 1
        self._sources[host] = (left - allowed, now)
        return allowed


class Quiet:
    """A line a minute for each kind of trouble, with the number of those that were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()

    def warn(self, kind: str, source: str) -> None:
        now = self._clock()
        if now - self._last.get(kind, float("-inf")) < 60:
            self._left_out[kind] += 1
            return
        self._last[kind] = now
        log.warning("%s, from %s (%d more of the kind before)", kind, source, self._left_out.pop(kind, 0))
