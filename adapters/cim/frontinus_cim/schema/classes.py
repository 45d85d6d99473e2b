"""The classes that the provider serves: what they have, from whom they have it, and who inherits from whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import msgspec

Scalar = str | int | float | bool
Literal = Scalar | list[Scalar] | None


class Qualifier(msgspec.Struct, frozen=True, array_like=True):
    """A qualifier on something. `type` as CIM names it; `propagated`: inherited and not given anew."""

    name: str
    type: str
    value: Literal
    propagated: bool = False


class QualifierType(msgspec.Struct, frozen=True, array_like=True):
    """The declaration of a qualifier. `scopes` in DSP0201's words."""

    name: str
    type: str
    value: Literal
    array: bool
    scopes: tuple[str, ...]
    overridable: bool
    to_subclass: bool
    translatable: bool


class Property(msgspec.Struct, frozen=True, array_like=True):
    """`origin` is the class that brought it in; `reference` the class of a reference."""

    name: str
    type: str
    array: bool
    origin: str
    reference: str | None
    default: Literal
    qualifiers: tuple[Qualifier, ...]
    propagated: bool = False

    def qualifier(self, name: str) -> Literal:
        return next((q.value for q in self.qualifiers if q.name.lower() == name.lower()), None)

    @property
    def key(self) -> bool:
        return self.qualifier("Key") is True


class Parameter(msgspec.Struct, frozen=True, array_like=True):
    """A parameter of a method; `embedded`: it takes instances."""

    name: str
    type: str
    array: bool
    reference: str | None
    qualifiers: tuple[Qualifier, ...]

    def qualifier(self, name: str) -> Literal:
        return next((q.value for q in self.qualifiers if q.name.lower() == name.lower()), None)

    @property
    def taken(self) -> bool:
        return self.qualifier("In") is not False

    @property
    def given(self) -> bool:
        return self.qualifier("Out") is True

    @property
    def embedded(self) -> bool:
        return self.qualifier("EmbeddedInstance") is not None or self.qualifier("EmbeddedObject") is True


class Method(msgspec.Struct, frozen=True, array_like=True):
    """A method; `origin` as of properties."""

    name: str
    type: str
    origin: str
    parameters: tuple[Parameter, ...]
    qualifiers: tuple[Qualifier, ...]
    propagated: bool = False


class Class(msgspec.Struct, frozen=True, dict=True):
    """A class with all that it inherits, the oldest first."""

    name: str
    superclass: str | None
    qualifiers: tuple[Qualifier, ...]
    properties: tuple[Property, ...]
    methods: tuple[Method, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Property]:
        """Properties by their names in lower case, for CIM's names know no case."""
        return {p.name.lower(): p for p in self.properties}

    @cached_property
    def methods_by_name(self) -> Mapping[str, Method]:
        return {m.name.lower(): m for m in self.methods}

    @cached_property
    def keys(self) -> tuple[Property, ...]:
        return tuple(p for p in self.properties if p.key)

    @cached_property
    def references(self) -> tuple[Property, ...]:
        return tuple(p for p in self.properties if p.type == "reference")

    def has(self, qualifier: str) -> bool:
        """Whether a boolean qualifier is on."""
        return any(q.name == qualifier and q.value is True for q in self.qualifiers)

    @cached_property
    def association(self) -> bool:
        return self.has("Association")


class Schema:
    """All classes by name, whatever the case of its letters."""

    def __init__(self, classes: Iterable[Class], qualifiers: Iterable[QualifierType]) -> None:
        self.classes = {c.name: c for c in classes}
        self.qualifiers = {q.name.lower(): q for q in qualifiers}
        self._lower = {name.lower(): c for name, c in self.classes.items()}
        self._children: dict[str | None, list[str]] = {}
        for c in self.classes.values():
            self._children.setdefault(c.superclass, []).append(c.name)
        self._below: dict[str, frozenset[str]] = {}

    def find(self, name: str) -> Class | None:
        return self._lower.get(name.lower())

    def __getitem__(self, name: str) -> Class:
        return self.classes[name]

    def children(self, name: str | None) -> list[str]:
        """The classes right below one; of None those without a superclass."""
        return self._children.get(name, [])

    def below(self, name: str) -> frozenset[str]:
        """A class and all that inherit from it."""
        found = self._below.get(name)
        if found is None:
            found = self._below[name] = frozenset([name]).union(*[self.below(child) for child in self.children(name)])
        return found

    def above(self, name: str) -> Iterator[str]:
        """A class and what it inherits from, itself first."""
        at: str | None = name
        while at is not None:
            yield at
            at = self.classes[at].superclass

    def is_a(self, name: str, base: str) -> bool:
        return name in self.below(base)
