"""The facade's surface by reflection: a new method of Engine crosses the socket with no further line of code."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import cast

import msgspec

from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import InvalidValue
from frontinus.wire.passing import MAX_FDS, copies

CONCERNS = frozenset(base.__module__ for base in Engine.__mro__ if base.__module__.startswith("frontinus.api."))
"""The modules whose classes make up the facade."""


@dataclass(frozen=True)
class Method:
    """One method: its arguments as a struct, its answer's type, whether it streams or hands over a descriptor.

    `files` names the argument that is descriptors of the caller's: they come beside the frame, in which it is empty.
    """

    name: str
    arguments: type[msgspec.Struct]
    parameters: tuple[str, ...]
    stream: bool
    descriptor: bool
    files: str | None
    decode: msgspec.msgpack.Decoder[object]
    decode_arguments: msgspec.msgpack.Decoder[msgspec.Struct]

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> msgspec.Struct:
        """The arguments of a call. Raises TypeError like the call itself would."""
        if len(args) > len(self.parameters):
            raise TypeError(f"{self.name}() takes {len(self.parameters)} arguments, {len(args)} were given")
        return self.arguments(**dict(zip(self.parameters, args, strict=False)), **kwargs)

    def part(self, arguments: msgspec.Struct) -> tuple[msgspec.Struct, list[int]]:
        """The arguments without descriptors, and copies of these to send. Raises InvalidValue for what is none, or too many."""
        if self.files is None:
            return arguments, []
        given = cast("Sequence[int]", getattr(arguments, self.files))
        if len(given) > MAX_FDS:
            raise InvalidValue(f"{len(given)} descriptors: at most {MAX_FDS} can be given at once", field=self.files)
        return msgspec.structs.replace(arguments, **{self.files: []}), copies(given, self.files)


def names() -> list[str]:
    """The names of all methods of the facade."""
    return [name for base in Engine.__mro__ if base.__module__ in CONCERNS for name in vars(base) if method(name)]


@cache
def method(name: str) -> Method | None:
    """A method of the facade, worked out when it is first asked for; None where there is no such."""
    function = getattr(Engine, name, None)
    if not isinstance(function, FunctionType) or function.__module__ not in CONCERNS or name.startswith("_"):
        return None
    return _method(name, function)


def _method(name: str, function: FunctionType) -> Method:
    hints = typing.get_type_hints(function)
    answer = hints.pop("return")
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    files = next((name for name, hint in hints.items() if hint == Sequence[Descriptor]), None)
    if files is not None:
        hints[files] = Sequence[int]
    fields = [
        (p.name, hints[p.name]) if p.default is p.empty else (p.name, hints[p.name], p.default) for p in parameters
    ]
    arguments = msgspec.defstruct(f"{name}_arguments", fields, forbid_unknown_fields=True)
    stream = typing.get_origin(answer) is AsyncIterator
    shown = typing.get_args(answer)[0] if stream else answer
    descriptor = shown is Descriptor
    decoder: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder(int if descriptor else shown)
    return Method(name, arguments, tuple(p.name for p in parameters), stream, descriptor, files, decoder,
                  msgspec.msgpack.Decoder(arguments))  # fmt: skip
