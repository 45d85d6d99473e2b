"""Operations on classes and qualifiers (DSP0200 5.3.2): what the schema has can be read, not changed."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus_cim.operations.call import Call
from frontinus_cim.schema.classes import Class
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.xmlclass import ClassLook, class_text, declaration_text


def _look(call: Call) -> ClassLook:
    given = call.given
    local, qualifiers = given.flag("LocalOnly", True), given.flag("IncludeQualifiers", True)
    origin, names = given.flag("IncludeClassOrigin", False), given.names("PropertyList")
    return ClassLook(local, qualifiers, origin, None if names is None else frozenset(name.lower() for name in names))


async def get_class(call: Call) -> str:
    cls, look = _wanted(call), _look(call)
    call.given.done()
    return class_text(call.schema, cls, look)


def _wanted(call: Call) -> Class:
    """A class that is not there is CIM_ERR_NOT_FOUND here (DSP0200 5.3.2)."""
    try:
        return call.given.cls("ClassName")
    except CimError as error:
        if error.status is Status.INVALID_CLASS:
            raise CimError(Status.NOT_FOUND, error.message) from None
        raise


def _below(call: Call) -> Iterator[str]:
    """The classes that an enumeration is of."""
    top, deep = call.given.maybe_class("ClassName"), call.given.flag("DeepInheritance", False)
    start = top.name if top else None
    if not deep:
        return iter(sorted(call.schema.children(start)))
    return iter(sorted(call.schema.below(top.name) - {top.name} if top else call.schema.classes))


async def enumerate_classes(call: Call) -> str:
    names, look = list(_below(call)), _look(call)
    call.given.done()
    return "".join(class_text(call.schema, call.schema[name], look) for name in names)


async def enumerate_class_names(call: Call) -> str:
    names = list(_below(call))
    call.given.done()
    return "".join(f'<CLASSNAME NAME="{name}"></CLASSNAME>' for name in names)


async def get_qualifier(call: Call) -> str:
    name = call.given.text("QualifierName") or ""
    call.given.done()
    found = call.schema.qualifiers.get(name.lower())
    if found is None:
        raise CimError(Status.NOT_FOUND, f"there is no qualifier '{name[:80]}'")
    return declaration_text(call.schema, found)


async def enumerate_qualifiers(call: Call) -> str:
    call.given.done()
    return "".join(declaration_text(call.schema, q) for q in call.schema.qualifiers.values())


async def refuse(call: Call) -> str:
    """The schema belongs to the provider."""
    raise CimError(Status.NOT_SUPPORTED, "the schema cannot be changed")
