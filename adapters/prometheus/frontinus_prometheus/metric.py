"""What a table of metrics is made of. One table drives the rendering, the headers, the reference and the tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from frontinus.api.views import GuestStats
from frontinus_prometheus.model import Entry, Facts

Value = int | float | None
"""A sample; None is left out, for a figure that is not known is not zero."""

Kind = Literal["counter", "gauge", "info", "histogram"]
T = TypeVar("T")

NANO = 10**9
"""Divisor of the facade's times, which are nanoseconds."""

UNITS = ("seconds", "bytes", "ratio")

LE = "le"
"""The label of a histogram's scope that is the bounds of its buckets, ns."""

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def label_text(labels: Mapping[str, object]) -> str:
    """Labels as they stand in a line; empty ones are left out, which means the same."""
    shown = [(key, str(value).translate(ESCAPES)) for key, value in labels.items() if value is not None and value != ""]
    return "{" + ",".join(f'{key}="{value}"' for key, value in shown) + "}" if shown else ""


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

    def template(self, labels: Mapping[str, object], since: float | None = None) -> str:
        """The lines of one item: a format that takes the item's share of `numbers`.

        `since`: when what is counted began to be (Unix time), which OpenMetrics wants to know of what is counted.
        """
        shown = label_text(labels).replace("%", "%%")
        return f"{self.name}{shown} {self.verb}\n{self.created(shown, since)}"

    def created(self, labels: str, since: float | None) -> str:
        """The line that says when it began."""
        counted = since is not None and self.kind in ("counter", "histogram")
        return f"{self.family}_created{labels} {since}\n" if counted else ""

    def numbers(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """What stands in the lines of items with these values, of which none is None."""
        per = self.per
        return tuple(values) if per == 1 else tuple([value / per for value in values])

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


class Histogram(Metric[T]):
    """A family whose value is the count of each bucket, and has a line for each."""

    def template(self, labels: Mapping[str, object], since: float | None = None) -> str:
        bounds: Any = labels[LE]
        shown = [label_text({**labels, LE: bound}) for bound in (*(repr(bound / NANO) for bound in bounds), "+Inf")]
        lines = [f"{self.name}_bucket{text} ".replace("%", "%%") + "%d\n" for text in shown]
        whole = label_text({**labels, LE: None}).replace("%", "%%")
        return "".join([*lines, self.created(whole, since)])

    def numbers(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """As Prometheus counts: each bucket holds those before it."""
        return tuple(chain.from_iterable(map(accumulate, values)))


def histogram(name: str, help: str, value: str) -> Metric[Any]:
    return Histogram(name, "histogram", help, value)


Label = str | Callable[[T], object]


@dataclass(frozen=True)
class Scope(Generic[T]):
    """Families that share their labels: `items` of a guest (or of the engine), `labels` of an item beside its guest's.

    A label is an attribute of the item or a function of it; None becomes the empty string, which is as good as no label.
    """

    items: Callable[[Any], Iterable[T]]
    metrics: tuple[Metric[T], ...]
    labels: Mapping[str, Label[T]]
    since: Callable[[Any], float | None] | None = None
    """When the counting began (Unix time), of what the items are from; None where nobody knows."""


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


def only(profile: Profile, names: Collection[str]) -> Profile:
    """The profile with these families alone."""

    def kept(scopes: tuple[Scope[Any], ...]) -> tuple[Scope[Any], ...]:
        fewer = [replace(scope, metrics=tuple(m for m in scope.metrics if m.name in names)) for scope in scopes]
        return tuple(scope for scope in fewer if scope.metrics)

    return replace(profile, engine=kept(profile.engine), guests=kept(profile.guests), figures=kept(profile.figures))


def one(path: Callable[[Any], T | None]) -> Callable[[Any], Iterable[T]]:
    """Items of a scope that has at most one."""

    def items(source: object) -> Iterable[T]:
        found = path(source)
        return () if found is None else (found,)

    return items
