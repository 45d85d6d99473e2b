"""The declarative mapping between XML elements and dataclasses.

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
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, TypeVar, dataclass_transform

from lxml import etree

from frontinus.xml.codecs import Codec, Str, scale

Element = etree._Element
NAMESPACES = {"qemu": "http://libvirt.org/schemas/domain/qemu/1.0"}


class MappingError(ValueError):
    """XML that does not fit its model: names the element and its line."""

    def __init__(self, element: Element, reason: str) -> None:
        self.element = element.tag if isinstance(element.tag, str) else "?"
        self.line: int | None = element.sourceline
        self.reason = reason
        super().__init__(f"line {self.line}: element <{self.element}>: {reason}")


class ElementCodec:
    """Maps a whole element to one value; `attributes` names those it consumes, None for the whole content."""

    attributes: tuple[str, ...] | None = ()

    def read(self, element: Element) -> Any:
        raise NotImplementedError

    def write(self, element: Element, value: Any) -> bool:
        """Fill the element; False leaves it out."""
        raise NotImplementedError


class _Flag(ElementCodec):
    def read(self, element: Element) -> bool:
        return True

    def write(self, element: Element, value: Any) -> bool:
        return bool(value)


class Size(ElementCodec):
    """An element like <memory unit='MiB'>512</memory> as bytes; written in `unit`."""

    attributes = ("unit",)

    def __init__(self, unit: str = "KiB") -> None:
        self.unit = unit

    def read(self, element: Element) -> int:
        return scale(element.text or "", element.get("unit"), self.unit)

    def write(self, element: Element, value: int) -> bool:
        element.set("unit", self.unit)
        element.text = str(value // scale("1", self.unit, self.unit))
        return True


class _Raw(ElementCodec):
    """The element as it is, as a string: for content that is not ours, such as <metadata>."""

    attributes = None

    def read(self, element: Element) -> str:
        return etree.tostring(element, encoding="unicode", with_tail=False)

    def write(self, element: Element, value: str) -> bool:
        source = etree.fromstring(value, parser())
        element.attrib.update(source.attrib)
        element.text = source.text
        element.extend(list(source))
        return True


Flag, Raw = _Flag(), _Raw()


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
class Spec:
    """What the mapping knows of one field."""

    path: str
    codec: Any = Str
    model: Any = None
    many: bool = False
    required: bool = False
    live: bool | Callable[[Any], bool] = False
    secret: bool = False
    last: bool = False
    default: Any = None


def xml(path: str, codec: Codec[Any] | ElementCodec = Str, *, default: Any = None, required: bool = False,
        live: bool | Callable[[Any], bool] = False, secret: bool = False, last: bool = False) -> Any:  # fmt: skip
    """A field at `path`: "a/@b" an attribute, "a/b" an element's text, "@b" an attribute of the element itself."""
    default = False if codec is Flag and default is None else default
    return field(default=default, metadata={"xml": Spec(
        path, codec, required=required, live=live, secret=secret, last=last, default=default)})  # fmt: skip


def texts(path: str, codec: Codec[Any] = Str) -> Any:
    """A list field: the text, or with "a/@b" the attribute, of each element at `path`."""
    return field(default_factory=list, metadata={"xml": Spec(path, codec, many=True)})


def one(path: str, model: type[Model] | Variants, *, live: bool = False, last: bool = False) -> Any:
    """A field that holds one model object, or None."""
    return field(default=None, metadata={"xml": Spec(path, model=model, live=live, last=last)})


def many(path: str, model: type[Model] | Variants, *, live: bool = False, last: bool = False) -> Any:
    """A field that holds a list of model objects."""
    return field(default_factory=list, metadata={"xml": Spec(path, model=model, many=True, live=live, last=last)})


@dataclass
class Unknown:
    """A child or attribute that no field names, and where it stood: the parent's path, the known sibling before it."""

    path: tuple[str, ...]
    name: str
    value: str
    line: int | None = None
    after: tuple[str, int] | None = None
    is_attribute: bool = False


M = TypeVar("M", bound="Model")


@dataclass_transform(kw_only_default=True)
@dataclass(kw_only=True)
class Model:
    """Base of every class that stands for an XML element."""

    tag: ClassVar[str] = ""
    kept: list[Unknown] = field(default_factory=list, repr=False, compare=False)

    def __init_subclass__(cls, tag: str | None = None) -> None:
        if tag is not None:
            cls.tag = tag
        dataclass(kw_only=True)(cls)

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
        """The model objects directly below this one."""
        for name in specs(type(self)):
            value = getattr(self, name)
            if isinstance(value, Model):
                yield value
            elif isinstance(value, list):
                yield from (item for item in value if isinstance(item, Model))

    def clone(self: M, **changes: Any) -> M:
        """A deep copy with some fields replaced."""
        from copy import deepcopy

        return dataclasses.replace(deepcopy(self), **changes)


@cache
def specs(model: type[Model]) -> dict[str, Spec]:
    """Field name to Spec in canonical order: fields marked `last` (alias, address) close the element."""
    found = {f.name: f.metadata["xml"] for f in dataclasses.fields(model) if "xml" in f.metadata}  # type: ignore[arg-type]
    return dict(sorted(found.items(), key=lambda item: item[1].last))


def qualified(step: str) -> str:
    """An lxml tag for a path step, which may carry a known namespace prefix."""
    prefix, _, name = step.rpartition(":")
    return f"{{{NAMESPACES[prefix]}}}{name}" if prefix else name


@cache
def parser(encoding: str | None = None) -> etree.XMLParser:
    """A parser without entities, DTD or network, for text already limited in size; libxml2 limits the depth to 256."""
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                           remove_comments=True, remove_pis=True, encoding=encoding)  # fmt: skip
