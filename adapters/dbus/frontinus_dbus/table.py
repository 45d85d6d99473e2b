"""What an interface is, as data: dispatch, introspection, documentation and the conformance test all read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape


@dataclass(frozen=True)
class Argument:
    """A name and a D-Bus signature."""

    name: str
    signature: str


def arguments(text: str) -> tuple[Argument, ...]:
    """Arguments from "name:signature name:signature"."""
    return tuple(Argument(*word.split(":")) for word in text.split())


@dataclass(frozen=True)
class Method:
    name: str
    takes: tuple[Argument, ...] = ()
    gives: tuple[Argument, ...] = ()
    doc: str = ""

    @cached_property
    def signature(self) -> str:
        return "".join(a.signature for a in self.takes)

    @cached_property
    def takes_files(self) -> bool:
        """Whether descriptors come with a call."""
        return "h" in self.signature

    @cached_property
    def answer(self) -> str:
        return "".join(a.signature for a in self.gives)


@dataclass(frozen=True)
class Property:
    name: str
    signature: str
    write: bool = False
    const: bool = False
    doc: str = ""


@dataclass(frozen=True)
class Signal:
    name: str
    carries: tuple[Argument, ...] = ()
    doc: str = ""

    @cached_property
    def signature(self) -> str:
        return "".join(a.signature for a in self.carries)


def method(name: str, takes: str = "", gives: str = "", doc: str = "") -> Method:
    return Method(name, arguments(takes), arguments(gives), doc)


def prop(name: str, signature: str, doc: str = "", *, write: bool = False, const: bool = False) -> Property:
    return Property(name, signature, write, const, doc)


def signal(name: str, carries: str = "", doc: str = "") -> Signal:
    return Signal(name, arguments(carries), doc)


@dataclass(frozen=True)
class Interface:
    """`tells`: whether PropertiesChanged is sent for its properties."""

    name: str
    methods: Sequence[Method] = ()
    properties: Sequence[Property] = ()
    signals: Sequence[Signal] = ()
    tells: bool = False

    @cached_property
    def method(self) -> dict[str, Method]:
        return {m.name: m for m in self.methods}

    @cached_property
    def property(self) -> dict[str, Property]:
        return {p.name: p for p in self.properties}

    @cached_property
    def signal(self) -> dict[str, Signal]:
        return {s.name: s for s in self.signals}

    @cached_property
    def xml(self) -> str:
        """The interface as introspection shows it."""
        lines = [f'  <interface name="{self.name}">']
        for m in self.methods:
            body = [*_arguments(m.takes, "in"), *_arguments(m.gives, "out")]
            lines += _element("method", f'name="{m.name}"', [*_doc(m.doc), *body])
        for p in self.properties:
            access = "readwrite" if p.write else "read"
            change = "const" if p.const else "true" if self.tells else "false"
            note = f'<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="{change}"/>'
            lines += _element(
                "property", f'name="{p.name}" type="{p.signature}" access="{access}"', [*_doc(p.doc), note]
            )
        for s in self.signals:
            lines += _element("signal", f'name="{s.name}"', [*_doc(s.doc), *_arguments(s.carries)])
        return "\n".join([*lines, "  </interface>"])


def _arguments(given: Sequence[Argument], direction: str = "") -> list[str]:
    way = f' direction="{direction}"' if direction else ""
    return [f'<arg name="{a.name}" type="{a.signature}"{way}/>' for a in given]


def _doc(text: str) -> list[str]:
    return [f'<annotation name="org.gtk.GDBus.DocString" value="{escape(text)}"/>'] if text else []


def _element(tag: str, attributes: str, children: Sequence[str]) -> list[str]:
    if not children:
        return [f"    <{tag} {attributes}/>"]
    return [f"    <{tag} {attributes}>", *(f"      {child}" for child in children), f"    </{tag}>"]


HEAD = """<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"""


def introspection(interfaces: Sequence[Interface], children: Sequence[str]) -> str:
    """The document of an object."""
    nodes = [f'  <node name="{child}"/>' for child in children]
    return HEAD + "\n".join(["<node>", *(i.xml for i in interfaces), *nodes, "</node>", ""])


PEER = Interface("org.freedesktop.DBus.Peer", (method("Ping"), method("GetMachineId", "", "machine_uuid:s")))
INTROSPECTABLE = Interface("org.freedesktop.DBus.Introspectable", (method("Introspect", "", "xml_data:s"),))
PROPERTIES = Interface(
    "org.freedesktop.DBus.Properties",
    (
        method("Get", "interface_name:s property_name:s", "value:v"),
        method("GetAll", "interface_name:s", "properties:a{sv}"),
        method("Set", "interface_name:s property_name:s value:v"),
    ),
    (),
    (signal("PropertiesChanged", "interface_name:s changed_properties:a{sv} invalidated_properties:as"),),
)
OBJECT_MANAGER = Interface(
    "org.freedesktop.DBus.ObjectManager",
    (method("GetManagedObjects", "", "objects:a{oa{sa{sv}}}", "Everything that there is, in one call."),),
    (),
    (
        signal("InterfacesAdded", "object:o interfaces:a{sa{sv}}"),
        signal("InterfacesRemoved", "object:o interfaces:as"),
    ),
)
STANDARD = (PEER, INTROSPECTABLE, PROPERTIES)
"""What every object has."""
