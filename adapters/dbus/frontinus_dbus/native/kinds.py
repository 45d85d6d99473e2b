"""What the objects of org.frontinus1 have in common: paths, handlers that ask the engine, facts by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import msgspec
from dbus_fast import Variant

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, NoSuchFilter, NoSuchGuest, NoSuchNetwork, NoSuchPool, NoSuchSecret
from frontinus_dbus import names
from frontinus_dbus.service import Call, Handler, Part, Setter
from frontinus_dbus.table import Interface

ROOT = "/org/frontinus1"
MISSING: Mapping[str, type[FrontinusError]] = {
    "domain": NoSuchGuest, "network": NoSuchNetwork, "storagepool": NoSuchPool, "secret": NoSuchSecret,
    "nwfilter": NoSuchFilter,
}  # fmt: skip
Show = Callable[..., object]
"""A property's value, from the view of its object."""


class HasUuid(Protocol):
    @property
    def uuid(self) -> str: ...


@dataclass(frozen=True)
class Kind:
    """A kind of object. `folder` is where it is under the root, `model` the name of the kind in the model."""

    folder: str
    model: str
    interface: Interface
    shown: Mapping[str, Show]
    methods: Mapping[str, Handler]
    setters: Mapping[str, Setter] = field(default_factory=dict)

    @property
    def part(self) -> Part:
        return Part(
            self.interface, self.methods, {name: _reads(show) for name, show in self.shown.items()}, self.setters
        )

    def path(self, uuid: str) -> str:
        return path_of(self.folder, uuid)

    def variants(self, view: object) -> dict[str, Variant]:
        """All properties of an object."""
        return {p.name: Variant(p.signature, self.shown[p.name](view)) for p in self.interface.properties}

    def differing(self, old: object, new: object) -> dict[str, Variant]:
        """The properties in which two views of an object differ."""
        before, now = self.variants(old), self.variants(new)
        return {name: value for name, value in now.items() if value != before[name]}


def path_of(folder: str, uuid: str) -> str:
    return f"{ROOT}/{folder}/{names.of_uuid(uuid)}"


def there(call: Call) -> HasUuid:
    """The view of the object that is called."""
    view = call.model.find(call.kind, call.key)
    if view is None:
        raise MISSING[call.kind](f"there is nothing at {call.path}")
    return view


def _reads(show: Show) -> Callable[[Call], object]:
    return lambda call: show(there(call))


def asks(act: Callable[..., Awaitable[object]]) -> Handler:
    """A handler that passes its arguments to the engine: act(engine, *arguments)."""

    async def handler(call: Call, *given: object) -> object:
        return await act(await call.engine(), *given)

    return handler


def does(act: Callable[..., Awaitable[object]]) -> Handler:
    """The same for an object: act(engine, uuid, *arguments)."""

    async def handler(call: Call, *given: object) -> object:
        uuid = there(call).uuid
        return await act(await call.engine(), uuid, *given)

    return handler


def sets(act: Callable[[Engine, str, bool], Awaitable[None]]) -> Setter:
    """A setter of a switch: act(engine, uuid, on)."""

    async def setter(call: Call, on: object) -> None:
        uuid = there(call).uuid
        await act(await call.engine(), uuid, bool(on))

    return setter


async def object_of(folder: str, view: Awaitable[HasUuid]) -> str:
    return path_of(folder, (await view).uuid)


async def name_of(view: Awaitable[object]) -> str:
    return str(getattr(await view, "name"))  # noqa: B009 (views of volumes, snapshots and checkpoints alike)


def facts(thing: msgspec.Struct, hidden: frozenset[str] = frozenset()) -> dict[str, Variant]:
    """What an event or a view carries, by name; what it does not say is left out."""
    shown: dict[str, Variant] = {}
    for name, value in msgspec.to_builtins(thing).items():
        if name not in hidden and value is not None:
            shown[name] = Variant(_signature(value), value)
    return shown


def _signature(value: object) -> str:
    if isinstance(value, bool):
        return "b"
    return (
        "d" if isinstance(value, float) else "x" if isinstance(value, int) else "s" if isinstance(value, str) else "as"
    )


async def listed(views: Awaitable[Sequence[object]]) -> list[dict[str, Variant]]:
    return [facts(cast("msgspec.Struct", view)) for view in await views]


async def by_name(views: Awaitable[Sequence[object]], key: str = "name") -> dict[str, dict[str, Variant]]:
    return {getattr(view, key): facts(cast("msgspec.Struct", view), frozenset({key})) for view in await views}
