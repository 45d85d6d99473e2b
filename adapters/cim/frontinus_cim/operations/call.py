"""One operation under way: who asks, for what, and what there is to answer from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frontinus.api.identity import Identity
from frontinus_cim.host.guest import Guest
from frontinus_cim.host.world import World
from frontinus_cim.instances.kinds import FIGURES, Found, Node, Registry
from frontinus_cim.schema.classes import Class, Schema
from frontinus_cim.wire import writer
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import Path, Value
from frontinus_cim.wire.query import Reader
from frontinus_cim.wire.typed import Intrinsic

if TYPE_CHECKING:
    from frontinus_cim.operations.service import Service


@dataclass
class Call:
    """An intrinsic operation. `outputs` are its output parameters, beside what it returns."""

    service: Service
    who: Identity
    namespace: str
    given: Intrinsic
    outputs: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.service.world

    @property
    def registry(self) -> Registry:
        return self.service.registry

    @property
    def schema(self) -> Schema:
        return self.service.schema

    async def ready(self, cls: Class | None = None) -> None:
        """Wait for what instances of a class are made from."""
        await self.world.settled()
        kinds = self.registry.below(cls.name, self.namespace) if cls else ()
        if cls is None or any(kind.needs == FIGURES for kind in kinds):
            await self.world.refresh()

    async def find(self, path: Path) -> Found:
        """The instance at a path. Raises CimError NOT_FOUND."""
        await self.world.settled()
        if path.cls in self.registry.links:
            await self.world.refresh()
            found: Found | None = self.registry.find_pair(self.world, path)
        else:
            found = await self.find_node(path)
        if found is None:
            raise CimError(Status.NOT_FOUND, f"there is no such instance of {path.cls}")
        return found

    async def find_node(self, path: Path, *, fresh: bool = False) -> Node | None:
        """The instance of a kind, with figures of its guest where they are needed, or wanted `fresh`."""
        kind = self.registry.kinds.get(path.cls)
        needed = fresh or (kind is not None and kind.needs == FIGURES)
        node = self.registry.find(self.world, path)
        guest = guest_of(node.subject) if node is not None else None
        if needed and guest is not None:
            await self.world.refresh_guest(guest)
        elif needed:
            await self.world.refresh()
            node = self.registry.find(self.world, path)
        return node

    def instances(self, cls: Class) -> Iterator[Found]:
        """All instances of a class and those that inherit from it."""
        for kind in self.registry.below(cls.name, self.namespace):
            yield from (Node(kind, subject) for subject in kind.every(self.world))
        for link in self.registry.links_below(cls.name, self.namespace):
            yield from self.registry.all_pairs(self.world, link)

    def reader(self, found: Found) -> Reader:
        """An instance's properties, for queries."""
        cls = self.schema[(found.kind if isinstance(found, Node) else found.link).cls]

        def read(names: Sequence[str]) -> Value:
            plain = names[1:] if len(names) > 1 and names[0].lower() == cls.name.lower() else names
            if len(plain) != 1:
                raise CimError(Status.INVALID_QUERY, f"{'.'.join(names)[:80]} leads nowhere")
            prop = cls.by_name.get(plain[0].lower())
            return self.registry.value(self.world, found, prop.name) if prop else None

        return read


def guest_of(subject: object) -> Guest | None:
    """The guest that an instance is of or a part of."""
    return (
        subject
        if isinstance(subject, Guest)
        else found
        if isinstance(found := getattr(subject, "guest", None), Guest)
        else None
    )


Wrap = Callable[[Found], str]
"""How an instance is written into an answer."""


@dataclass(frozen=True)
class Look:
    """How instances are shown: which properties, and whether with the class that each comes from."""

    wanted: frozenset[str] | None = None
    class_origin: bool = False

    @classmethod
    def of(cls, given: Intrinsic) -> Look:
        """From the parameters that all reading operations share; LocalOnly and IncludeQualifiers are deprecated there
        (DSP0200 1.4, 5.3.2) and change nothing."""
        given.flag("LocalOnly", False)
        given.flag("IncludeQualifiers", False)
        origin = given.flag("IncludeClassOrigin", False)
        names = given.names("PropertyList")
        return cls(None if names is None else frozenset(name.lower() for name in names), origin)

    def only(self, cls: Class) -> Look:
        """With no more properties than a class has."""
        own = frozenset(cls.by_name)
        return Look(own if self.wanted is None else own & self.wanted, self.class_origin)


def instance(call: Call, look: Look) -> Wrap:
    return lambda found: call.registry.write(call.world, found, call.namespace, look.wanted, look.class_origin)


def named(call: Call, look: Look) -> Wrap:
    """VALUE.NAMEDINSTANCE."""
    inner, name_of, plain = instance(call, look), name(call), look == Look()

    def write(found: Found) -> str:
        kept = found.kind.cache(found.subject) if plain and isinstance(found, Node) and found.kind.cache else {}
        text = kept.get(call.namespace)
        if text is None:
            text = kept[call.namespace] = f"<VALUE.NAMEDINSTANCE>{name_of(found)}{inner(found)}</VALUE.NAMEDINSTANCE>"
        return text

    return write


def with_path(call: Call, look: Look) -> Wrap:
    """VALUE.INSTANCEWITHPATH, for pulled enumerations."""
    inner = instance(call, look)
    return lambda f: f"<VALUE.INSTANCEWITHPATH>{path(call)(f)}{inner(f)}</VALUE.INSTANCEWITHPATH>"


def object_with_path(call: Call, look: Look) -> Wrap:
    """VALUE.OBJECTWITHPATH, for associators, references and queries."""
    inner = instance(call, look)
    return lambda f: f"<VALUE.OBJECTWITHPATH>{path(call)(f)}{inner(f)}</VALUE.OBJECTWITHPATH>"


def name(call: Call) -> Wrap:
    return lambda found: writer.instance_name(call.registry.path(found, call.namespace))


def path(call: Call) -> Wrap:
    return lambda found: writer.instance_path(call.registry.path(found, call.namespace))


def object_path(call: Call) -> Wrap:
    return lambda found: f"<OBJECTPATH>{path(call)(found)}</OBJECTPATH>"


MOST_ANSWER = 128 * 2**20
"""Octets of one answer, about: it is made whole before it is sent."""


def joined(items: Iterable[Found], wrap: Wrap) -> str:
    """All of them in one answer. Raises CimError SERVER_LIMITS_EXCEEDED before it grows too large."""
    texts, size = list[str](), 0
    for item in items:
        texts.append(wrap(item))
        size += len(texts[-1])
        if size > MOST_ANSWER:
            raise CimError(
                Status.SERVER_LIMITS_EXCEEDED,
                f"the answer would have more than {MOST_ANSWER // 2**20} MiB: pull the enumeration, or ask for fewer properties",
            )
    return "".join(texts)
