"""Classes and qualifier declarations as CIM-XML (DSP0201). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from frontinus_cim.schema.classes import Class, Method, Parameter, Property, Qualifier, QualifierType, Schema
from frontinus_cim.wire import writer
from frontinus_cim.wire.model import Value


@dataclass(frozen=True)
class ClassLook:
    """How a class is shown (DSP0200 5.3.2, GetClass). `wanted` names properties in lower case."""

    local_only: bool = True
    qualifiers: bool = True
    class_origin: bool = False
    wanted: frozenset[str] | None = None


def class_text(schema: Schema, cls: Class, look: ClassLook) -> str:
    above = f' SUPERCLASS="{cls.superclass}"' if cls.superclass else ""
    body = [_qualifiers(schema, cls.qualifiers, look)]
    for prop in cls.properties:
        if (look.wanted is None or prop.name.lower() in look.wanted) and not (look.local_only and prop.propagated):
            body.append(_property(schema, prop, look))
    body += [_method(schema, method, look) for method in cls.methods if not (look.local_only and method.propagated)]
    return f'<CLASS NAME="{cls.name}"{above}>{"".join(body)}</CLASS>'


def _property(schema: Schema, prop: Property, look: ClassLook) -> str:
    qualifiers = _qualifiers(schema, prop.qualifiers, look)
    return writer.property_text(schema, prop, prop.default, _marks(prop, look), qualifiers)


def _marks(member: Property | Method, look: ClassLook) -> str:
    origin = f' CLASSORIGIN="{member.origin}"' if look.class_origin else ""
    return f'{origin} PROPAGATED="true"' if member.propagated else origin


def _method(schema: Schema, method: Method, look: ClassLook) -> str:
    parameters = "".join(_parameter(schema, p, look) for p in method.parameters)
    head = f'METHOD NAME="{method.name}" TYPE="{method.type}"{_marks(method, look)}'
    return f"<{head}>{_qualifiers(schema, method.qualifiers, look)}{parameters}</METHOD>"


def _parameter(schema: Schema, parameter: Parameter, look: ClassLook) -> str:
    if parameter.type == "reference":
        tag = "PARAMETER.REFARRAY" if parameter.array else "PARAMETER.REFERENCE"
        kind = f' REFERENCECLASS="{parameter.reference}"'
    else:
        tag = "PARAMETER.ARRAY" if parameter.array else "PARAMETER"
        kind = f' TYPE="{parameter.type}"'
    return f'<{tag} NAME="{parameter.name}"{kind}>{_qualifiers(schema, parameter.qualifiers, look)}</{tag}>'


def _qualifiers(schema: Schema, qualifiers: Iterable[Qualifier], look: ClassLook) -> str:
    return "".join(_qualifier(schema, q) for q in qualifiers) if look.qualifiers else ""


def _qualifier(schema: Schema, qualifier: Qualifier) -> str:
    declared = schema.qualifiers.get(qualifier.name.lower())
    flavors = _flavors(declared) if declared else ""
    marks = ' PROPAGATED="true"' if qualifier.propagated else ""
    value = writer.value_text(schema, _value(qualifier.value))
    return f'<QUALIFIER NAME="{qualifier.name}" TYPE="{qualifier.type}"{marks}{flavors}>{value}</QUALIFIER>'


def _flavors(declared: QualifierType) -> str:
    """The flavors that are not DSP0201's defaults."""
    flags = (("OVERRIDABLE", declared.overridable, True), ("TOSUBCLASS", declared.to_subclass, True),
             ("TRANSLATABLE", declared.translatable, False))  # fmt: skip
    return "".join(f' {name}="{"true" if on else "false"}"' for name, on, default in flags if on != default)


def declaration_text(schema: Schema, declared: QualifierType) -> str:
    scopes = "".join(f' {scope.upper()}="true"' for scope in declared.scopes if scope.upper() != "ANY")
    if any(scope.upper() == "ANY" for scope in declared.scopes):
        scopes = "".join(f' {scope}="true"' for scope in
                         ("CLASS", "ASSOCIATION", "REFERENCE", "PROPERTY", "METHOD", "PARAMETER", "INDICATION"))  # fmt: skip
    array = ' ISARRAY="true"' if declared.array else ""
    return (f'<QUALIFIER.DECLARATION NAME="{declared.name}" TYPE="{declared.type}"{array}{_flavors(declared)}>'
            f'<SCOPE{scopes}></SCOPE>{writer.value_text(schema, _value(declared.value))}</QUALIFIER.DECLARATION>')  # fmt: skip


def _value(value: object) -> Value:
    return value  # type: ignore[return-value]
