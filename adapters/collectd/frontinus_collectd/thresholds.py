"""What plugins of Nagios and its kin agree on: states, ranges, performance data, and one line that says it all."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum


class Status(IntEnum):
    """The exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


ORDER = (Status.OK, Status.UNKNOWN, Status.WARNING, Status.CRITICAL)
"""From the best to the worst."""


def worst(found: Sequence[Status]) -> Status:
    return max(found, key=ORDER.index, default=Status.OK)


@dataclass(frozen=True)
class Range:
    """A range of values that are well, or with @ of those that are not: 10, 10:, ~:10, 10:20, @10:20."""

    text: str
    low: float
    high: float
    inside: bool

    def alerts(self, value: float) -> bool:
        within = self.low <= value <= self.high
        return within if self.inside else not within


NUMBER = r"-?\d+(?:\.\d+)?"


def parse_range(text: str) -> Range:
    """Raises ValueError with a message for a person."""
    found = re.fullmatch(rf"(@?)(?:(~|{NUMBER})?(:))?({NUMBER})?", text)
    if found is None or text in ("", "@"):
        raise ValueError(f"'{text}' is no range; ranges are like 10, 10:, ~:10, 10:20 and @10:20")
    at, low, _, high = found.groups()
    start = -math.inf if low == "~" else float(low or 0)
    end = float(high) if high else math.inf
    if start > end:
        raise ValueError(f"the range '{text}' starts after its end")
    return Range(text, start, end, bool(at))


@dataclass(frozen=True)
class Figure:
    """One piece of performance data. `unit`: s, %, B, c or nothing."""

    name: str
    value: float
    unit: str = ""
    warning: Range | None = None
    critical: Range | None = None
    low: float | None = None
    high: float | None = None

    @property
    def status(self) -> Status:
        if self.critical is not None and self.critical.alerts(self.value):
            return Status.CRITICAL
        if self.warning is not None and self.warning.alerts(self.value):
            return Status.WARNING
        return Status.OK

    def __str__(self) -> str:
        ranges = [r.text if r else "" for r in (self.warning, self.critical)]
        limits = ["" if n is None else number(n) for n in (self.low, self.high)]
        quoted = "'{}'".format(self.name.replace("'", "''").replace("=", "_"))
        return f"{quoted}={number(self.value)}{self.unit};{';'.join((*ranges, *limits))}".rstrip(";")


def number(value: float) -> str:
    """Without an exponent and without idle zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@dataclass
class Report:
    """What a check found. `lines` say more, one problem each."""

    status: Status
    text: str
    figures: list[Figure] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def render(self, title: str) -> str:
        data = " ".join(map(str, self.figures))
        first = f"{title} {self.status.name} - {clean(self.text)}" + (f" | {data}" if data else "")
        return "".join(f"{line}\n" for line in (first, *map(clean, self.lines)))


def clean(text: str) -> str:
    """One line, in which nothing is taken for performance data."""
    return " ".join(text.replace("|", "/").split())
