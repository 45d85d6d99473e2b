"""What the traffic with all monitors together is like: counts, and a histogram of how long a batch took."""

from __future__ import annotations

from bisect import bisect_right

from frontinus.api.figures import MonitorFigures
from frontinus.api.views import LatencyHistogram

BOUNDS = (100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
          250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000)  # fmt: skip
"""Bounds of the histogram, ns."""


class Meter:
    """Counts the batches of any number of monitors."""

    def __init__(self) -> None:
        self.commands = self.failures = self.late = self.waiting = 0
        self._seconds = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)

    def began(self, commands: int) -> None:
        """A batch was written."""
        self.commands += commands
        self.waiting += 1

    def ended(self, seconds: float) -> None:
        """A batch was answered, or nobody waits for it any more."""
        self.waiting -= 1
        self._seconds += seconds
        self._counts[bisect_right(BOUNDS, seconds * 1e9)] += 1

    def view(self) -> MonitorFigures:
        """What there is to tell."""
        return MonitorFigures(
            commands=self.commands, failures=self.failures, late=self.late, waiting=self.waiting, seconds=self._seconds,
            latency=LatencyHistogram(bounds=BOUNDS, counts=tuple(self._counts)),
        )  # fmt: skip
