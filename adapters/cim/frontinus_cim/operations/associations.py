"""Associators and references, of instances and of classes (DSP0200 5.3.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from frontinus_cim.instances.kinds import Found, Node, Pair
from frontinus_cim.operations.call import Call, Look, joined, object_path, object_with_path
from frontinus_cim.schema.classes import Class
from frontinus_cim.wire import writer
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import Path
from frontinus_cim.wire.xmlclass import ClassLook, class_text


@dataclass(frozen=True)
class Filters:
    """What an association and the instance at its other end must be. Names of roles are in lower case."""

    association: Class | None
    result: Class | None
    role: str | None
    result_role: str | None

    @classmethod
    def of(cls, call: Call) -> Filters:
        """The filters of Associators."""
        given = call.given
        association, result = given.maybe_class("AssocClass"), given.maybe_class("ResultClass")
        return cls(association, result, _lower(given.text("Role")), _lower(given.text("ResultRole")))

    @classmethod
    def of_references(cls, call: Call) -> Filters:
        """Those of References, where the result is the association."""
        return cls(call.given.maybe_class("ResultClass"), None, _lower(call.given.text("Role")), None)


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None


def pairs(call: Call, node: Node, filters: Filters) -> Iterator[tuple[Pair, Node]]:
    """The associations of an instance that pass, each with the instance at its other end."""
    schema = call.schema
    for link in call.registry.at(node.kind.cls):
        if call.namespace not in link.namespaces:
            continue
        if filters.association and not schema.is_a(link.cls, filters.association.name):
            continue
        ways = ((link.first, link.second, link.out, True), (link.second, link.first, link.back, False))
        for near, far, follow, forward in ways:
            if node.kind.cls not in near[1] or (filters.role and near[0].lower() != filters.role):
                continue
            if filters.result_role and far[0].lower() != filters.result_role:
                continue
            if filters.result and not any(schema.is_a(cls, filters.result.name) for cls in far[1]):
                continue
            for other in follow(call.world, node):
                if filters.result is None or schema.is_a(other.kind.cls, filters.result.name):
                    yield Pair(link, node, other) if forward else Pair(link, other, node), other


async def _start(call: Call, path: Path) -> Node | None:
    """The instance that associations are followed from; None for one of an association, which no other refers to."""
    if path.cls in call.registry.links:
        await call.find(path)
        return None
    await call.world.settled()
    found = await call.find_node(path, fresh=True)
    if found is None:
        raise CimError(Status.NOT_FOUND, f"there is no such instance of {path.cls}")
    return found


async def _once(call: Call, path: Path, filters: Filters, wanted: Callable[[Pair, Node], Found]) -> list[Found]:
    """What is wanted of each association that passes: once, however many associations lead there."""
    node = await _start(call, path)
    found: dict[Path, Found] = {}
    for pair, other in pairs(call, node, filters) if node is not None else ():
        one = wanted(pair, other)
        found.setdefault(call.registry.path(one, call.namespace), one)
    return list(found.values())


# --- classes


def _ends(call: Call, target: Class, filters: Filters) -> Iterator[tuple[Class, str]]:
    """Association classes that a class may take part in, each with the class at the other end."""
    schema = call.schema
    line = set(schema.above(target.name))
    for cls in schema.classes.values():
        if not cls.association or (filters.association and not schema.is_a(cls.name, filters.association.name)):
            continue
        for near in cls.references:
            if near.reference not in line or (filters.role and near.name.lower() != filters.role):
                continue
            for far in cls.references:
                if far is near or (filters.result_role and far.name.lower() != filters.result_role):
                    continue
                if far.reference and (filters.result is None or _related(call, far.reference, filters.result.name)):
                    yield cls, far.reference


def _related(call: Call, one: str, other: str) -> bool:
    return call.schema.is_a(one, other) or call.schema.is_a(other, one)


# --- the operations


@dataclass(frozen=True)
class Walk:
    """What is looked for along associations: its filters, and what of an association is wanted."""

    filters: Callable[[Call], Filters]
    of_pair: Callable[[Pair, Node], Found]
    of_classes: Callable[[Class, str], str]

    async def instances(self, call: Call, path: Path, filters: Filters) -> list[Found]:
        return await _once(call, path, filters, self.of_pair)

    def classes(self, call: Call, target: Class, filters: Filters) -> list[str]:
        return sorted({self.of_classes(association, other) for association, other in _ends(call, target, filters)})


ASSOCIATED = Walk(Filters.of, lambda pair, other: other, lambda association, other: other)
REFERRING = Walk(Filters.of_references, lambda pair, other: pair, lambda association, other: association.name)


def operation(walk: Walk, *, names: bool) -> Callable[[Call], Awaitable[str]]:
    """Associators and the like: of an instance or of a class, whole or only by `names`."""

    async def body(call: Call) -> str:
        target, filters = call.given.target("ObjectName"), walk.filters(call)
        look = None if names else Look.of(call.given)
        call.given.done()
        if isinstance(target, Class):
            found = walk.classes(call, target, filters)
            return _class_paths(call, found) if look is None else _classes(call, found)
        wrap = object_path(call) if look is None else object_with_path(call, look)
        return joined(await walk.instances(call, target, filters), wrap)

    return body


def _class_paths(call: Call, names: list[str]) -> str:
    return "".join(f"<OBJECTPATH>{writer.class_path(call.namespace, name)}</OBJECTPATH>" for name in names)


def _classes(call: Call, names: list[str]) -> str:
    look = ClassLook(local_only=False)
    return "".join(f"<VALUE.OBJECTWITHPATH>{writer.class_path(call.namespace, name)}"
                   f"{class_text(call.schema, call.schema[name], look)}</VALUE.OBJECTWITHPATH>" for name in names)  # fmt: skip
