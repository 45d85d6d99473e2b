"""What an object is: the shape of the tables that drive the agent, the MIB modules, the documentation and the tests.

A value of None is an object without an instance: the agent never invents a figure. Places are relative to the module's root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from frontinus_snmp import ber
from frontinus_snmp.ber import Oid

if TYPE_CHECKING:
    from frontinus_snmp.change import Step, Wish
    from frontinus_snmp.rows import State

R = TypeVar("R")
Value = int | str | bytes | Oid | None


@dataclass(frozen=True)
class Syntax:
    """How an object is written. `names` of an enumeration by number; `tag` names the encoder in tree.ENCODERS.

    `least` and `most` bound a number, or the octets of a string.
    """

    tag: str
    name: str
    names: Mapping[int, str] | None = None
    least: int = 0
    most: int = 255

    @property
    def words(self) -> Mapping[str, int]:
        """An enumeration's numbers by name."""
        return {word: number for number, word in (self.names or {}).items()}

    @property
    def ber_tag(self) -> int:
        return TAGS[self.tag]


TAGS: Mapping[str, int] = {
    "integer": ber.INTEGER, "ticks": ber.TIME_TICKS, "counter32": ber.COUNTER32, "unsigned": ber.UNSIGNED32,
    "counter64": ber.COUNTER64, "oid": ber.OID, "octets": ber.OCTETS, "text": ber.OCTETS,
}  # fmt: skip


def enumeration(name: str, *words: str, start: int = 1) -> Syntax:
    return Syntax("integer", name, dict(enumerate(words, start)))


LARGEST = 2**31 - 1
TEXT = Syntax("text", "SnmpAdminString")
OCTETS = Syntax("octets", "OCTET STRING", most=65535)
UUID_OR_ZERO = Syntax("octets", "UUIDorZero", most=16)
PHYS_ADDRESS = Syntax("octets", "PhysAddress")
DATE_AND_TIME = Syntax("octets", "DateAndTime")
INTEGER = Syntax("integer", "Integer32", least=-LARGEST - 1, most=LARGEST)
NATURAL = Syntax("integer", "Integer32 (0..2147483647)", most=LARGEST)
POSITIVE = Syntax("integer", "Integer32 (1..2147483647)", least=1, most=LARGEST)
MINUS_ONE_OR_MORE = Syntax("integer", "Integer32 (-1 | 0..2147483647)", least=-1, most=LARGEST)
IF_INDEX = Syntax("integer", "InterfaceIndexOrZero", most=LARGEST)
UNSIGNED = Syntax("unsigned", "Unsigned32", most=2**32 - 1)
GAUGE = Syntax("unsigned", "Gauge32", most=2**32 - 1)
TICKS = Syntax("ticks", "TimeTicks", most=2**32 - 1)
COUNTER32 = Syntax("counter32", "Counter32", most=2**32 - 1)
COUNTER64 = Syntax("counter64", "Counter64", most=2**64 - 1)
IDENTIFIER = Syntax("oid", "OBJECT IDENTIFIER")
TRUTH = enumeration("TruthValue", "true", "false")
ROW_STATUS = enumeration("RowStatus", "active", "notInService", "notReady", "createAndGo", "createAndWait", "destroy")
STORAGE_TYPE = enumeration("StorageType", "other", "volatile", "nonVolatile", "permanent", "readOnly")


def truth(value: bool) -> int:
    """A TruthValue."""
    return 1 if value else 2


@dataclass(frozen=True)
class Scalar:
    """One object with the one instance .0. `live`: read again with every request; `change` makes it writable."""

    name: str
    place: Oid
    syntax: Syntax
    text: str
    get: Callable[[State], Value]
    live: bool = False
    change: Callable[[State, Wish], Step] | None = None
    access: str = "read-only"


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column. `live`: its value comes from figures, else it changes only with what the engine's stream tells.

    `access` is the MIB's: what is not read-only is changed by the table's `change`.
    """

    number: int
    name: str
    syntax: Syntax
    text: str
    get: Callable[[R], Value]
    live: bool = False
    access: str = "read-only"

    @property
    def writable(self) -> bool:
        return self.access in ("read-write", "read-create")


@dataclass(frozen=True)
class Index:
    """An index object, not accessible."""

    number: int
    name: str
    syntax: str
    text: str


@dataclass(frozen=True)
class Table(Generic[R]):
    """A table. Its entry is `place`.1. `index` names the index objects, of this table or of another.

    `change` turns the wishes for one row, by columns' names, into steps, or raises Refusal.
    """

    name: str
    entry: str
    place: Oid
    text: str
    index: Sequence[str]
    own: Sequence[Index]
    columns: Sequence[Column[R]]
    rows: Callable[[State], Sequence[tuple[Oid, R]]]
    change: Callable[[State, Oid, Mapping[str, Wish]], Sequence[Step]] | None = None


@dataclass(frozen=True)
class Notification:
    """What is told without being asked: `objects` are names of scalars or columns that go with it, in order."""

    number: int
    name: str
    text: str
    objects: Sequence[str]


@dataclass(frozen=True)
class Module:
    """A MIB module's objects. `root`: its node in the tree. `external`: another's text describes it, we only serve it."""

    name: str
    root: Oid
    scalars: Sequence[Scalar] = ()
    tables: Sequence[Table[Any]] = ()
    notifications: Sequence[Notification] = ()
    external: bool = True

    def oid(self, item: Scalar | Table[Any]) -> Oid:
        """Where a scalar (without .0) or a table is."""
        return self.root + item.place

    def column(self, name: str) -> tuple[Table[Any], Column[Any]]:
        """A column by its name. Raises KeyError."""
        for table in self.tables:
            for column in table.columns:
                if column.name == name:
                    return table, column
        raise KeyError(name)
