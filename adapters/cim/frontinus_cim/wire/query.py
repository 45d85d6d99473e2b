"""Queries: WQL, the part of DMTF's CQL that looks the same, and DMTF:FQL's conditions (DSP0212). Pure.

`SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ComputerSystem AND SourceInstance.EnabledState <> 2`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frontinus_cim.schema.classes import Class, Schema
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import Embedded, Path, Value

MOST_CHARACTERS, MOST_TOKENS, MOST_NESTING = 8192, 500, 24
LANGUAGES = ("wql", "cim:cql", "dmtf:cql")
FQL = "dmtf:fql"

TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")|(?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<sign><>|!=|<=|>=|[=<>(),*]))""",
    re.ASCII,
)
Reader = Callable[[Sequence[str]], Value]
"""Gives a property by its name, or by names that lead into embedded instances. Raises CimError for one that is not there."""
Condition = Callable[[Reader], bool]
Operand = Callable[[Reader], Value]


@dataclass(frozen=True)
class Query:
    """`wanted`: the properties asked for, None for all; `takes` whether an instance is meant."""

    cls: Class
    wanted: tuple[str, ...] | None
    takes: Condition


def parse(schema: Schema, language: str, text: str) -> Query:
    """A query. Raises CimError QUERY_LANGUAGE_NOT_SUPPORTED, INVALID_QUERY, INVALID_CLASS."""
    if language.lower() not in LANGUAGES:
        raise CimError(Status.QUERY_LANGUAGE_NOT_SUPPORTED, f"'{language[:40]}' is not known; WQL, DMTF:CQL are")
    return _Parser(schema, text).query()


def condition(schema: Schema, language: str | None, text: str) -> Condition:
    """The filter of a pulled enumeration. Raises CimError."""
    if (language or "").lower() != FQL:
        raise CimError(
            Status.QUERY_LANGUAGE_NOT_SUPPORTED, f"'{(language or '')[:40]}' is not known for filters; DMTF:FQL is"
        )
    parser = _Parser(schema, text)
    found = parser.alternatives(0)
    parser.end()
    return found


def _invalid(message: str) -> CimError:
    return CimError(Status.INVALID_QUERY, message)


class _Parser:
    """Recursive descent: alternatives of conjunctions of comparisons."""

    def __init__(self, schema: Schema, text: str) -> None:
        self._schema = schema
        self._tokens = _tokens(text)
        self._at = 0

    def query(self) -> Query:
        self._word("select")
        wanted = self._wanted()
        self._word("from")
        name = self._next("name")
        cls = self._schema.find(name)
        if cls is None:
            raise CimError(Status.INVALID_CLASS, f"there is no class '{name[:80]}'")
        takes: Condition = lambda reader: True  # noqa: E731
        if self._is("where"):
            self._at += 1
            takes = self.alternatives(0)
        self.end()
        for one in wanted or ():
            if one.partition(".")[0].lower() not in cls.by_name:
                raise _invalid(f"{cls.name} has no property '{one}'")
        return Query(cls, wanted, takes)

    def _wanted(self) -> tuple[str, ...] | None:
        if self._is("*"):
            self._at += 1
            return None
        names = [self._next("name")]
        while self._is(","):
            self._at += 1
            names.append(self._next("name"))
        return tuple(names)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise _invalid(f"'{self._tokens[self._at][1][:40]}' is not expected")

    def alternatives(self, depth: int) -> Condition:
        if depth > MOST_NESTING:
            raise _invalid("it nests too deep")
        parts = [self._conjunction(depth)]
        while self._is("or"):
            self._at += 1
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else lambda reader: any(part(reader) for part in parts)

    def _conjunction(self, depth: int) -> Condition:
        parts = [self._term(depth)]
        while self._is("and"):
            self._at += 1
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else lambda reader: all(part(reader) for part in parts)

    def _term(self, depth: int) -> Condition:
        if self._is("not"):
            self._at += 1
            if depth > MOST_NESTING:
                raise _invalid("it nests too deep")
            inner = self._term(depth + 1)
            return lambda reader: not inner(reader)
        if self._is("("):
            self._at += 1
            inner = self.alternatives(depth + 1)
            self._word(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        left = self._operand()
        kind, sign = self._take()
        sign = sign.lower()
        if sign == "is":
            negated = self._is("not")
            self._at += negated
            self._word("null")
            return lambda reader: (left(reader) is None) != negated
        if sign == "isa":
            base = self._schema.find(self._next("name"))
            if base is None:
                raise _invalid("ISA needs a class that exists")
            return lambda reader: self._isa(left(reader), base.name)
        if sign == "like":
            pattern = _like(self._operand()(_constant))
            return lambda reader: isinstance(value := left(reader), str) and pattern.fullmatch(value) is not None
        if kind != "sign" or sign not in COMPARE:
            raise _invalid(f"'{sign[:40]}' compares nothing")
        right, compare = self._operand(), COMPARE[sign]
        return lambda reader: _compare(compare, left(reader), right(reader))

    def _isa(self, value: Value, base: str) -> bool:
        return isinstance(value, Embedded | Path) and self._schema.is_a(value.cls, base)

    def _operand(self) -> Operand:
        kind, text = self._take()
        if kind == "string":
            value = re.sub(r"\\(.)", r"\1", text[1:-1].replace(text[0] * 2, text[0]), flags=re.DOTALL)
            return lambda reader: value
        if kind == "number":
            number = float(text) if not re.fullmatch(r"[+-]?\d+", text) else int(text[:40])
            return lambda reader: number
        if kind == "name" and text.lower() in CONSTANTS:
            constant = CONSTANTS[text.lower()]
            return lambda reader: constant
        if kind == "name":
            names = text.split(".")
            return lambda reader: reader(names)
        raise _invalid(f"'{text[:40]}' is no value")

    def _take(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise _invalid("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _next(self, kind: str) -> str:
        found, text = self._take()
        if found != kind:
            raise _invalid(f"a {kind} is expected, not '{text[:40]}'")
        return text

    def _is(self, word: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at][0] != "string" and (
            self._tokens[self._at][1].lower() == word)  # fmt: skip

    def _word(self, word: str) -> None:
        if not self._is(word):
            raise _invalid(f"'{word}' is expected")
        self._at += 1


def _tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > MOST_CHARACTERS:
        raise _invalid(f"it has more than {MOST_CHARACTERS} characters")
    found: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        token = TOKEN.match(text, at)
        if token is None or len(found) >= MOST_TOKENS:
            raise _invalid(f"it is not understood at '{text[at : at + 20].strip()}'")
        kind = token.lastgroup or ""
        found.append((kind, token[kind]))
        at = token.end()
    return found


CONSTANTS = {"true": True, "false": False, "null": None}
COMPARE: dict[str, Callable[[int], bool]] = {
    "=": lambda order: order == 0, "<>": lambda order: order != 0, "!=": lambda order: order != 0,
    "<": lambda order: order < 0, ">": lambda order: order > 0, "<=": lambda order: order <= 0, ">=": lambda order: order >= 0,
}  # fmt: skip


def _compare(compare: Callable[[int], bool], left: Value, right: Value) -> bool:
    """False where one is NULL or the two cannot be compared; any value of an array may fit."""
    for one in left if isinstance(left, list) else [left]:
        for other in right if isinstance(right, list) else [right]:
            order = _order(one, other)
            if order is not None and compare(order):
                return True
    return False


def _order(left: Value, right: Value) -> int | None:
    if isinstance(left, bool) or isinstance(right, bool):
        return (left > right) - (left < right) if isinstance(left, bool) and isinstance(right, bool) else None
    if isinstance(left, int | float) and isinstance(right, int | float):
        return (left > right) - (left < right)
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    return None


def _like(pattern: Value) -> re.Pattern[str]:
    """WQL's pattern: % any text, _ any character. Without nested repetitions, so that no text takes long."""
    if not isinstance(pattern, str):
        raise _invalid("LIKE needs a text")
    pieces = [re.escape(piece).replace("_", ".") for piece in re.split(r"%+", pattern)]
    if len(pieces) > 4:
        raise _invalid("LIKE takes three '%'")
    return re.compile(".*".join(pieces), re.IGNORECASE | re.DOTALL)


def _constant(names: Sequence[str]) -> Value:
    raise _invalid("a constant is expected")
