"""The declarative mapping between XML elements and classes.

A model class lists its fields by path, relative to its element, in canonical order:

    class Rng(Model, tag="rng"):
        model: str | None = xml("@model")
        rate_bytes: int | None = xml("rate/@bytes", Int)
        backend: str | None = xml("backend")              # text
        shared: bool = xml("shareable", Flag)             # an empty element that is there or not
        address: Address | None = one("address", Address)
        boots: list[Boot] = many("boot", Boot)

Elements and attributes that no field names are kept, with their place, and written back there; `unknown()` lists them.
Fields marked `live` exist only in the active view, those marked `secret` only when secrets are asked for.
An instance stores what was set, its class the defaults: a document costs what it says, not what it could say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, TypeVar, dataclass_transform

from lxml import etree

from frontinus.xml.codecs import Codec, Str, scale

Element = etree._Element
IMMUTABLE = frozenset({str, int, bool, type(None), tuple})
NAMESPACES = {
    "qemu": "http://libvirt.org/schemas/domain/qemu/1.0",
    "dnsmasq": "http://libvirt.org/schemas/network/dnsmasq/1.0",
    "fs": "http://libvirt.org/schemas/storagepool/fs/1.0",
    "rbd": "http://libvirt.org/schemas/storagepool/rbd/1.0",
}


def line_of(element: Element) -> int | None:
    """The element's line in its document, None for one that was never parsed."""
    line: object = element.sourceline
    return line if isinstance(line, int) else None


class MappingError(ValueError):
    """XML that does not fit its model: names the element and its line."""

    def __init__(self, element: Element, reason: str) -> None:
        self.element = element.tag if isinstance(element.tag, str) else "?"
        self.line = line_of(element)
        self.reason = reason
        super().__init__(f"line {self.line}: element <{self.element}>: {reason}")


class ElementCodec:
    """Maps a whole element to one value; `attributes` names those it consumes, None for the whole content."""

    attributes: tuple[str, ...] | None = ()

    def read(self, element: Element) -> Any:
        """The value; None for an element that says nothing. Raises ValueError."""
        raise NotImplementedError

    def write(self, element: Element, value: Any) -> None:
        """Fill the element."""
        raise NotImplementedError


class _Flag(ElementCodec):
    def read(self, element: Element) -> bool:
        return True

    def write(self, element: Element, value: Any) -> None:
        """An empty element says it all; the writer leaves out False."""


class Size(ElementCodec):
    """An element like <memory unit='MiB'>512</memory> as bytes; written in `unit`, rounded up."""

    attributes = ("unit",)

    def __init__(self, unit: str = "KiB") -> None:
        self.unit = unit

    def read(self, element: Element) -> int | None:
        text = (element.text or "").strip()
        return scale(text, element.get("unit"), self.unit) if text else None

    def write(self, element: Element, value: int) -> None:
        element.set("unit", self.unit)
        element.text = str(-(-value // scale("1", self.unit, self.unit)))


class _Raw(ElementCodec):
    """The element as it is, as a string: for content that is not ours, such as <metadata>. Written whole."""

    attributes = None

    def read(self, element: Element) -> str:
        return verbatim(element)


Flag, Raw = _Flag(), _Raw()


def verbatim(element: Element) -> str:
    """The element's own text, whitespace and all; namespaces that only its ancestors use are left out."""
    if element.nsmap:
        element = deepcopy(element)
        etree.cleanup_namespaces(element)
    return etree.tostring(element, encoding="unicode", with_tail=False)


@dataclass(frozen=True)
class Variants:
    """Chooses the model of an element by one of its attributes."""

    attribute: str
    models: Mapping[str, type[Model]]
    default: str | None = None

    def model(self, element: Element) -> type[Model]:
        word = element.get(self.attribute, self.default)
        if word is None:
            raise MappingError(element, f"attribute '{self.attribute}' is missing")
        if word not in self.models:
            raise MappingError(element, f"attribute '{self.attribute}': unknown value '{word[:60]}'")
        return self.models[word]


@dataclass(frozen=True)
class Kinds:
    """Chooses the model of an element by its tag. A field of several kinds of element keeps them in one order."""

    models: Mapping[str, type[Model]]

    def model(self, element: Element) -> type[Model]:
        return self.models[element.tag]


@dataclass(frozen=True, eq=False)
class Spec:
    """What the mapping knows of one field."""

    path: str
    codec: Any = Str
    model: Any = None
    many: bool = False
    required: bool = False
    needed: bool = False
    live: bool | Callable[[Any], bool] = False
    secret: bool = False
    last: bool = False
    default: Any = None


def xml(path: str, codec: Codec[Any] | ElementCodec = Str, *, default: Any = None, required: bool = False,
        needed: bool = False, live: bool | Callable[[Any], bool] = False, secret: bool = False,
        last: bool = False) -> Any:  # fmt: skip
    """A field at `path`: "a/@b" an attribute, "a/b" an element's text, "@b" an attribute and "" the text of the
    element itself. `needed`: an attribute that its element must have, although the element may be left out."""
    default = False if codec is Flag and default is None else default
    return Spec(path, codec, required=required, needed=needed, live=live, secret=secret, last=last, default=default)


def texts(path: str, codec: Codec[Any] = Str) -> Any:
    """A list field: the text, or with "a/@b" the attribute, of each element at `path`."""
    return Spec(path, codec, many=True)


def one(path: str, model: type[Model] | Variants | Kinds, *, live: bool = False, last: bool = False) -> Any:
    """A field that holds one model object, or None. With Kinds, `path` is that of the parent."""
    return Spec(path, model=model, live=live, last=last)


def many(path: str, model: type[Model] | Variants | Kinds, *, live: bool = False, secret: bool = False,
         last: bool = False) -> Any:  # fmt: skip
    """A field that holds a list of model objects."""
    return Spec(path, model=model, many=True, live=live, secret=secret, last=last)


@dataclass
class Unknown:
    """A child or attribute that no field names, and where it stood: the parent's path, the known sibling before it."""

    path: tuple[str, ...]
    name: str
    value: str
    line: int | None = None
    after: tuple[str, int] | None = None
    is_attribute: bool = False


@dataclass
class Node:
    """One element of a model's compiled paths. A field is its name and its spec."""

    tag: str
    attributes: dict[str, tuple[str, Spec]] = field(default_factory=dict)
    text: tuple[str, Spec] | None = None
    whole: tuple[str, Spec] | None = None
    items: tuple[str, Spec] | None = None
    """A model, or what repeats: filled for each element."""
    children: dict[str, Node] = field(default_factory=dict)
    needed: list[str] = field(default_factory=list)
    """Attributes that the element must have."""
    names: set[str] = field(default_factory=set)
    """All fields of this element and below."""

    def add(self, name: str, spec: Spec) -> None:
        """Enter one field."""
        path, is_attribute, attribute = spec.path.partition("@")
        node = self
        node.names.add(name)
        for step in filter(None, path.split("/")):
            node = node.children.setdefault(qualified(step), Node(qualified(step)))
            node.names.add(name)
        if isinstance(spec.model, Kinds):
            for tag in spec.model.models:
                node.children.setdefault(tag, Node(tag)).items = (name, spec)
                node.children[tag].names.add(name)
        elif spec.model is not None or spec.many:
            node.items = (name, spec)
        elif is_attribute:
            node.attributes[qualified(attribute)] = (name, spec)
            if spec.needed:
                node.needed.append(qualified(attribute))
        elif isinstance(spec.codec, ElementCodec):
            node.whole = (name, spec)
        else:
            node.text = (name, spec)


M = TypeVar("M", bound="Model")


@dataclass_transform(kw_only_default=True)
class Model:
    """Base of every class that stands for an XML element."""

    tag: ClassVar[str] = ""
    _declared: ClassVar[Mapping[str, Spec]] = {}
    _specs: ClassVar[Mapping[str, Spec]] = {}
    """Field name to Spec in canonical order: fields marked `last` (alias, address) close the element."""
    _tree: ClassVar[Node]
    _fields: ClassVar[frozenset[str]] = frozenset()
    _lists: ClassVar[tuple[str, ...]] = ()
    _parts: ClassVar[tuple[tuple[str, bool], ...]] = ()
    """Fields that hold models, and whether they hold several."""
    _defaults: ClassVar[Mapping[str, Any]] = {}
    kept: Sequence[Unknown] = ()

    def __init_subclass__(cls, tag: str | None = None) -> None:
        cls.tag = cls.tag if tag is None else tag
        cls._declared = {name: value for name, value in vars(cls).items() if isinstance(value, Spec)}
        found: dict[str, Spec] = {}
        for base in reversed(cls.__mro__):
            found.update(vars(base).get("_declared", {}))
        cls._specs = dict(sorted(found.items(), key=lambda item: item[1].last))
        cls._fields = frozenset((*found, "kept"))
        cls._lists = tuple(name for name, spec in found.items() if spec.many)
        cls._parts = tuple((name, spec.many) for name, spec in cls._specs.items() if spec.model is not None)
        cls._defaults = {name: spec.default for name, spec in found.items() if spec.default is not None}
        cls._tree = Node(cls.tag)
        for name, spec in cls._specs.items():
            setattr(cls, name, spec.default)
            cls._tree.add(name, spec)

    def __init__(self, **values: Any) -> None:
        if not values.keys() <= self._fields:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(values.keys() - self._fields))}")
        for name in self._lists:
            values.setdefault(name, [])
        self.__dict__ = values

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._specs)

    __hash__ = None  # type: ignore[assignment]  # fields change: a model is no key

    def __repr__(self) -> str:
        said = {name: value for name, value in self.__dict__.items() if name != "kept" and value not in (None, [])}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in said.items())})"

    @classmethod
    def parse_element(cls: type[M], element: Element) -> M:
        """Build from an element. Raises MappingError."""
        from frontinus.xml.reader import read

        return read(cls, element)

    def unknown(self) -> Iterator[Unknown]:
        """Every kept unknown of this object and of those below it."""
        yield from self.kept
        for model in self.models():
            yield from model.unknown()

    def models(self) -> Iterator[Model]:
        """The model objects directly below this one, in canonical order."""
        held = self.__dict__
        for name, several in self._parts:
            value = held.get(name)
            if value:
                yield from value if several else (value,)

    def clone(self: M, **changes: Any) -> M:
        """A deep copy with some fields replaced."""
        copy = object.__new__(type(self))
        held = self.__dict__.copy()
        held.update(changes)
        for name, value in held.items():
            if type(value) not in IMMUTABLE and name not in changes:
                held[name] = _copied(value)
        copy.__dict__ = held
        return copy


def specs(model: type[Model]) -> Mapping[str, Spec]:
    """Field name to Spec in canonical order."""
    return model._specs


def _copied(value: Any) -> Any:
    """A copy of what can change in place."""
    if isinstance(value, list):
        return [item if type(item) in IMMUTABLE else _copied(item) for item in value] if value else []
    if isinstance(value, Model):
        return value.clone()
    return dict(value) if isinstance(value, dict) else value


def qualified(step: str) -> str:
    """An lxml tag for a path step, which may carry a known namespace prefix."""
    prefix, _, name = step.rpartition(":")
    return f"{{{NAMESPACES[prefix]}}}{name}" if prefix else name


@cache
def parser(encoding: str | None = None) -> etree.XMLParser:
    """A parser without entities, DTD or network, for text already limited in size; libxml2 limits the depth to 256."""
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                           remove_comments=True, remove_pis=True, encoding=encoding)  # fmt: skip
