"""The sorted, encoded snapshot that requests are answered from, and what a view shows of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from frontinus_snmp import ber
from frontinus_snmp.ber import Oid
from frontinus_snmp.objects import SCALARS, TABLES, Column, Scalar, Syntax, Table, Value
from frontinus_snmp.rows import Row, State

MAX_TEXT = 255


def text(value: str) -> bytes:
    """UTF-8 of at most 255 octets, never cut within a character."""
    octets = value.encode("utf-8", "replace")
    return octets if len(octets) <= MAX_TEXT else octets[:MAX_TEXT].decode("utf-8", "ignore").encode()


def _number(tag: int) -> Callable[..., bytes]:
    return lambda value: ber.number(tag, value)


ENCODERS: Mapping[str, Callable[..., bytes]] = {
    "integer": _number(ber.INTEGER), "ticks": _number(ber.TIME_TICKS), "counter32": _number(ber.COUNTER32),
    "counter64": _number(ber.COUNTER64), "oid": ber.encode_oid, "octets": lambda value: ber.tlv(ber.OCTETS, value),
    "text": lambda value: ber.tlv(ber.OCTETS, text(value)),
}  # fmt: skip


def encode(syntax: Syntax, value: Value) -> bytes:
    return ENCODERS[syntax.tag](value)


# --- views


@dataclass(frozen=True)
class View:
    """Subtrees that may be read and exceptions from them; the longest that fits decides, and none means no."""

    included: frozenset[Oid] = frozenset()
    excluded: frozenset[Oid] = frozenset()

    def allows(self, oid: Oid) -> bool:
        for length in range(len(oid), 0, -1):
            if oid[:length] in self.excluded:
                return False
            if oid[:length] in self.included:
                return True
        return False


@dataclass(eq=False)
class Shown:
    """What one view shows: names in order, and the encoded variable bindings beside them."""

    view: View
    keys: Sequence[Oid] = ()
    cells: list[bytes] = field(default_factory=list)
    kept: Sequence[int] | None = None
    """Places in the whole tree; None when all of it is shown."""
    live: Sequence[tuple[int, _Single]] = ()

    def find(self, oid: Oid) -> bytes | None:
        """The binding of exactly this name."""
        place = self.after(oid) - 1
        return self.cells[place] if place >= 0 and self.keys[place] == oid else None

    def after(self, oid: Oid) -> int:
        """The place of the first name behind this one."""
        return bisect_right(self.keys, oid)


# --- the parts of the tree, each with its cells


class _Single:
    """A scalar's one cell."""

    def __init__(self, scalar: Scalar) -> None:
        self.prefix = scalar.oid
        self.scalar = scalar
        self.keys: list[Oid] = [(*scalar.oid, 0)]
        self.name = ber.encode_oid(self.keys[0])
        self.cells: list[bytes] = []

    def make(self, state: State) -> bytes:
        return ber.varbind(self.name, encode(self.scalar.syntax, self.scalar.get(state)))

    def fill(self, state: State) -> None:
        self.cells = [self.make(state)]


class _Cells:
    """A column's cells; a cell is encoded again only when its value is another."""

    def __init__(self, table: Table, column: Column) -> None:
        self.prefix = (*table.oid, 1, column.number)
        self.column = column
        self.keys: list[Oid] = []
        self.cells: list[bytes] = []
        self._all: list[Oid] = []
        self._names: list[bytes] = []
        self._values: list[Value] = []
        self._encoded: list[bytes] = []

    def lay(self, indexes: Iterable[Oid]) -> None:
        """Other rows: keep what was encoded for those that stay."""
        known = {key: n for n, key in enumerate(self._all)}
        keys = [self.prefix + index for index in indexes]
        places = [known.get(key) for key in keys]
        self._names = [
            ber.encode_oid(key) if n is None else self._names[n] for key, n in zip(keys, places, strict=True)
        ]
        self._values = [None if n is None else self._values[n] for n in places]
        self._encoded = [b"" if n is None else self._encoded[n] for n in places]
        self._all = self.keys = keys

    def fill(self, rows: Sequence[Row]) -> None:
        """Other values. A value of None has no instance."""
        get, encoder = self.column.get, ENCODERS[self.column.syntax.tag]
        values = [get(row) for row in rows]
        self._encoded = [
            done if value == old and done else b"" if value is None else ber.varbind(name, encoder(value))
            for value, old, done, name in zip(values, self._values, self._encoded, self._names, strict=True)
        ]
        self._values = values
        if None in values:
            self.keys = [key for key, value in zip(self._all, values, strict=True) if value is not None]
            self.cells = [cell for cell in self._encoded if cell]
        else:
            self.keys, self.cells = self._all, self._encoded


class _Grid:
    """A table's columns over its rows."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns = [_Cells(table, column) for column in table.columns]
        self._indexes: list[Oid] = []

    def fill(self, state: State, *, figures_only: bool) -> None:
        found = [row for guest in state.guests for row in self.table.rows(guest)]
        indexes = [index for index, _ in found]
        rows = [row for _, row in found]
        moved = indexes != self._indexes
        self._indexes = indexes
        for cells in self.columns:
            if moved:
                cells.lay(indexes)
            if moved or cells.column.live or not figures_only:
                cells.fill(rows)


class Tree:
    """All objects. `state.guests` must be in the order of their indexes."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._singles = [_Single(scalar) for scalar in SCALARS]
        self._grids = [_Grid(table) for table in TABLES]
        columns = [cells for grid in self._grids for cells in grid.columns]
        self._parts: list[_Single | _Cells] = sorted([*self._singles, *columns], key=lambda part: part.prefix)
        self._objects = {part.prefix for part in self._parts}
        self._whole = Shown(View(frozenset({(1,)})))
        self._shown: dict[View, Shown] = {}
        self.fill()

    def fill(self, *, figures_only: bool = False) -> None:
        """Take over what the state says now; `figures_only` when no guest's view or XML changed."""
        for single in self._singles:
            single.fill(self.state)
        for grid in self._grids:
            grid.fill(self.state, figures_only=figures_only)
        keys: list[Oid] = []
        cells: list[bytes] = []
        live: list[tuple[int, _Single]] = []
        for part in self._parts:
            if isinstance(part, _Single) and part.scalar.live:
                live.append((len(keys), part))
            keys += part.keys
            cells += part.cells
        same = keys == self._whole.keys
        self._whole = Shown(self._whole.view, self._whole.keys if same else keys, cells, live=live)
        self._shown = {view: self._cut(view, self._shown[view] if same else None) for view in self._shown}

    def shown(self, view: View) -> Shown:
        """What a view shows now."""
        found = self._shown.get(view)
        if found is None:
            found = self._shown[view] = self._cut(view, None)
        return found

    def tick(self) -> None:
        """Read the live scalars again."""
        for shown in (self._whole, *self._shown.values()):
            for place, single in shown.live:
                shown.cells[place] = single.make(self.state)

    def has_object(self, oid: Oid) -> bool:
        """Whether the name is one of an object that is served, whatever its instance."""
        return any(oid[:length] in self._objects for length in range(len(oid), 0, -1))

    def _cut(self, view: View, before: Shown | None) -> Shown:
        whole = self._whole
        if before is not None:
            kept, keys = before.kept, before.keys
        else:
            kept = [n for n, key in enumerate(whole.keys) if view.allows(key)]
            keys = [whole.keys[n] for n in kept]
            kept = None if len(kept) == len(whole.keys) else kept
        if kept is None:
            return Shown(view, keys, whole.cells[:], None, whole.live)
        places = {n: place for place, n in enumerate(kept)}
        live = [(places[n], single) for n, single in whole.live if n in places]
        return Shown(view, keys, [whole.cells[n] for n in kept], kept, live)
