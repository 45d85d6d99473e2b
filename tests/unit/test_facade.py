"""The facade's surface is append-only: compared with golden/facade.txt, and complete in its permission table."""

from __future__ import annotations

import inspect
import pkgutil
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from frontinus import api
from frontinus.api import views
from frontinus.api.engine import Engine
from frontinus.api.errors import ERRORS
from frontinus.api.permissions import PERMISSIONS
from frontinus.wire.surface import names as surface_names

Golden = Any


MODULES = [import_module(f"frontinus.api.{found.name}") for found in pkgutil.iter_modules(api.__path__)]
NOT_SURFACE = {"errors", "identity", "permissions"}
"""Modules whose constants are no promise by their value; errors and permissions have tests of their own."""


def methods() -> dict[str, Any]:
    return {name: getattr(Engine, name) for name in surface_names()}


def structs() -> Iterator[type[msgspec.Struct]]:
    for module in MODULES:
        for value in vars(module).values():
            mine = inspect.isclass(value) and value.__module__ == module.__name__
            if mine and issubclass(value, msgspec.Struct):
                yield value


def surface() -> Iterator[str]:
    """The surface, a line for each name that a caller may use. A line stands by itself: order says nothing."""
    for name, method in methods().items():
        kind = "async " if inspect.iscoroutinefunction(method) else ""
        yield f"method {kind}{name}{inspect.signature(method)}"
    for struct in structs():
        yield f"struct {struct.__qualname__} tag={struct.__struct_config__.tag!r}"
        hints: dict[str, str] = {}
        for base in reversed(struct.__mro__):
            hints |= base.__dict__.get("__annotations__", {})
        for field in msgspec.structs.fields(struct):
            default = "" if field.required else f" = {default_of(field)}"
            yield f"struct {struct.__qualname__}.{field.encode_name}: {hints[field.name]}{default}"
    for module in MODULES:
        for name, value in vars(module).items():
            if typing.get_origin(value) is typing.Literal:
                yield f"type {name} = {value}"
            if name.isupper() and module.__name__.rpartition(".")[2] not in NOT_SURFACE:
                yield f"constant {name} = {value!r}"
    for code, error in ERRORS.items():
        yield f"error {code} {error.__name__}"


def default_of(field: msgspec.structs.FieldInfo) -> str:
    return repr(field.default) if field.default is not msgspec.NODEFAULT else f"{field.default_factory.__name__}()"


def test_the_record_is_complete(golden: Golden) -> None:
    golden("facade.txt", "\n".join(sorted(set(surface()))) + "\n")


def test_nothing_was_removed_or_changed() -> None:
    recorded = set((Path(__file__).parent / "golden/facade.txt").read_text().splitlines())
    assert not recorded - set(surface()), "the facade is append-only: callers rely on these"


def test_what_is_listed_grows_at_its_end_alone() -> None:
    """The golden file is written anew when a list grows: what adapters rely on of its beginning stands here."""
    assert views.STATS_GROUPS[:8] == ("state", "cpu", "balloon", "vcpu", "interface", "block", "iothread", "memory")
    assert views.STATES == ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")


def test_every_method_has_a_permission_and_every_permission_a_method() -> None:
    assert set(PERMISSIONS) == set(methods())


def test_a_monitor_reads_only() -> None:
    writes = {name for name, permission in PERMISSIONS.items() if permission.write}
    assert {"define", "start", "destroy", "monitor_command", "attach_device", "set_metadata"} <= writes
    assert not {"guests", "guest", "guest_xml", "stats", "watch", "version"} & writes


def test_every_parameter_is_annotated() -> None:
    for name, method in methods().items():
        signature = inspect.signature(method)
        assert signature.return_annotation is not inspect.Signature.empty, name
        for parameter in list(signature.parameters.values())[1:]:
            assert parameter.annotation is not inspect.Parameter.empty, f"{name}.{parameter.name}"


def test_error_codes_are_words_and_unique() -> None:
    assert all(code == code.lower() and " " not in code for code in ERRORS)
    assert len({error for error in ERRORS.values()}) == len(ERRORS)
