"""From figures to text. What a series is called is worked out once a guest and kept; a scrape only appends the numbers.

Families stay together, as both formats demand: every family has a column of lines, which guests fill one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

from frontinus_prometheus.metric import Metric, Profile, Scope, Value
from frontinus_prometheus.model import Entry, Facts

KEPT = 512
"""Items of one scope whose names are kept a guest: more means that devices come and go, then all are worked out anew."""

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
Values = Callable[[Any], tuple[Value, ...]]
Column = list[str]


def label_text(labels: Mapping[str, object]) -> str:
    """Labels as they stand in a line; empty ones are left out, which means the same."""
    shown = [(key, str(value).translate(ESCAPES)) for key, value in labels.items() if value is not None and value != ""]
    return "{" + ",".join(f'{key}="{value}"' for key, value in shown) + "}" if shown else ""


def _fields(fields: Sequence[str]) -> Values:
    """The attributes of an item as a tuple."""
    if len(fields) == 1:
        single = attrgetter(fields[0])
        return lambda item: (single(item),)
    return attrgetter(*fields)


def _functions(functions: Sequence[Callable[[Any], Value]]) -> Values:
    return lambda item: tuple([function(item) for function in functions])


class Part:
    """The families of a scope whose values come the same way: attributes with one divisor, or functions."""

    def __init__(self, metrics: Sequence[Metric[Any]]) -> None:
        self.metrics = metrics
        self.per = metrics[0].per
        names = [m.value for m in metrics if isinstance(m.value, str)]
        self.values = (
            _fields(names) if names else _functions([m.value for m in metrics if not isinstance(m.value, str)])
        )

    def fill(self, columns: Iterable[Column], prefixes: Iterable[str], item: object) -> None:
        """A line for each value that is known."""
        per = self.per
        if per == 1:
            for column, prefix, value in zip(columns, prefixes, self.values(item), strict=True):
                if value is not None:
                    column.append(f"{prefix}{value:d}\n" if value.__class__ is bool else f"{prefix}{value}\n")
        else:
            for column, prefix, value in zip(columns, prefixes, self.values(item), strict=True):
                if value is not None:
                    column.append(f"{prefix}{value / per}\n")


class Rows:
    """A scope made ready."""

    def __init__(self, scope: Scope[Any]) -> None:
        groups: dict[object, list[Metric[Any]]] = {}
        for metric in scope.metrics:
            groups.setdefault(metric.per if isinstance(metric.value, str) else "function", []).append(metric)
        self.items = scope.items
        self.parts = [Part(metrics) for metrics in groups.values()]
        self.metrics = [metric for part in self.parts for metric in part.metrics]
        self.label_names = tuple(scope.labels)
        sources = list(scope.labels.values())
        texts = [source for source in sources if isinstance(source, str)]
        self.key: Callable[[Any], tuple[object, ...]]
        if sources and len(texts) == len(sources):
            self.key = _fields(texts)
        else:
            functions = [attrgetter(s) if isinstance(s, str) else s for s in sources]
            self.key = lambda item: tuple([function(item) for function in functions])

    def prefixes(self, identity: Mapping[str, object], key: tuple[object, ...]) -> list[tuple[str, ...]]:
        """Everything before the values, by part."""
        labels = label_text({**identity, **dict(zip(self.label_names, key, strict=True))})
        return [tuple(f"{metric.name}{labels} " for metric in part.metrics) for part in self.parts]

    def fill(self, columns: list[list[Column]], source: object, identity: Mapping[str, object],
             kept: dict[tuple[object, ...], list[tuple[str, ...]]]) -> None:  # fmt: skip
        """The lines of all items of a source."""
        for item in self.items(source):
            key = self.key(item)
            prefixes = kept.get(key)
            if prefixes is None:
                if len(kept) >= KEPT:
                    kept.clear()
                prefixes = kept[key] = self.prefixes(identity, key)
            for part, part_columns, part_prefixes in zip(self.parts, columns, prefixes, strict=True):
                part.fill(part_columns, part_prefixes, item)


class Sheet:
    """The columns of some scopes."""

    def __init__(self, rows: Sequence[Rows]) -> None:
        self.rows = rows
        self.columns: list[list[list[Column]]] = [[[[] for _ in p.metrics] for p in r.parts] for r in rows]

    def texts(self) -> list[str]:
        """The text of every family, in the order of the rows' metrics."""
        return ["".join(column) for row in self.columns for part in row for column in part]


class Known:
    """What is kept of one guest: the text that only events change, and the names of its series of figures."""

    def __init__(self, entry: Entry, profile: Profile, guests: Sequence[Rows], figures: Sequence[Rows]) -> None:
        self.version, self.active = entry.version, entry.view.active
        self.identity = profile.identity(entry)
        self.names: list[dict[tuple[object, ...], list[tuple[str, ...]]]] = [{} for _ in figures]
        sheet = Sheet(guests)
        for row, columns in zip(guests, sheet.columns, strict=True):
            row.fill(columns, entry, self.identity, {})
        self.texts = sheet.texts()


class Renderer:
    """Renders one profile."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._engine, self._guests, self._figures = (
            [Rows(scope) for scope in scopes] for scopes in (profile.engine, profile.guests, profile.figures)
        )
        self._metrics = [m for rows in (self._engine, self._guests, self._figures) for row in rows for m in row.metrics]
        self._known: WeakKeyDictionary[Entry, Known] = WeakKeyDictionary()

    def render(self, facts: Facts, entries: Mapping[str, Entry], *, openmetrics: bool) -> str:
        """The text of a scrape, without OpenMetrics' end. Figures of guests that are no active entries are left out."""
        known = {uuid: self._know(entry) for uuid, entry in entries.items()}
        engine, figures = Sheet(self._engine), Sheet(self._figures)
        for row, columns in zip(self._engine, engine.columns, strict=True):
            row.fill(columns, facts, {}, {})
        for stats in facts.stats:
            guest = known.get(stats.uuid)
            if guest is not None and guest.active and stats.id is not None:
                for row, columns, kept in zip(self._figures, figures.columns, guest.names, strict=True):
                    row.fill(columns, stats, guest.identity, kept)
        texts = engine.texts()
        texts += map("".join, zip(*[guest.texts for guest in known.values()], strict=True))
        texts += [""] * (sum(len(r.metrics) for r in self._guests) if not known else 0)
        families = zip(self._metrics, texts + figures.texts(), strict=True)
        return "".join([m.header(openmetrics=openmetrics) + text for m, text in families if text])

    def _know(self, entry: Entry) -> Known:
        """What is kept of a guest, made anew when an event changed the guest."""
        known = self._known.get(entry)
        if known is None or known.version != entry.version:
            known = self._known[entry] = Known(entry, self.profile, self._guests, self._figures)
        return known
