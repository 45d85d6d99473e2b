"""The building blocks of the model: kinds of instances, associations between them, and where they are looked up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from frontinus_cim.schema.classes import Schema
from frontinus_cim.wire.model import VIRT, Path, Value
from frontinus_cim.wire.writer import Columns, Shape

if TYPE_CHECKING:
    from frontinus_cim.host.world import World

S = TypeVar("S")
MOST_SHAPES = 1000
"""A client that asks for ever other lists of properties costs time, not memory."""
FIGURES = "figures"
"""What a kind `needs` to be fresh before it is shown: figures of the guests."""


@dataclass(frozen=True, eq=False)
class Kind(Generic[S]):
    """Instances of one class. `every` lists their subjects, `find` looks one up by its keys; the first may be slow.

    `columns` say how each property comes from a subject; what is not there is NULL.
    """

    cls: str
    columns: Columns[S]
    every: Callable[[World], Iterable[S]]
    find: Callable[[World, Path], S | None]
    namespaces: Sequence[str] = (VIRT,)
    needs: str = ""
    cache: Callable[[S], dict[str, str]] | None = None
    """Where what was written of a subject is kept, by those whose subjects empty it when something of them changes."""

    def value(self, subject: S, name: str) -> Value:
        column = self.columns.get(name)
        return column(subject) if callable(column) else column


class Node(NamedTuple):
    """One instance: its kind, and what of the engine it shows."""

    kind: Kind[Any]
    subject: Any

    def value(self, name: str) -> Value:
        return self.kind.value(self.subject, name)


@dataclass(frozen=True, eq=False)
class Link:
    """An association. `ends`: its two reference properties with the classes of the kinds there.

    `out` leads from an instance of the first end to those of the second, `back` the other way; `more` are further
    properties of the association's instance.
    """

    cls: str
    first: tuple[str, Sequence[str]]
    second: tuple[str, Sequence[str]]
    out: Callable[[World, Node], Iterable[Node]]
    back: Callable[[World, Node], Iterable[Node]]
    more: Callable[[World, Node, Node], Mapping[str, Value]] | None = None
    namespaces: Sequence[str] = (VIRT,)


class Pair(NamedTuple):
    """One instance of an association."""

    link: Link
    first: Node
    second: Node


Found = Node | Pair
"""An instance, of a class of its own or of an association."""


@dataclass
class Registry:
    """All kinds and associations, by the classes that they are of."""

    schema: Schema
    kinds: dict[str, Kind[Any]] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)
    _ends: dict[str, list[Link]] = field(default_factory=dict)
    _shapes: dict[tuple[object, frozenset[str] | None, bool], Shape[Any]] = field(default_factory=dict)

    def add(self, *kinds: Kind[Any]) -> None:
        for kind in kinds:
            unknown = kind.columns.keys() - {p.name for p in self.schema[kind.cls].properties}
            assert not unknown, f"{kind.cls} has no {unknown}"
            assert kind.cls not in self.kinds, kind.cls
            self.kinds[kind.cls] = kind

    def associate(self, *links: Link) -> None:
        for link in links:
            self.links.setdefault(link.cls, []).append(link)
            for cls in {*link.first[1], *link.second[1]}:
                assert cls in self.kinds, f"{link.cls}: {cls}"
                self._ends.setdefault(cls, []).append(link)

    def node(self, world: World, cls: str, subject: object) -> Node:
        return Node(self.kinds[cls], subject)

    def at(self, cls: str) -> Sequence[Link]:
        """The associations that instances of a class take part in."""
        return self._ends.get(cls, ())

    def below(self, base: str, namespace: str) -> Iterator[Kind[Any]]:
        """The kinds of a class and those that inherit from it, in a namespace."""
        for name in sorted(self.schema.below(base)):
            kind = self.kinds.get(name)
            if kind is not None and namespace in kind.namespaces:
                yield kind

    def links_below(self, base: str, namespace: str) -> Iterator[Link]:
        for name in sorted(self.schema.below(base)):
            yield from (link for link in self.links.get(name, ()) if namespace in link.namespaces)

    def path(self, found: Found, namespace: str | None = None) -> Path:
        """Where an instance is: in a namespace that it is in."""
        if isinstance(found, Pair):
            ends = {found.link.first[0]: found.first, found.link.second[0]: found.second}
            place = namespace if namespace and namespace in found.link.namespaces else found.link.namespaces[0]
            keys = self.schema[found.link.cls].keys
            return Path(found.link.cls, tuple((key.name, self.path(ends[key.name], place)) for key in keys), place)
        kind = found.kind
        place = namespace if namespace and namespace in kind.namespaces else kind.namespaces[0]
        return Path(
            kind.cls,
            tuple((key.name, kind.value(found.subject, key.name)) for key in self.schema[kind.cls].keys),
            place,
        )

    def find(self, world: World, path: Path) -> Node | None:
        """The instance at a path, if it is there."""
        kind = self.kinds.get(path.cls)
        if kind is None or path.namespace not in kind.namespaces:
            return None
        subject = kind.find(world, path)
        if subject is None:
            return None
        node = Node(kind, subject)
        return node if self.path(node, path.namespace) == path else None

    def find_pair(self, world: World, path: Path) -> Pair | None:
        """The instance of an association at a path, if it is there."""
        for link in self.links.get(path.cls, ()):
            ends = [path.key(link.first[0]), path.key(link.second[0])]
            first, second = (self.find(world, end) if isinstance(end, Path) else None for end in ends)
            if (
                path.namespace not in link.namespaces
                or first is None
                or second is None
                or first.kind.cls not in link.first[1]
            ):
                continue
            wanted = self.path(second)
            for other in link.out(world, first):
                if self.path(other) == wanted:
                    return Pair(link, first, other)
        return None

    def all_pairs(self, world: World, link: Link) -> Iterator[Pair]:
        """Every instance of an association."""
        for cls in link.first[1]:
            kind = self.kinds[cls]
            for subject in kind.every(world):
                node = Node(kind, subject)
                yield from (Pair(link, node, other) for other in link.out(world, node))

    def columns(self, found: Found) -> Columns[Any]:
        """How the properties of an instance come from it, for `shape`."""
        if isinstance(found, Node):
            return found.kind.columns
        link, columns = found.link, dict[str, Any]()
        for prop in self.schema[link.cls].properties:
            if prop.name == link.first[0]:
                columns[prop.name] = lambda seen: self.path(seen[0].first, seen[1])
            elif prop.name == link.second[0]:
                columns[prop.name] = lambda seen: self.path(seen[0].second, seen[1])
            elif link.more is not None:
                columns[prop.name] = lambda seen, name=prop.name: seen[2].get(name)
        return columns

    def write(
        self, world: World, found: Found, namespace: str, wanted: frozenset[str] | None, class_origin: bool
    ) -> str:
        """An instance as INSTANCE; `wanted` names its properties in lower case."""
        shape = self._shape(found, wanted, class_origin)
        if isinstance(found, Node):
            return shape.write(found.subject)
        more = found.link.more
        return shape.write((found, namespace, more(world, found.first, found.second) if more else {}))

    def _shape(self, found: Found, wanted: frozenset[str] | None, class_origin: bool) -> Shape[Any]:
        of: Kind[Any] | Link = found.kind if isinstance(found, Node) else found.link
        key = (of, wanted, class_origin)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) > MOST_SHAPES:
                self._shapes.clear()
            cls = self.schema[of.cls]
            shape = self._shapes[key] = Shape(self.schema, cls, self.columns(found), wanted, class_origin=class_origin)
        return shape

    def value(self, world: World, found: Found, name: str) -> Value:
        """One property, by the schema's name."""
        if isinstance(found, Node):
            return found.value(name)
        ends = {found.link.first[0]: found.first, found.link.second[0]: found.second}
        if name in ends:
            return self.path(ends[name])
        return found.link.more(world, found.first, found.second).get(name) if found.link.more else None
