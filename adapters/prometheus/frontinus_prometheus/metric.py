"""What a table of metrics is made of. One table drives the rendering, the headers, the reference and the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from frontinus.api.views import GuestStats, LatencyHistogram
from frontinus_prometheus.model import Entry, Facts

Value = int | float | None
"""A sample; None is left out, for a figure that is not known is not zero."""

Kind = Literal["counter", "gauge", "info", "histogram"]
T = TypeVar("T")

NANO = 10**9
"""Divisor of the facade's times, which are nanoseconds."""

UNITS = ("seconds", "bytes", "ratio")


@dataclass(frozen=True)
class Metric(Generic[T]):
    """One family. `name` is the sample's name: counters end in _total, infos in _info (which are always 1).

    `value` is an attribute of the item or a function of it; the sample is that divided by `per`.
    """

    name: str
    kind: Kind
    help: str
    value: str | Callable[[T], Value]
    per: int = 1
    verb: str = "%s"
    """How a number is written; flags are written as numbers."""

    def scaled(self, values: Sequence[Value]) -> tuple[Value, ...]:
        """Known values in the family's unit."""
        per = self.per
        return tuple(values) if per == 1 else tuple([value / per for value in values if value is not None])

    @property
    def family(self) -> str:
        """OpenMetrics' name of the family: without the suffix of its kind."""
        return self.name.removesuffix({"counter": "_total", "info": "_info"}.get(self.kind, ""))

    @property
    def unit(self) -> str:
        """The unit that the family's name ends in, or nothing."""
        last = self.family.rpartition("_")[2]
        return last if last in UNITS and self.kind != "info" else ""

    def header(self, *, openmetrics: bool) -> str:
        """The lines before the family's samples."""
        if not openmetrics:
            kind = "gauge" if self.kind == "info" else self.kind
            return f"# HELP {self.name} {self.help}\n# TYPE {self.name} {kind}\n"
        unit = f"# UNIT {self.family} {self.unit}\n" if self.unit else ""
        return f"# TYPE {self.family} {self.kind}\n{unit}# HELP {self.family} {self.help}\n"


def counter(name: str, help: str, value: str | Callable[[Any], Value], per: int = 1) -> Metric[Any]:
    return Metric(name, "counter", help, value, per)


def gauge(name: str, help: str, value: str | Callable[[Any], Value], per: int = 1) -> Metric[Any]:
    return Metric(name, "gauge", help, value, per)


def flag(name: str, help: str, value: str | Callable[[Any], Value]) -> Metric[Any]:
    """A gauge that is 0 or 1."""
    return Metric(name, "gauge", help, value, verb="%d")


def info(name: str, help: str) -> Metric[Any]:
    return Metric(name, "info", help, lambda _: 1)


def histogram(name: str, help: str) -> Metric[Any]:
    """A family whose items are buckets, as `buckets` makes them; the scope's labels are BUCKET's and more."""
    return Metric(name, "histogram", help, "number")


Label = str | Callable[[T], object]

SUFFIX = "__name__"
"""A label of a scope that is none: it stands after the family's name."""


class Bucket(NamedTuple):
    """One bucket of a histogram: how many took up to `le` seconds. `device` is empty where there is one histogram only."""

    device: str
    le: str
    number: int


BUCKET: Mapping[str, Label[Bucket]] = {SUFFIX: lambda bucket: "_bucket", "le": "le"}


def buckets(device: str, kept: LatencyHistogram | None) -> Iterator[Bucket]:
    """The histogram as Prometheus counts: each bucket holds those before it."""
    if kept is None:
        return
    total = 0
    for bound, count in zip((*(repr(bound / NANO) for bound in kept.bounds), "+Inf"), kept.counts, strict=True):
        total += count
        yield Bucket(device, bound, total)


@dataclass(frozen=True)
class Scope(Generic[T]):
    """Families that share their labels: `items` of a guest (or of the engine), `labels` of an item beside its guest's.

    A label is an attribute of the item or a function of it; None becomes the empty string, which is as good as no label.
    """

    items: Callable[[Any], Iterable[T]]
    metrics: tuple[Metric[T], ...]
    labels: Mapping[str, Label[T]]


class Sample(NamedTuple):
    """A guest and its figures."""

    entry: Entry
    stats: GuestStats


@dataclass(frozen=True)
class Profile:
    """All that one path shows. `identity`: the labels that every series of a guest has.

    `engine` scopes take Facts; `guests` take the read model's Entry and change by events alone; `figures` take a Sample.
    `details`: the entries' details are wanted.
    """

    name: str
    identity: Callable[[Entry, Facts], Mapping[str, object]]
    engine: tuple[Scope[Any], ...] = ()
    guests: tuple[Scope[Any], ...] = ()
    figures: tuple[Scope[Any], ...] = ()
    openmetrics: bool = True
    details: bool = False

    def metrics(self) -> Iterator[Metric[Any]]:
        """Every family in the order of the output."""
        for scope in (*self.engine, *self.guests, *self.figures):
            yield from scope.metrics


def one(path: Callable[[Any], T | None]) -> Callable[[Any], Iterable[T]]:
    """Items of a scope that has at most one."""

    def items(source: object) -> Iterable[T]:
        found = path(source)
        return () if found is None else (found,)

    return items
