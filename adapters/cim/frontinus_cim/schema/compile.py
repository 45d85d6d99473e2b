"""From MOF to a schema, by pywbem's compiler; the result is kept as plain data, keyed by what it was made of.

The kept form is msgpack of our own structures: reading it runs nobody's code, so a foreign file can only be refused.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from frontinus_cim.schema.classes import Class, Literal, Method, Parameter, Property, Qualifier, QualifierType, Schema

if TYPE_CHECKING:
    from pywbem import CIMClass, CIMMethod, CIMParameter, CIMProperty, CIMQualifier, CIMQualifierDeclaration

log = logging.getLogger(__name__)

MODULES = (
    "qualifiers",
    "core",
    "associations",
    "devices",
    "virtualization",
    "network",
    "ethernet",
    "metrics",
    "interop",
    "events",
    "kvm",
    "switches",
)
"""The MOF files, in the order in which classes need each other."""
FORMAT = b"1"
"""Changes when the structures do."""
MAX_CACHE = 8 * 2**20


class Compiled(msgspec.Struct, frozen=True):
    """What is kept."""

    made_of: str
    classes: tuple[Class, ...]
    qualifiers: tuple[QualifierType, ...]


def sources() -> Mapping[str, str]:
    """Our MOF by module."""
    folder = files("frontinus_cim.schema") / "mof"
    return {name: (folder / f"{name}.mof").read_text() for name in MODULES}


def load(cache: Path | None = None) -> Schema:
    """The schema, from the kept form in a folder of ours if that is good, else compiled and kept there."""
    texts = sources()
    digest = hashlib.sha256(FORMAT + "\0".join(texts.values()).encode()).hexdigest()
    file = cache / "schema.msgpack" if cache else None
    if file is not None and (kept := _read(file, digest)) is not None:
        return Schema(kept.classes, kept.qualifiers)
    compiled = compile_mof(texts, digest)
    if file is not None:
        with suppress(OSError):
            _write(file, msgspec.msgpack.encode(compiled))
    return Schema(compiled.classes, compiled.qualifiers)


def _read(file: Path, digest: str) -> Compiled | None:
    try:
        with file.open("rb") as opened:
            about = os.fstat(opened.fileno())
            if about.st_uid not in (0, os.getuid()) or about.st_mode & 0o022 or about.st_size > MAX_CACHE:
                log.warning("%s is not ours alone: the schema is compiled anew", file)
                return None
            found = msgspec.msgpack.decode(opened.read(), type=Compiled)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.made_of == digest else None


def _write(file: Path, data: bytes) -> None:
    fd, name = tempfile.mkstemp(dir=file.parent, prefix=".schema-")
    try:
        with os.fdopen(fd, "wb") as opened:
            opened.write(data)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def compile_mof(texts: Mapping[str, str], digest: str = "") -> Compiled:
    """Compile MOF texts. Raises pywbem.MOFCompileError naming the place."""
    from pywbem import MOFCompiler, MOFWBEMConnection

    class Collector(MOFWBEMConnection):  # type: ignore[misc]
        """Takes what the compiler makes, as it comes."""

        def __init__(self) -> None:
            super().__init__()
            self.found: list[CIMClass] = []
            self.declared: list[CIMQualifierDeclaration] = []

        def CreateClass(self, NewClass: CIMClass, namespace: str | None = None, **_: object) -> None:
            self.found.append(NewClass)

        def SetQualifier(
            self, QualifierDeclaration: CIMQualifierDeclaration, namespace: str | None = None, **_: object
        ) -> None:
            self.declared.append(QualifierDeclaration)

        def EnumerateQualifiers(self, *_: object, **__: object) -> list[CIMQualifierDeclaration]:
            return list(self.declared)

    collector = Collector()
    compiler = MOFCompiler(handle=collector, log_func=None)
    for name, text in texts.items():
        compiler.compile_string(text, "root/virt", filename=f"{name}.mof")
    return Compiled(digest, tuple(inherited(collector.found)), tuple(_declaration(q) for q in collector.declared))


def inherited(classes: Iterable[CIMClass]) -> Iterable[Class]:
    """Classes with what they have from those above them, which must come before."""
    done: dict[str, Class] = {}
    for cls in classes:
        above = done.get(cls.superclass) if cls.superclass else None
        if cls.superclass and above is None:
            raise ValueError(f"{cls.classname}: its superclass {cls.superclass} does not come before it")
        made = done[cls.classname] = Class(
            cls.classname, cls.superclass, _qualifiers(cls.qualifiers, above.qualifiers if above else ()),
            tuple(_merged(above.properties if above else (), [_property(cls, p, above) for p in cls.properties.values()])),
            tuple(_merged(above.methods if above else (), [_method(cls, m, above) for m in cls.methods.values()])),
        )  # fmt: skip
        yield made


def _merged(above: tuple[Any, ...], own: list[Any]) -> list[Any]:
    """Inherited members, each replaced in its place by one that overrides it, then the new ones."""
    new = {member.name: member for member in own}
    kept = [new.pop(m.name) if m.name in new else msgspec.structs.replace(m, propagated=True, qualifiers=tuple(
        msgspec.structs.replace(q, propagated=True) for q in m.qualifiers if _flows(q))) for m in above]  # fmt: skip
    return [*kept, *new.values()]


RESTRICTED = ("Abstract", "Experimental", "Override", "Version")
"""Qualifiers that stay with what they are written on (DSP0004, flavor Restricted)."""


def _flows(qualifier: Qualifier) -> bool:
    return qualifier.name not in RESTRICTED


def _qualifiers(own: Mapping[str, CIMQualifier], above: tuple[Qualifier, ...]) -> tuple[Qualifier, ...]:
    given = {q.name: Qualifier(q.name, q.type, _plain(q.value)) for q in own.values()}
    flown = [msgspec.structs.replace(q, propagated=True) for q in above if _flows(q) and q.name not in given]
    return (*flown, *given.values())


def _property(cls: CIMClass, prop: CIMProperty, above: Class | None) -> Property:
    old = above.by_name.get(prop.name.lower()) if above else None
    return Property(prop.name, prop.type, bool(prop.is_array), old.origin if old else cls.classname, prop.reference_class,
                    _plain(prop.value), _qualifiers(prop.qualifiers, old.qualifiers if old else ()))  # fmt: skip


def _method(cls: CIMClass, method: CIMMethod, above: Class | None) -> Method:
    old = above.methods_by_name.get(method.name.lower()) if above else None
    parameters = tuple(_parameter(p) for p in method.parameters.values())
    return Method(method.name, method.return_type, old.origin if old else cls.classname, parameters,
                  _qualifiers(method.qualifiers, old.qualifiers if old else ()))  # fmt: skip


def _parameter(parameter: CIMParameter) -> Parameter:
    return Parameter(parameter.name, parameter.type, bool(parameter.is_array), parameter.reference_class,
                     _qualifiers(parameter.qualifiers, ()))  # fmt: skip


def _declaration(found: CIMQualifierDeclaration) -> QualifierType:
    scopes = tuple(scope for scope, on in found.scopes.items() if on)
    return QualifierType(found.name, found.type, _plain(found.value), bool(found.is_array), scopes,
                         found.overridable is not False, found.tosubclass is not False, bool(found.translatable))  # fmt: skip


def _plain(value: object) -> Literal:
    """A value of pywbem's types in Python's own."""
    if isinstance(value, list):
        return [_plain(item) for item in value]  # type: ignore[misc]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)
