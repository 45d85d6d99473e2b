"""What clients give, checked against the schema and typed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from frontinus_cim.schema.classes import Class, Method, Parameter, Property, Schema
from frontinus_cim.wire import values
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import INTEGERS, NAMESPACES, Embedded, Path, Value
from frontinus_cim.wire.request import Given, GivenClass, GivenInstance, GivenKey, GivenPath, instance_text

OWN_CLASS = "creationclassname"
"""A key of many classes, which says nothing that the path does not."""


def class_of(schema: Schema, name: str) -> Class:
    """Raises CimError INVALID_CLASS."""
    found = schema.find(name)
    if found is None:
        raise CimError(Status.INVALID_CLASS, f"there is no class '{name[:80]}'")
    return found


def namespace_of(name: str) -> str:
    """Raises CimError INVALID_NAMESPACE."""
    plain = name.strip("/").lower()
    if plain not in NAMESPACES:
        raise CimError(Status.INVALID_NAMESPACE, f"there is no namespace '{name[:80]}'")
    return plain


def path(schema: Schema, given: GivenPath, namespace: str) -> Path:
    """A path with its keys complete, typed and in order. Raises CimError."""
    cls = class_of(schema, given.cls)
    place = namespace_of(given.namespace) if given.namespace else namespace
    keys = given.keys
    if len(keys) == 1 and "" in keys and len(cls.keys) == 1:
        keys = {cls.keys[0].name: keys[""]}
    lower = {name.lower(): key for name, key in keys.items()}
    names = {key.name.lower() for key in cls.keys}
    said = lower.get(OWN_CLASS)
    if OWN_CLASS not in names and said is not None and str(said.value).lower() == cls.name.lower():
        del lower[OWN_CLASS]  # libvirt-cim's clients say it of any instance
    if unknown := sorted(lower.keys() - names):
        raise CimError(Status.INVALID_PARAMETER, f"{cls.name} has no key '{unknown[0][:80]}'")
    if missing := [key.name for key in cls.keys if key.name.lower() not in lower]:
        raise CimError(Status.INVALID_PARAMETER, f"{cls.name}: the key {missing[0]} is missing")
    return Path(
        cls.name, tuple((key.name, _key(schema, key, lower[key.name.lower()], place)) for key in cls.keys), place
    )


def _key(schema: Schema, declared: Property, given: GivenKey, namespace: str) -> Value:
    wanted = "reference" if declared.type == "reference" else "boolean" if declared.type == "boolean" else (
        "numeric" if declared.type in INTEGERS or declared.type.startswith("real") else "string")  # fmt: skip
    if given.kind != wanted:
        raise CimError(Status.INVALID_PARAMETER, f"the key {declared.name} is {declared.type}, not {given.kind[:20]}")
    if isinstance(given.value, GivenPath):
        return path(schema, given.value, namespace)
    return values.scalar(given.value, declared.type, declared.name)


def value(schema: Schema, declared: Property | Parameter, given: Given, namespace: str) -> Value:
    """A property's or parameter's value. Raises CimError."""
    if given is None:
        return None
    if isinstance(given, list) != declared.array:
        raise CimError(Status.INVALID_PARAMETER, f"{declared.name} is {'an' if declared.array else 'no'} array")
    if isinstance(given, list):
        return [_one(schema, declared, item, namespace) for item in given]
    return _one(schema, declared, given, namespace)


def _one(schema: Schema, declared: Property | Parameter, given: Given, namespace: str) -> Value:
    if given is None:
        return None
    if declared.type == "reference":
        if isinstance(given, str) and not given.strip():  # as libvirt-cim's clients say that there is none
            return None
        return _reference(schema, declared, given, namespace)
    embedded = declared.qualifier("EmbeddedInstance") or declared.qualifier("EmbeddedObject")
    if embedded and isinstance(given, str):
        given = instance_text(given)
    if isinstance(given, GivenInstance) and embedded:
        return instance(schema, given, namespace, str(embedded) if embedded is not True else None)
    if not isinstance(given, str):
        raise CimError(Status.INVALID_PARAMETER, f"{declared.name} is {declared.type}")
    return values.scalar(given, declared.type, declared.name)


def _reference(schema: Schema, declared: Property | Parameter, given: Given, namespace: str) -> Value:
    if not isinstance(given, GivenPath):
        raise CimError(Status.INVALID_PARAMETER, f"{declared.name} is a reference to an instance")
    found = path(schema, given, namespace)
    if declared.reference and not schema.is_a(found.cls, declared.reference):
        raise CimError(Status.INVALID_PARAMETER, f"{declared.name} refers to {declared.reference}, not to {found.cls}")
    return found


def instance(schema: Schema, given: GivenInstance, namespace: str, base: str | None = None) -> Embedded:
    """An instance's properties by the schema's names. Raises CimError."""
    cls = class_of(schema, given.cls)
    if base and not schema.is_a(cls.name, base):
        raise CimError(Status.INVALID_PARAMETER, f"{cls.name} is no {base}")
    found: dict[str, Value] = {}
    for name, one in given.properties.items():
        declared = cls.by_name.get(name.lower())
        if declared is None:
            raise CimError(Status.INVALID_PARAMETER, f"{cls.name} has no property '{name[:80]}'")
        found[declared.name] = value(schema, declared, one, namespace)
    return Embedded(cls.name, found)


def arguments(schema: Schema, method: Method, given: Mapping[str, Given], namespace: str) -> dict[str, Value]:
    """The parameters of an extrinsic method, by the schema's names. Raises CimError."""
    known = {p.name.lower(): p for p in method.parameters if p.taken}
    for name in given:
        if name not in known and not any(p.name.lower() == name for p in method.parameters):
            raise CimError(Status.INVALID_PARAMETER, f"{method.name} has no parameter '{name[:80]}'")
    return {p.name: value(schema, p, given[name], namespace) for name, p in known.items() if name in given}


class Intrinsic:
    """The parameters of an intrinsic operation, taken one by one; what is left over is refused."""

    def __init__(self, schema: Schema, given: Mapping[str, Given], namespace: str) -> None:
        self.schema, self.namespace = schema, namespace
        self._left = dict(given)

    def done(self) -> None:
        """Raises CimError if a parameter was not asked for."""
        if self._left:
            raise CimError(Status.INVALID_PARAMETER, f"there is no parameter '{min(self._left)[:80]}' here")

    def _take(self, name: str) -> Given:
        return self._left.pop(name.lower(), None)

    def _need(self, name: str) -> Given:
        if (found := self._take(name)) is None:
            raise CimError(Status.INVALID_PARAMETER, f"{name} is missing")
        return found

    def text(self, name: str, default: str | None = None) -> str | None:
        found = self._take(name)
        if found is None:
            return default
        if not isinstance(found, str):
            raise CimError(Status.INVALID_PARAMETER, f"{name} is a string")
        return found

    def flag(self, name: str, default: bool) -> bool:
        found = self.text(name)
        return default if found is None else bool(values.scalar(found, "boolean", name))

    def number(self, name: str, default: int | None = None) -> int | None:
        found = self.text(name)
        return default if found is None else cast("int", values.scalar(found, "uint32", name))

    def names(self, name: str) -> list[str] | None:
        found = self._take(name)
        if found is None:
            return None
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise CimError(Status.INVALID_PARAMETER, f"{name} is an array of names")
        return cast("list[str]", found)

    def cls(self, name: str) -> Class:
        found = self._need(name)
        return class_of(self.schema, found.name if isinstance(found, GivenClass) else _name(found, name))

    def maybe_class(self, name: str) -> Class | None:
        return self.cls(name) if self._left.get(name.lower()) is not None else None

    def path(self, name: str) -> Path:
        found = self._need(name)
        if not isinstance(found, GivenPath):
            raise CimError(Status.INVALID_PARAMETER, f"{name} names an instance")
        return path(self.schema, found, self.namespace)

    def target(self, name: str) -> Path | Class:
        """An instance or a class."""
        found = self._need(name)
        if isinstance(found, GivenClass):
            return class_of(self.schema, found.name)
        if isinstance(found, GivenPath) and not found.keys:
            return class_of(self.schema, found.cls)
        if isinstance(found, GivenPath):
            return path(self.schema, found, self.namespace)
        raise CimError(Status.INVALID_PARAMETER, f"{name} names an instance or a class")

    def instance(self, name: str) -> tuple[Embedded, Path | None]:
        """An instance, and its path if that came too."""
        found = self._need(name)
        if not isinstance(found, GivenInstance):
            raise CimError(Status.INVALID_PARAMETER, f"{name} is an instance")
        where = path(self.schema, found.path, self.namespace) if found.path else None
        return instance(self.schema, found, self.namespace), where

    def any(self, name: str) -> Given:
        return self._take(name)


def _name(found: Given, what: str) -> str:
    if not isinstance(found, str):
        raise CimError(Status.INVALID_PARAMETER, f"{what} names a class")
    return found
