"""CIM-XML requests (DSP0201) as they come: what is called, on what, with which parameters. Nothing is typed here yet. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Union

from lxml import etree

from frontinus_cim.wire import safexml
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.safexml import BadXML

Element = etree._Element
MAX_NESTING = 8
"""References within keys of references."""


class BadMessage(Exception):
    """A message that DSP0200 answers with an HTTP status and a CIMError header."""

    def __init__(self, status: int, error: str, message: str) -> None:
        self.status, self.error, self.message = status, error, message
        super().__init__(f"{error}: {message}")


@dataclass(frozen=True)
class GivenPath:
    """A path as it came: the class, and keys by name; a key without a name is the only one, under ''."""

    cls: str
    keys: Mapping[str, GivenKey] = field(default_factory=dict)
    namespace: str | None = None


@dataclass(frozen=True)
class GivenKey:
    """A key: text with DSP0201's VALUETYPE, or a reference."""

    value: str | GivenPath
    kind: str = "string"


@dataclass(frozen=True)
class GivenInstance:
    """An instance as it came: properties by name."""

    cls: str
    properties: Mapping[str, Given]
    path: GivenPath | None = None


@dataclass(frozen=True)
class GivenClass:
    """A class by its name, where a class or an instance can be named."""

    name: str


Given = Union[None, str, GivenPath, GivenInstance, GivenClass, list["Given"]]  # noqa: UP007


@dataclass(frozen=True)
class Request:
    """One operation. `target` is None for intrinsic ones; names of parameters are in lower case."""

    id: str
    name: str
    namespace: str
    parameters: Mapping[str, Given]
    target: GivenPath | GivenClass | None = None


VERSIONS = (("CIMVERSION", "unsupported-cim-version"), ("DTDVERSION", "unsupported-dtd-version"))


def parse(body: bytes) -> Request:
    """A request out of a message. Raises BadMessage, and CimError for parameters that cannot be."""
    try:
        root = safexml.parse(body)
    except BadXML as error:
        raise BadMessage(400, "request-not-well-formed", str(error)) from None
    if root.tag != "CIM":
        raise _invalid(f"the root is {root.tag}, not CIM")
    for attribute, wrong in VERSIONS:
        if not root.get(attribute, "").startswith("2."):
            raise BadMessage(501, wrong, f"{attribute} is '{root.get(attribute, '')[:20]}'")
    message = _only(root, "MESSAGE")
    if not message.get("PROTOCOLVERSION", "").startswith("1."):
        raise BadMessage(501, "unsupported-protocol-version", "PROTOCOLVERSION is not 1.x")
    if len(message) and message[0].tag == "MULTIREQ":
        raise BadMessage(501, "multiple-requests-unsupported", "one operation a message")
    call = _only(_only(message, "SIMPLEREQ"), "IMETHODCALL", "METHODCALL")
    return _call(message.get("ID", ""), call)


def _call(number: str, call: Element) -> Request:
    name, parts = call.get("NAME", ""), list(call)
    if not name or not parts:
        raise _invalid(f"{call.tag} names no operation or no place")
    first, rest = parts[0], parts[1:]
    if call.tag == "IMETHODCALL":
        return Request(number, name, _namespace(first), _parameters(rest, "IPARAMVALUE"))
    if first.tag not in ("LOCALCLASSPATH", "LOCALINSTANCEPATH"):
        raise _invalid(f"METHODCALL of {first.tag}")
    target = _reference(first, 0)
    assert isinstance(target, GivenPath | GivenClass)
    return Request(number, name, _namespace(_only_first(first)), _parameters(rest, "PARAMVALUE"), target)


def _parameters(elements: list[Element], tag: str) -> Mapping[str, Given]:
    found: dict[str, Given] = {}
    for element in elements:
        name = element.get("NAME", "").lower()
        if element.tag != tag or not name:
            raise _invalid(f"{element.tag} where {tag} belongs")
        if name in found:
            raise CimError(Status.INVALID_PARAMETER, f"{element.get('NAME')} is given twice")
        found[name] = _value(element[0], _embedding(element)) if len(element) else None
    return found


def _embedding(element: Element) -> bool:
    """Whether texts within are instances."""
    return any(element.get(name) for name in ("EmbeddedObject", "EMBEDDEDOBJECT"))


def _value(element: Element, embedded: bool = False, depth: int = 0) -> Given:
    read = VALUES.get(str(element.tag))
    if read is None:
        raise _invalid(f"{element.tag} is no value")
    if depth > MAX_NESTING:
        raise _invalid("references nest too deep")
    return read(element, embedded, depth)


def _text(element: Element) -> str:
    return "".join(str(piece) for piece in element.itertext()) if len(element) else element.text or ""


def _plain(element: Element, embedded: bool, depth: int) -> Given:
    return instance_text(_text(element)) if embedded else _text(element)


def _array(element: Element, embedded: bool, depth: int) -> Given:
    return [None if child.tag == "VALUE.NULL" else _value(child, embedded, depth + 1) for child in element]


def _named_instance(element: Element, embedded: bool, depth: int) -> Given:
    path = _reference(_only_first(element), depth + 1)
    found = _instance(element[1], depth + 1) if len(element) > 1 else None
    if not isinstance(path, GivenPath) or found is None:
        raise _invalid(f"{element.tag} lacks a path or an instance")
    return GivenInstance(found.cls, found.properties, path)


def _instance(element: Element, depth: int) -> GivenInstance:
    if element.tag != "INSTANCE" or depth > MAX_NESTING:
        raise _invalid(f"{element.tag} where INSTANCE belongs")
    properties: dict[str, Given] = {}
    for child in element:
        if child.tag in ("PROPERTY", "PROPERTY.ARRAY", "PROPERTY.REFERENCE"):
            values = [value for value in child if value.tag != "QUALIFIER"]
            properties[child.get("NAME", "")] = _value(values[0], _embedding(child), depth + 1) if values else None
    return GivenInstance(_attribute(element, "CLASSNAME"), properties)


def instance_text(given: str) -> GivenInstance:
    """An instance that is embedded as text: CIM-XML, or MOF as old clients write it. Raises CimError."""
    from frontinus_cim.wire import moftext

    if not given.lstrip().startswith("<"):
        return moftext.instance(given)
    try:
        return _instance(safexml.parse(given.strip().encode()), 0)
    except (BadXML, BadMessage, UnicodeEncodeError) as error:
        raise CimError(Status.INVALID_PARAMETER, f"embedded instance: {error}") from None


def _reference(element: Element, depth: int) -> GivenPath | GivenClass:
    """Whatever names an instance or a class."""
    if depth > MAX_NESTING:
        raise _invalid("references nest too deep")
    match element.tag:
        case "VALUE.REFERENCE":
            return _reference(_only_first(element), depth + 1)
        case "INSTANCENAME":
            return _instance_name(element, depth)
        case "CLASSNAME":
            return GivenClass(_attribute(element, "NAME"))
        case "INSTANCEPATH" | "LOCALINSTANCEPATH" | "CLASSPATH" | "LOCALCLASSPATH":
            if len(element) != 2:
                raise _invalid(f"{element.tag} needs a namespace and a name")
            found = _reference(element[1], depth + 1)
            place = _namespace(element[0])
            return GivenPath(found.cls, found.keys, place) if isinstance(found, GivenPath) else found
    raise _invalid(f"{element.tag} is no reference")


def _instance_name(element: Element, depth: int) -> GivenPath:
    keys: dict[str, GivenKey] = {}
    for child in element:
        if child.tag == "KEYBINDING":
            keys[_attribute(child, "NAME")] = _key(_only_first(child), depth + 1)
        else:
            keys[""] = _key(child, depth + 1)
    return GivenPath(_attribute(element, "CLASSNAME"), keys)


def _key(element: Element, depth: int) -> GivenKey:
    if element.tag == "KEYVALUE":
        return GivenKey(_text(element), element.get("VALUETYPE", "string"))
    found = _reference(element, depth)
    if not isinstance(found, GivenPath):
        raise _invalid("a class as a key")
    return GivenKey(found, "reference")


def _namespace(element: Element) -> str:
    if element.tag == "NAMESPACEPATH":
        return _namespace(element[-1]) if len(element) else ""
    if element.tag != "LOCALNAMESPACEPATH":
        raise _invalid(f"{element.tag} where a namespace belongs")
    return "/".join(child.get("NAME", "") for child in element)


def _by_reference(element: Element, embedded: bool, depth: int) -> Given:
    return _reference(element, depth)


VALUES: Mapping[str, Callable[[Element, bool, int], Given]] = {
    "VALUE": _plain, "VALUE.ARRAY": _array, "VALUE.REFARRAY": _array, "VALUE.REFERENCE": _by_reference,
    "INSTANCENAME": _by_reference, "CLASSNAME": _by_reference, "INSTANCEPATH": _by_reference,
    "INSTANCE": lambda element, embedded, depth: _instance(element, depth), "VALUE.NAMEDINSTANCE": _named_instance,
    "VALUE.INSTANCEWITHPATH": _named_instance, "CLASS": lambda e, *_: GivenClass(e.get("NAME", "")),
    "QUALIFIER.DECLARATION": lambda e, *_: e.get("NAME", ""),
}  # fmt: skip
"""How each element that can be a value is read."""


def _only(element: Element, *tags: str) -> Element:
    children: Iterator[Element] = iter(element)
    found = next(children, None)
    if found is None or found.tag not in tags or next(children, None) is not None:
        raise _invalid(f"{element.tag} must have one {' or '.join(tags)}")
    return found


def _only_first(element: Element) -> Element:
    if not len(element):
        raise _invalid(f"{element.tag} is empty")
    return element[0]


def _attribute(element: Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise _invalid(f"{element.tag} has no {name}")
    return value


def _invalid(message: str) -> BadMessage:
    return BadMessage(400, "request-not-valid", message)
