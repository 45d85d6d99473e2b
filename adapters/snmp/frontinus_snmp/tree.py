"""The sorted, encoded snapshot that requests are answered from, and what a view shows of it.

New figures cost almost nothing until somebody asks: a table's rows and each column's cells are made when they are first
read after a change, all from the same frozen figures, so what one request sees is of one moment. Views share the cells.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus_snmp import ber
from frontinus_snmp.ber import Oid
from frontinus_snmp.objects.kinds import Column, Module, Scalar, Syntax, Table, Value
from frontinus_snmp.rows import State

MAX_TEXT = 255


def text(value: str) -> bytes:
    """UTF-8 of at most 255 octets, never cut within a character."""
    octets = value.encode("utf-8", "replace")
    return octets if len(octets) <= MAX_TEXT else octets[:MAX_TEXT].decode("utf-8", "ignore").encode()


def _number(tag: int) -> Callable[..., bytes]:
    return lambda value: ber.number(tag, value)


ENCODERS: Mapping[str, Callable[..., bytes]] = {
    "integer": _number(ber.INTEGER), "ticks": _number(ber.TIME_TICKS), "counter32": _number(ber.COUNTER32),
    "unsigned": _number(ber.UNSIGNED32), "counter64": _number(ber.COUNTER64), "oid": ber.encode_oid,
    "octets": lambda value: ber.tlv(ber.OCTETS, value), "text": lambda value: ber.tlv(ber.OCTETS, text(value)),
}  # fmt: skip


def encode(syntax: Syntax, value: Value) -> bytes:
    return ENCODERS[syntax.tag](value)


# --- views


@dataclass(frozen=True)
class View:
    """Subtrees that may be used and exceptions from them; the longest that fits decides, and none means no."""

    included: frozenset[Oid] = frozenset()
    excluded: frozenset[Oid] = frozenset()

    def allows(self, oid: Oid) -> bool:
        for length in range(len(oid), 0, -1):
            if oid[:length] in self.excluded:
                return False
            if oid[:length] in self.included:
                return True
        return False

    def cuts(self, prefix: Oid) -> bool:
        """Whether it treats names below this one differently."""
        return any(len(oid) > len(prefix) and oid[: len(prefix)] == prefix for oid in (*self.included, *self.excluded))


# --- the parts of the tree, in the order of their names


class Part:
    """A run of instances below one name. `read` gives the rest of their names, in order, and their encoded bindings."""

    prefix: Oid

    def read(self) -> tuple[Sequence[Oid], Sequence[bytes]]:
        raise NotImplementedError

    def find(self, rest: Oid) -> bytes | None:
        """The binding of one instance."""
        indexes, cells = self.read()
        place = bisect_left(indexes, rest)
        return cells[place] if place < len(indexes) and indexes[place] == rest else None


class _Single(Part):
    """A scalar."""

    INSTANCE: Sequence[Oid] = ((0,),)

    def __init__(self, tree: Tree, oid: Oid, scalar: Scalar) -> None:
        self.prefix, self.scalar = oid, scalar
        self._tree, self._seen = tree, -1
        self._name = ber.encode_oid((*oid, 0))
        self._read: tuple[Sequence[Oid], Sequence[bytes]] = ((), ())

    def read(self) -> tuple[Sequence[Oid], Sequence[bytes]]:
        if self.scalar.live or self._seen != self._tree.version:
            self._seen = self._tree.version
            value = self.scalar.get(self._tree.state)
            cells = () if value is None else (ber.varbind(self._name, encode(self.scalar.syntax, value)),)
            self._read = (self.INSTANCE if cells else (), cells)
        return self._read


class _Grid:
    """A table's rows, made when they are first wanted after a change."""

    def __init__(self, tree: Tree, oid: Oid, table: Table[Any]) -> None:
        self.tree, self.oid, self.table = tree, oid, table
        self.indexes: Sequence[Oid] = ()
        self.suffixes: Sequence[bytes] = ()
        """The encoded rest of each row's names."""
        self.rows: Sequence[Any] = ()
        self._seen = -1

    def fresh(self) -> None:
        """Make the rows anew if they are old. `indexes` is another object only when there are other rows."""
        if self._seen == self.tree.figures:
            return
        self._seen = self.tree.figures
        found = self.table.rows(self.tree.state)
        indexes = [index for index, _ in found]
        self.rows = [row for _, row in found]
        if indexes != self.indexes:
            known = dict(zip(self.indexes, self.suffixes, strict=True))
            self.suffixes = [known.get(index) or b"".join(map(ber.sub_id, index)) for index in indexes]
            self.indexes = indexes


class _Cells(Part):
    """A column; a cell is encoded again only when its value is another. A value of None has no instance."""

    def __init__(self, grid: _Grid, column: Column[Any]) -> None:
        self.prefix = (*grid.oid, 1, column.number)
        self.grid, self.column = grid, column
        self._start = ber.encode_oid(self.prefix)[2:]
        self._version = self._figures = -1
        self._indexes: Sequence[Oid] = ()
        self._laid = False
        """Whether the cells are those of these rows."""
        self._values: list[Value] = []
        self._encoded: list[bytes] = []
        self._read: tuple[Sequence[Oid], Sequence[bytes]] = ((), ())

    def read(self) -> tuple[Sequence[Oid], Sequence[bytes]]:
        grid, tree = self.grid, self.grid.tree
        if self._figures == tree.figures:
            return self._read
        self._figures = tree.figures
        grid.fresh()
        if self._indexes is not grid.indexes:
            self._lay(grid.indexes)
        elif not self.column.live and self._version == tree.version:
            return self._read
        self._version = tree.version
        self._fill()
        return self._read

    def find(self, rest: Oid) -> bytes | None:
        """One cell alone: who asks for some of a column's after each change need not wait until all are encoded."""
        grid = self.grid
        if self._figures == grid.tree.figures:
            return super().find(rest)
        grid.fresh()
        place = bisect_left(grid.indexes, rest)
        if place == len(grid.indexes) or grid.indexes[place] != rest:
            return None
        value = self.column.get(grid.rows[place])
        return (
            None if value is None else ber.binding(self._start, grid.suffixes[place], encode(self.column.syntax, value))
        )

    def _lay(self, indexes: Sequence[Oid]) -> None:
        """Other rows: keep what was encoded for those that stay."""
        known = {index: n for n, index in enumerate(self._indexes)}
        places = [known.get(index) for index in indexes]
        self._values = [None if n is None else self._values[n] for n in places]
        self._encoded = [b"" if n is None else self._encoded[n] for n in places]
        self._indexes, self._laid = indexes, False

    def _fill(self) -> None:
        get, encoder, start, suffixes = (
            self.column.get,
            ENCODERS[self.column.syntax.tag],
            self._start,
            self.grid.suffixes,
        )
        values = list(map(get, self.grid.rows))
        if values == self._values and self._laid:
            return
        self._laid = True
        self._encoded = [
            done if done and value == old else b"" if value is None else ber.binding(start, suffix, encoder(value))
            for value, old, done, suffix in zip(values, self._values, self._encoded, suffixes, strict=True)
        ]
        self._values = values
        if None in values:
            indexes = [index for index, value in zip(self._indexes, values, strict=True) if value is not None]
            self._read = (indexes, [cell for cell in self._encoded if cell])
        else:
            self._read = (self._indexes, self._encoded)


class _Filtered(Part):
    """A part of which a view shows some instances."""

    def __init__(self, part: Part, view: View) -> None:
        self.prefix, self._part, self._view = part.prefix, part, view
        self._whole: Sequence[bytes] | None = None
        self._read: tuple[Sequence[Oid], Sequence[bytes]] = ((), ())

    def read(self) -> tuple[Sequence[Oid], Sequence[bytes]]:
        indexes, cells = self._part.read()
        if cells is not self._whole:
            self._whole = cells
            kept = [n for n, index in enumerate(indexes) if self._view.allows(self.prefix + index)]
            self._read = ([indexes[n] for n in kept], [cells[n] for n in kept])
        return self._read

    def find(self, rest: Oid) -> bytes | None:
        return self._part.find(rest) if self._view.allows(self.prefix + rest) else None


# --- what is shown


class Shown:
    """What one view shows."""

    def __init__(self, view: View, parts: Sequence[Part]) -> None:
        self.view = view
        self._parts = [each for part in parts if (each := _seen(part, view)) is not None]
        self._prefixes = [part.prefix for part in self._parts]

    def find(self, oid: Oid) -> bytes | None:
        """The binding of exactly this name."""
        at = bisect_right(self._prefixes, oid) - 1
        if at < 0 or oid[: len(prefix := self._prefixes[at])] != prefix:
            return None
        return self._parts[at].find(oid[len(prefix) :])

    def following(self, oid: Oid, count: int) -> Sequence[bytes]:
        """At most so many bindings whose names come after this one, in order."""
        at, place = bisect_right(self._prefixes, oid) - 1, 0
        if at >= 0 and oid[: len(prefix := self._prefixes[at])] == prefix:
            place = bisect_right(self._parts[at].read()[0], oid[len(prefix) :])
        else:
            at += 1
        found: list[bytes] = []
        while len(found) < count and at < len(self._parts):
            found += self._parts[at].read()[1][place : place + count - len(found)]
            at, place = at + 1, 0
        return found

    def names(self) -> list[Oid]:
        """The names of all that is shown."""
        return [part.prefix + index for part in self._parts for index in part.read()[0]]


def _seen(part: Part, view: View) -> Part | None:
    if view.cuts(part.prefix):
        return _Filtered(part, view)
    return part if view.allows(part.prefix) else None


@dataclass(frozen=True)
class Spot:
    """An object by its name: a scalar or a table's column, and the instance's index."""

    item: Scalar | Column[Any]
    table: Table[Any] | None
    index: Oid


class Tree:
    """All objects of some modules. Rows must come from the state in the order of their indexes."""

    def __init__(self, state: State, modules: Sequence[Module]) -> None:
        self.state, self.modules = state, modules
        self.version = self.figures = 0
        self._parts: list[Part] = []
        self._spots: dict[Oid, tuple[Scalar | Column[Any], Table[Any] | None]] = {}
        for module in modules:
            self._add(module)
        self._parts.sort(key=lambda part: part.prefix)
        self._shown: dict[View, Shown] = {}

    def _add(self, module: Module) -> None:
        for scalar in module.scalars:
            oid = module.oid(scalar)
            self._spots[oid] = (scalar, None)
            if scalar.access != "accessible-for-notify":
                self._parts.append(_Single(self, oid, scalar))
        for table in module.tables:
            grid = _Grid(self, module.oid(table), table)
            for column in table.columns:
                self._spots[(*grid.oid, 1, column.number)] = (column, table)
                if column.access != "accessible-for-notify":
                    self._parts.append(_Cells(grid, column))

    def fill(self, *, figures_only: bool = False) -> None:
        """The state says something else now; `figures_only` when no guest's view or XML changed."""
        self.figures += 1
        if not figures_only:
            self.version += 1

    def shown(self, view: View) -> Shown:
        """What a view shows now."""
        found = self._shown.get(view)
        if found is None:
            found = self._shown[view] = Shown(view, self._parts)
        return found

    def spot(self, oid: Oid) -> Spot | None:
        """The object that a name is of, whatever its instance."""
        for length in range(len(oid), 0, -1):
            found = self._spots.get(oid[:length])
            if found is not None:
                return None if found[0].access == "accessible-for-notify" else Spot(*found, oid[length:])
        return None
