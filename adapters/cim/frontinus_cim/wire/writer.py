"""CIM-XML answers (DSP0201), as strings: a shape for each class and choice of properties, made once. Pure.

Elements are never self-closing where sblim's wbemcli reads them: it knows no `<PROPERTY .../>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from frontinus_cim.schema.classes import Class, Property, Schema
from frontinus_cim.wire import values
from frontinus_cim.wire.model import INTEGERS, Embedded, Path, Value

S = TypeVar("S")
Column = Value | Callable[[S], Value]
Columns = Mapping[str, Column[S]]

NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
SPECIAL = re.compile(r'[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
HOST = "localhost"
"""What INSTANCEPATH says of the host: a path is of the server that was asked."""


def escape(text: str) -> str:
    """Text for an element or an attribute; what XML cannot hold becomes U+FFFD."""
    if SPECIAL.search(text) is None:
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return NOT_XML.sub("\ufffd", text).replace("\r", "&#13;")


def _scalar(value: Value) -> str:
    return escape(value) if type(value) is str else str(value) if type(value) is int else values.text(value)


# --- paths


def instance_name(path: Path) -> str:
    keys = [f'<KEYBINDING NAME="{name}">{_key(value)}</KEYBINDING>' for name, value in path.keys]
    return f'<INSTANCENAME CLASSNAME="{path.cls}">{"".join(keys)}</INSTANCENAME>'


def _key(value: Value) -> str:
    if isinstance(value, Path):
        return f"<VALUE.REFERENCE>{instance_path(value)}</VALUE.REFERENCE>"
    kind = "boolean" if isinstance(value, bool) else "numeric" if isinstance(value, int | float) else "string"
    return f'<KEYVALUE VALUETYPE="{kind}">{_scalar(value)}</KEYVALUE>'


def namespace(name: str) -> str:
    parts = "".join(f'<NAMESPACE NAME="{part}"></NAMESPACE>' for part in name.split("/"))
    return f"<LOCALNAMESPACEPATH>{parts}</LOCALNAMESPACEPATH>"


def namespace_path(name: str) -> str:
    return f"<NAMESPACEPATH><HOST>{HOST}</HOST>{namespace(name)}</NAMESPACEPATH>"


def instance_path(path: Path) -> str:
    return f"<INSTANCEPATH>{namespace_path(path.namespace)}{instance_name(path)}</INSTANCEPATH>"


def class_path(place: str, cls: str) -> str:
    return f'<CLASSPATH>{namespace_path(place)}<CLASSNAME NAME="{cls}"></CLASSNAME></CLASSPATH>'


# --- properties


def property_text(schema: Schema, prop: Property, value: Value, attributes: str = "", qualifiers: str = "") -> str:
    """A property with its value, as an element."""
    name = f'NAME="{prop.name}"'
    if prop.type == "reference":
        head = f'PROPERTY.REFERENCE {name} REFERENCECLASS="{prop.reference}"{attributes}'
    elif prop.array:
        head = f'PROPERTY.ARRAY {name} TYPE="{prop.type}"{attributes}{_embedding(prop)}'
    else:
        head = f'PROPERTY {name} TYPE="{prop.type}"{attributes}{_embedding(prop)}'
    return f"<{head}>{qualifiers}{value_text(schema, value)}</{head.partition(' ')[0]}>"


def _embedding(prop: Property) -> str:
    if prop.type != "string":
        return ""
    if prop.qualifier("EmbeddedInstance") is not None:
        return ' EmbeddedObject="instance"'
    return ' EmbeddedObject="object"' if prop.qualifier("EmbeddedObject") is True else ""


def value_text(schema: Schema, value: Value) -> str:
    """A value as VALUE, VALUE.ARRAY or VALUE.REFERENCE; nothing for NULL."""
    if value is None:
        return ""
    if isinstance(value, list | tuple) and not isinstance(value, Path):
        if any(isinstance(item, Path) for item in value):
            return f"<VALUE.REFARRAY>{''.join(value_text(schema, item) for item in value)}</VALUE.REFARRAY>"
        items = [value_text(schema, item) or "<VALUE.NULL></VALUE.NULL>" for item in value]
        return f"<VALUE.ARRAY>{''.join(items)}</VALUE.ARRAY>"
    if isinstance(value, Path):
        return f"<VALUE.REFERENCE>{instance_path(value)}</VALUE.REFERENCE>"
    if isinstance(value, Embedded):
        return f"<VALUE>{escape(embedded(schema, value))}</VALUE>"
    return f"<VALUE>{_scalar(value)}</VALUE>"


def embedded(schema: Schema, instance: Embedded) -> str:
    """An instance without its path; properties that are not given are left out."""
    cls = schema[instance.cls]
    body = [
        property_text(schema, prop, instance.values[prop.name])
        for prop in cls.properties
        if prop.name in instance.values
    ]
    return f'<INSTANCE CLASSNAME="{cls.name}">{"".join(body)}</INSTANCE>'


# --- instances of a class


class Shape(Generic[S]):
    """How instances of a class look when some of their properties are asked for. `columns`: constants and functions."""

    def __init__(self, schema: Schema, cls: Class, columns: Columns[S], wanted: frozenset[str] | None = None, *,
                 class_origin: bool = False) -> None:  # fmt: skip
        self.schema = schema
        fixed: list[str] = [f'<INSTANCE CLASSNAME="{cls.name}">']
        self._parts: list[tuple[str, Callable[[S], Value], Callable[[Schema, Value], str]]] = []
        for prop in cls.properties:
            if wanted is not None and prop.name.lower() not in wanted:
                continue
            origin = f' CLASSORIGIN="{prop.origin}"' if class_origin else ""
            column = columns.get(prop.name)
            if callable(column):
                before, after = property_text(schema, prop, "\0", origin).split("<VALUE>\ufffd</VALUE>")
                self._parts.append(("".join(fixed) + before, column, _writer(prop)))
                fixed = [after]
            else:
                fixed.append(property_text(schema, prop, column, origin))
        self._end = "".join(fixed) + "</INSTANCE>"

    def write(self, subject: S) -> str:
        schema = self.schema
        out: list[str] = []
        for before, column, write in self._parts:
            out.append(before)
            value = column(subject)
            if value is not None:
                out.append(write(schema, value))
        out.append(self._end)
        return "".join(out)


def _writer(prop: Property) -> Callable[[Schema, Value], str]:
    """How values of a property are written; the common kinds without looking at each value's type."""
    if prop.array or prop.type == "reference" or _embedding(prop):
        return value_text
    if prop.type in INTEGERS:
        return lambda schema, value: f"<VALUE>{value}</VALUE>"
    if prop.type == "string":
        return lambda schema, value: f"<VALUE>{escape(value)}</VALUE>"  # type: ignore[arg-type]
    return value_text


# --- messages


def message(number: str, body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8" ?>\n<CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        f'<MESSAGE ID="{escape(number)}" PROTOCOLVERSION="1.0"><SIMPLERSP>{body}</SIMPLERSP></MESSAGE></CIM>'
    ).encode()


def intrinsic(name: str, result: str | None, outputs: Iterable[str] = ()) -> str:
    """The answer to an intrinsic operation; `result` None for those that return nothing."""
    returned = "" if result is None else f"<IRETURNVALUE>{result}</IRETURNVALUE>"
    return f'<IMETHODRESPONSE NAME="{escape(name)}">{returned}{"".join(outputs)}</IMETHODRESPONSE>'


def intrinsic_output(name: str, type_: str, value: Value) -> str:
    inner = "" if value is None else f"<VALUE>{_scalar(value)}</VALUE>"
    return f'<PARAMVALUE NAME="{name}" PARAMTYPE="{type_}">{inner}</PARAMVALUE>'


def failed(name: str, code: int, description: str, *, extrinsic: bool) -> str:
    tag = "METHODRESPONSE" if extrinsic else "IMETHODRESPONSE"
    return f'<{tag} NAME="{escape(name)}"><ERROR CODE="{code}" DESCRIPTION="{escape(description)}"></ERROR></{tag}>'
