"""From figures to text. What a series is called is worked out once a guest and kept; a scrape only puts the numbers in.

Families stay together, as both formats demand, so numbers are gathered by column: one for each family of a scope. While the
series are those of the last scrape, a column is one format string, which takes all its numbers in one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

from frontinus_prometheus.metric import SUFFIX, Metric, Profile, Sample, Scope, Value
from frontinus_prometheus.model import Entry, Facts

KEPT = 512
"""Items of one scope whose names are kept a guest: more means that devices come and go, then all are worked out anew."""

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Key = tuple[object, ...]
Names = tuple[str, ...]
"""What stands before the values of one item, a name and labels for each family of its scope."""


def label_text(labels: Mapping[str, object]) -> str:
    """Labels as they stand in a line; empty ones are left out, which means the same."""
    shown = [(key, str(value).translate(ESCAPES)) for key, value in labels.items() if value is not None and value != ""]
    return "{" + ",".join(f'{key}="{value}"' for key, value in shown) + "}" if shown else ""


def _getter(sources: Sequence[str | Callable[[Any], Any]]) -> Callable[[Any], tuple[Any, ...]]:
    """All of an item's attributes or functions as a tuple."""
    names = [source for source in sources if isinstance(source, str)]
    if not sources:
        return lambda item: ()
    if len(names) == len(sources) > 1:
        return attrgetter(*names)
    if len(names) == len(sources):
        single = attrgetter(*names)
        return lambda item: (single(item),)
    functions = [attrgetter(source) if isinstance(source, str) else source for source in sources]
    return lambda item: tuple([function(item) for function in functions])


class Rows:
    """A scope made ready."""

    def __init__(self, scope: Scope[Any]) -> None:
        self.metrics: Sequence[Metric[Any]] = scope.metrics
        self.items = scope.items
        self.key = _getter(list(scope.labels.values()))
        self.values = _getter([metric.value for metric in scope.metrics])
        self._labels = tuple(scope.labels)

    def names(self, identity: Mapping[str, object], key: Key) -> Names:
        """What stands before the values of the item with these labels."""
        named = {**identity, **dict(zip(self._labels, key, strict=True))}
        suffix = named.pop(SUFFIX, "")
        labels = label_text(named)
        return tuple([f"{metric.name}{suffix}{labels} " for metric in self.metrics])


class Sheet:
    """The names and values of a scope's items, in the order of the output."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.names: list[Names] = []
        self.values: list[tuple[Value, ...]] = []

    def gather(self, source: object, identity: Mapping[str, object], kept: dict[Key, Names]) -> None:
        """Take in all items of a guest or of the engine."""
        rows = self.rows
        for item in rows.items(source):
            key = rows.key(item)
            names = kept.get(key)
            if names is None:
                if len(kept) >= KEPT:
                    kept.clear()
                names = kept[key] = rows.names(identity, key)
            self.names.append(names)
            self.values.append(rows.values(item))

    def texts(self, layout: Layout) -> list[str]:
        """The lines of every family; a value that is not known has none."""
        if not self.names:
            return [""] * len(self.rows.metrics)
        layout.fit(self.names)
        columns = zip(self.rows.metrics, zip(*self.values, strict=True), strict=True)
        return [self._text(layout, index, metric, values) for index, (metric, values) in enumerate(columns)]

    def _text(self, layout: Layout, index: int, metric: Metric[Any], values: Sequence[Value]) -> str:
        if None not in values:
            return layout.format(index, metric) % (metric.scaled(values) if metric.per != 1 else tuple(values))
        known = [(names[index], value) for names, value in zip(self.names, values, strict=True) if value is not None]
        line = f"%s{metric.verb}\n"
        numbers = metric.scaled([value for _, value in known])
        return "".join([line % (name, number) for (name, _), number in zip(known, numbers, strict=True)])


class Layout:
    """The format strings of a scope's columns, as long as the items stay the same."""

    def __init__(self) -> None:
        self._names: list[Names] = []
        self._formats: dict[int, str] = {}

    def fit(self, names: list[Names]) -> None:
        """Forget the formats if these are other items than before."""
        if names != self._names:
            self._names, self._formats = names, {}

    def format(self, index: int, metric: Metric[Any]) -> str:
        """The lines of one family with a verb for each number."""
        if index not in self._formats:
            end = f"{metric.verb}\n"
            self._formats[index] = "".join([names[index].replace("%", "%%") + end for names in self._names])
        return self._formats[index]


class Known:
    """What is kept of one guest: the text that only events change, and the names of its series of figures."""

    def __init__(
        self, entry: Entry, identity: Mapping[str, object], guests: Sequence[Rows], figures: Sequence[Rows]
    ) -> None:
        self.version, self.identity = entry.version, identity
        self.names: list[dict[Key, Names]] = [{} for _ in figures]
        self.texts: list[str] = []
        for rows in guests:
            sheet = Sheet(rows)
            sheet.gather(entry, self.identity, {})
            self.texts += sheet.texts(Layout())


class Renderer:
    """Renders one profile."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._engine, self._guests, self._figures = (
            [Rows(scope) for scope in scopes] for scopes in (profile.engine, profile.guests, profile.figures)
        )
        self._metrics = list(profile.metrics())
        self._known: WeakKeyDictionary[Entry, Known] = WeakKeyDictionary()
        self._layouts = [Layout() for _ in self._figures]

    def render(self, facts: Facts, entries: Mapping[str, Entry], *, openmetrics: bool, whole: bool = True) -> str:
        """The text of a scrape, without OpenMetrics' end. Figures of guests that are no active entries are left out.

        `whole`: these are all guests, so their layout is worth keeping for the next scrape.
        """
        known = {uuid: (entry, self._know(entry, facts)) for uuid, entry in entries.items()}
        texts = []
        for rows in self._engine:
            sheet = Sheet(rows)
            sheet.gather(facts, {}, {})
            texts += sheet.texts(Layout())
        texts += self._guest_texts([guest for _, guest in known.values()])
        layouts = self._layouts if whole else [Layout() for _ in self._figures]
        texts += self._figure_texts(facts, known, layouts)
        families = zip(self._metrics, texts, strict=True)
        return "".join([m.header(openmetrics=openmetrics) + text for m, text in families if text])

    def _guest_texts(self, known: Sequence[Known]) -> list[str]:
        if not known:
            return [""] * sum(len(rows.metrics) for rows in self._guests)
        return ["".join(texts) for texts in zip(*[guest.texts for guest in known], strict=True)]

    def _figure_texts(
        self, facts: Facts, known: Mapping[str, tuple[Entry, Known]], layouts: Sequence[Layout]
    ) -> list[str]:
        sheets = [Sheet(rows) for rows in self._figures]
        for stats in facts.stats:
            entry, guest = known.get(stats.uuid, (None, None))
            if entry is not None and guest is not None and entry.view.active and stats.id is not None:
                sample = Sample(entry, stats)
                for sheet, kept in zip(sheets, guest.names, strict=True):
                    sheet.gather(sample, guest.identity, kept)
        return [text for sheet, layout in zip(sheets, layouts, strict=True) for text in sheet.texts(layout)]

    def _know(self, entry: Entry, facts: Facts) -> Known:
        """What is kept of a guest, made anew when an event changed the guest."""
        known = self._known.get(entry)
        if known is None or known.version != entry.version:
            known = self._known[entry] = Known(entry, self.profile.identity(entry, facts), self._guests, self._figures)
        return known
