"""From figures to text. What a series is called is worked out once a guest and kept; a scrape only puts the numbers in.

Families stay together, as both formats demand, so numbers are gathered by column: one for each family of a scope. While the
series are those of the last scrape, a column is one format string, which takes all its numbers in one operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

from frontinus_prometheus.metric import Label, Metric, Profile, Sample, Scope, Value
from frontinus_prometheus.model import Entry, Facts

KEPT = 2048
"""Items whose names are kept a guest: more means that devices come and go, then all are worked out anew."""

Key = tuple[object, ...]
Templates = tuple[str, ...]
"""The lines of one item without their numbers, for each family of its scope."""


def _getter(source: Label[Any]) -> Any:
    """An item's attribute or function as a function."""
    return attrgetter(source) if isinstance(source, str) else source


class Rows:
    """A scope made ready. `created`: the lines say when the counting began."""

    def __init__(self, scope: Scope[Any], *, created: bool = False) -> None:
        self.metrics: Sequence[Metric[Any]] = scope.metrics
        self.since = scope.since if created else None
        self.items = scope.items
        self.labels = [_getter(label) for label in scope.labels.values()]
        self.values = [_getter(metric.value) for metric in scope.metrics]
        self._names = tuple(scope.labels)

    def templates(self, identity: Mapping[str, object], key: Key) -> Templates:
        """The lines of the item with these labels."""
        since: Any = key[-1] if self.since else None
        named = {**identity, **dict(zip(self._names, key, strict=False))}
        return tuple([metric.template(named, since) for metric in self.metrics])


class Known:
    """What is kept of one guest, or of the engine: the lines of its series, and the text that only events change."""

    def __init__(self, identity: Mapping[str, object], version: int = 0) -> None:
        self.version = version
        self.texts: list[str] = []
        self._identity = identity
        self._templates: dict[tuple[Rows, Key], Templates] = {}

    def templates(self, rows: Rows, key: Key) -> Templates:
        """The lines of one item, made when they are first asked for."""
        found = self._templates.get((rows, key))
        if found is None:
            if len(self._templates) >= KEPT:
                self._templates.clear()
            found = self._templates[rows, key] = rows.templates(self._identity, key)
        return found


class Sheet:
    """The columns of a scope: an item's line stands at the same place in each."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._owners: list[Known] = []
        self._keys: list[Key] = []
        self._templates: list[Templates] = []
        self._formats: dict[int, str] = {}

    def texts(self, sources: Sequence[tuple[object, Known]]) -> list[str]:
        """The lines of every family, of all items of these guests; a value that is not known has none."""
        rows = self._rows
        lines = [(item, owner, source) for source, owner in sources for item in rows.items(source)]
        items = [item for item, _, _ in lines]
        names: list[Iterable[object]] = [map(label, items) for label in rows.labels]
        if rows.since is not None:
            names.append([rows.since(source) for _, _, source in lines])
        self._fit([owner for _, owner, _ in lines], list(zip(*names, strict=True)))
        columns = [list(map(value, items)) for value in rows.values]
        return [self._text(index, metric, columns[index]) for index, metric in enumerate(rows.metrics)]

    def _fit(self, owners: list[Known], keys: list[Key]) -> None:
        """Make the lines anew if these are other items than the last time."""
        if owners != self._owners or keys != self._keys:
            self._owners, self._keys, self._formats = owners, keys, {}
            every = zip(owners, keys or repeat(()), strict=False)  # without labels there are no keys
            self._templates = [owner.templates(self._rows, key) for owner, key in every]

    def _text(self, index: int, metric: Metric[Any], values: Sequence[Value]) -> str:
        if None not in values:
            return self._format(index) % metric.numbers(values)
        known = [
            (lines[index], value) for lines, value in zip(self._templates, values, strict=True) if value is not None
        ]
        return "".join([line for line, _ in known]) % metric.numbers([value for _, value in known])

    def _format(self, index: int) -> str:
        """The lines of one family, kept as long as the items stay the same."""
        if index not in self._formats:
            self._formats[index] = "".join([lines[index] for lines in self._templates])
        return self._formats[index]


class Renderer:
    """Renders one profile in one of the two formats. `created`: OpenMetrics' lines of when the counting began."""

    def __init__(self, profile: Profile, *, openmetrics: bool = False, created: bool = True) -> None:
        self.profile, self._openmetrics = profile, openmetrics
        self._engine, self._guests, self._figures = (
            [Rows(scope, created=openmetrics and created) for scope in scopes]
            for scopes in (profile.engine, profile.guests, profile.figures)
        )
        self._headers = [metric.header(openmetrics=openmetrics) for metric in profile.metrics()]
        self._itself = Known({})
        self._known: WeakKeyDictionary[Entry, Known] = WeakKeyDictionary()
        self._sheets = self._new_sheets()
        self._shown: tuple[list[Known], list[str]] = [], []
        """The guests of the last scrape, and what their events made of them."""

    def render(self, facts: Facts, entries: Mapping[str, Entry], *, whole: bool = True) -> list[bytes]:
        """The text of a scrape, a family each, without OpenMetrics' end. Figures of guests that are no active
        entries are left out.

        `whole`: these are all guests, so their layout is worth keeping for the next scrape.
        """
        known = {uuid: self._know(entry, facts) for uuid, entry in entries.items()}
        active = [(Sample(entry, stats), known[stats.uuid]) for stats in facts.stats
                  if stats.id is not None and (entry := entries.get(stats.uuid)) is not None and entry.view.active]  # fmt: skip
        engine, figures = self._sheets if whole else self._new_sheets()
        texts = [text for sheet in engine for text in sheet.texts([(facts, self._itself)])]
        texts += self._guest_texts(list(known.values()))
        texts += [text for sheet in figures for text in sheet.texts(active)]
        return [(header + text).encode() for header, text in zip(self._headers, texts, strict=True) if text]

    def _new_sheets(self) -> tuple[list[Sheet], list[Sheet]]:
        return [Sheet(rows) for rows in self._engine], [Sheet(rows) for rows in self._figures]

    def _guest_texts(self, known: list[Known]) -> list[str]:
        if known != self._shown[0]:
            columns = zip(*[guest.texts for guest in known], strict=True)
            self._shown = known, ["".join(column) for column in columns]
        return self._shown[1] if known else [""] * sum(len(rows.metrics) for rows in self._guests)

    def _know(self, entry: Entry, facts: Facts) -> Known:
        """What is kept of a guest, made anew when an event changed the guest."""
        known = self._known.get(entry)
        if known is None or known.version != entry.version:
            known = self._known[entry] = Known(self.profile.identity(entry, facts), entry.version)
            known.texts = [text for rows in self._guests for text in Sheet(rows).texts([(entry, known)])]
        return known
