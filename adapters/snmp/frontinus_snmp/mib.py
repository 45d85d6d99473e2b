"""MIB modules that managers can load, written from the tables of objects: `python -m frontinus_snmp.mib VM-MIB`.

VM-MIB's names, numbers and syntaxes are RFC 7666's; the descriptions are ours and say what this agent answers. It imports
nothing that a host without the IETF's modules lacks beside SNMPv2's own, and FRONTINUS-MIB imports nothing but it and these.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus_snmp.ber import Oid
from frontinus_snmp.objects import MODULES
from frontinus_snmp.objects.kinds import Column, Index, Module, Scalar, Syntax, Table

SIZES = {"SnmpAdminString": "OCTET STRING (SIZE (0..255))", "UUIDorZero": "OCTET STRING (SIZE (0 | 16))",
         "InterfaceIndexOrZero": "Integer32 (0..2147483647)"}  # fmt: skip
"""Conventions of modules that many hosts lack, as what they are made of."""
STANDARD = ("INTEGER", "TruthValue", "RowStatus", "IANAStorageMediaType")
"""Enumerations that are not conventions of the module: of SNMPv2-TC, or written out where they are used."""


@dataclass(frozen=True)
class Shape:
    """What a module's text has that its objects do not say. `nodes`: names of the nodes that hold objects, by place."""

    identity: str
    prefix: str
    parent: str
    updated: str
    about: str
    imports: Mapping[str, Sequence[str]]
    nodes: Mapping[Oid, str]
    conventions: Mapping[str, tuple[str, str, str]]
    """Name: DISPLAY-HINT (or nothing), description, syntax."""
    groups: Sequence[str]
    """The groups: of the scalars, then of each table in order, then of what is only told."""


BASE: Mapping[str, Sequence[str]] = {
    "SNMPv2-CONF": ("OBJECT-GROUP", "NOTIFICATION-GROUP", "MODULE-COMPLIANCE"),
}
_NUMBERS = ("VirtualMachineIndex", "VirtualMachineIndexOrZero", "VirtualMachineCpuIndex", "VirtualMachineStorageIndex",
            "VirtualMachineNetworkIndex")  # fmt: skip
SHAPES: Mapping[str, Shape] = {
    "VM-MIB": Shape(
        "vmMIB", "vm", "mib-2 236", "201510120000Z", "Virtual machines that a hypervisor controls. RFC 7666.",
        {"SNMPv2-SMI": ("MODULE-IDENTITY", "OBJECT-TYPE", "NOTIFICATION-TYPE", "TimeTicks", "Counter64", "Integer32", "mib-2"),
         **BASE, "SNMPv2-TC": ("TEXTUAL-CONVENTION", "PhysAddress", "TruthValue")},
        {(1, 1): "vmHypervisor"},
        {name: ("d", "A number, or 0 for none." if name.endswith("OrZero") else "A number.",
                f"Integer32 ({'0' if name.endswith('OrZero') else '1'}..2147483647)") for name in _NUMBERS}
        | {"VirtualMachineList": ("1x", "A bit for each guest, the first octet's highest for vmIndex 1.", "OCTET STRING")},
        ("vmHypervisorGroup", "vmVirtualMachineGroup", "vmCpuGroup", "vmCpuAffinityGroup", "vmStorageGroup", "vmNetworkGroup"),
    ),
    "FRONTINUS-MIB": Shape(
        "frontinusMIB", "frn", "", "202611280000Z",
        "What VM-MIB lacks of a Frontinus host: control of guests, jobs, pools, networks, the host. Its place is"
        " experimental until a number of its own is assigned, and will change.",
        {"SNMPv2-SMI": ("MODULE-IDENTITY", "OBJECT-TYPE", "NOTIFICATION-TYPE", "Counter32", "Counter64", "Gauge32", "Integer32",
                        "Unsigned32", "enterprises"),
         **BASE, "SNMPv2-TC": ("TEXTUAL-CONVENTION", "DateAndTime", "RowStatus", "TruthValue"),
         "VM-MIB": ("VirtualMachineIndexOrZero", "vmIndex", "vmNetworkIndex", "vmStorageVmIndex", "vmStorageIndex")},
        {(1, 1): "frnEngine", (1, 2): "frnHost", (1, 13): "frnAgent"},
        {"FrontinusBytes": ("d", "A number of bytes; unlike a counter's it goes up and down.", "Counter64")}, (),
    ),
}  # fmt: skip


def module(of: Module) -> Iterator[str]:
    """The lines of a module."""
    shape = SHAPES[of.name]
    yield from _head(of, shape)
    yield from _conventions(of, shape)
    for scalar in of.scalars:
        yield from _object(scalar.name, _syntax(scalar.syntax), scalar.access, scalar.text, _place(scalar.place, shape))
    for table in of.tables:
        yield from _table(table, shape)
    for note in of.notifications:
        yield f"\n{note.name} NOTIFICATION-TYPE\n    OBJECTS {{ {', '.join(note.objects)} }}"
        yield f'    STATUS current\n    DESCRIPTION "{note.text}"\n    ::= {{ {shape.prefix}Notifications {note.number} }}'
    yield from _conformance(of, shape)
    yield "\nEND"


def _head(of: Module, shape: Shape) -> Iterator[str]:
    yield f"{of.name} DEFINITIONS ::= BEGIN\n"
    yield "-- Written by frontinus_snmp.mib from the agent's own table; do not edit."
    yield "\nIMPORTS"
    yield "\n".join(_wrapped(f"{', '.join(names)} FROM {source}") for source, names in shape.imports.items()) + ";"
    arcs = of.root[6:]
    above = ["enterprises", *(f"{shape.prefix}Arc{depth}" for depth in range(1, len(arcs)))]
    parent = shape.parent or f"{above[-1]} {arcs[-1]}"
    yield f'\n{shape.identity} MODULE-IDENTITY\n    LAST-UPDATED "{shape.updated}"'
    yield '    ORGANIZATION "Frontinus"\n    CONTACT-INFO "See the documentation of Frontinus."'
    yield f'    DESCRIPTION "{shape.about}"\n    REVISION "{shape.updated}"\n    DESCRIPTION "As the agent has it."'
    yield f"    ::= {{ {parent} }}\n"
    if not shape.parent:
        yield from (
            f"{name} OBJECT IDENTIFIER ::= {{ {of_} {arc} }}"
            for name, of_, arc in zip(above[1:], above, arcs, strict=False)
        )
    for number, name in enumerate(("Notifications", "Objects", "Conformance")):
        yield f"{shape.prefix}{name} OBJECT IDENTIFIER ::= {{ {shape.identity} {number} }}"
    for place, name in shape.nodes.items():
        yield f"{name} OBJECT IDENTIFIER ::= {{ {shape.prefix}Objects {place[1]} }}"
    yield f"{shape.prefix}Compliances OBJECT IDENTIFIER ::= {{ {shape.prefix}Conformance 1 }}"
    yield f"{shape.prefix}Groups OBJECT IDENTIFIER ::= {{ {shape.prefix}Conformance 2 }}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, initial_indent="    ", subsequent_indent="        ")


def _conventions(of: Module, shape: Shape) -> Iterator[str]:
    for name, (hint, text, syntax) in shape.conventions.items():
        yield from _convention(name, hint, text, syntax)
    seen: set[str] = set()
    for used in [column.syntax for table in of.tables for column in table.columns]:
        if used.names is not None and used.name not in (*seen, *STANDARD):
            seen.add(used.name)
            yield from _convention(used.name, "", "States by number.", _enumeration(used))


def _convention(name: str, hint: str, text: str, syntax: str) -> Iterator[str]:
    yield f"\n{name} ::= TEXTUAL-CONVENTION"
    if hint:
        yield f'    DISPLAY-HINT "{hint}"'
    yield f'    STATUS current\n    DESCRIPTION "{text}"\n    SYNTAX {syntax}'


def _enumeration(syntax: Syntax) -> str:
    assert syntax.names is not None
    names = ", ".join(f"{_word(name)}({number})" for number, name in syntax.names.items())
    return f"INTEGER {{ {names} }}"


def _word(name: str) -> str:
    """An enumeration's word as SMIv2 allows it: no hyphens."""
    first, *rest = name.split("-")
    return first + "".join(word.title() for word in rest)


def _syntax(syntax: Syntax) -> str:
    if syntax.names is not None and syntax.name in ("INTEGER", "IANAStorageMediaType"):
        return _enumeration(syntax)
    if syntax.tag == "text" and syntax.least:
        return f"OCTET STRING (SIZE ({syntax.least}..255))"
    return SIZES.get(syntax.name) or syntax.name


def _place(place: Oid, shape: Shape) -> str:
    node = shape.nodes.get(place[:2])
    return f"{node} {place[2]}" if node and len(place) == 3 else f"{shape.prefix}Objects {place[1]}"


def _object(name: str, syntax: str, access: str, text: str, place: str) -> Iterator[str]:
    yield f"\n{name} OBJECT-TYPE\n    SYNTAX {syntax}\n    MAX-ACCESS {access}\n    STATUS current"
    yield f'    DESCRIPTION "{text}"\n    ::= {{ {place} }}'


def _table(table: Table[Any], shape: Shape) -> Iterator[str]:
    row = table.entry[0].upper() + table.entry[1:]
    yield from _object(table.name, f"SEQUENCE OF {row}", "not-accessible", table.text, _place(table.place, shape))
    yield f"\n{table.entry} OBJECT-TYPE\n    SYNTAX {row}\n    MAX-ACCESS not-accessible\n    STATUS current"
    yield f'    DESCRIPTION "One row."\n    INDEX {{ {", ".join(table.index)} }}\n    ::= {{ {table.name} 1 }}'
    members: list[Index | Column[Any]] = [*table.own, *table.columns]
    yield f"\n{row} ::= SEQUENCE {{"
    yield ",\n".join(f"    {member.name} {_base(member)}" for member in members)
    yield "}"
    for member in members:
        syntax, access = (
            (member.syntax, "not-accessible") if isinstance(member, Index) else (_syntax(member.syntax), member.access)
        )
        yield from _object(member.name, syntax, access, member.text, f"{table.entry} {member.number}")


def _base(member: Index | Column[Any]) -> str:
    """A member's syntax without its limits, as a SEQUENCE has it."""
    words = member.syntax if isinstance(member, Index) else _syntax(member.syntax)
    return words.split(" (")[0].split(" {")[0]


def _conformance(of: Module, shape: Shape) -> Iterator[str]:
    groups = list(_groups(of, shape))
    for number, (name, members, notes) in enumerate(groups, 1):
        kind, what = ("NOTIFICATION-GROUP", "NOTIFICATIONS") if notes else ("OBJECT-GROUP", "OBJECTS")
        yield f"\n{name} {kind}"
        yield _wrapped(f"{what} {{ {', '.join(members)} }}")
        yield f'    STATUS current\n    DESCRIPTION "What belongs together."\n    ::= {{ {shape.prefix}Groups {number} }}'
    optional = [name for name, _, _ in groups if "Optional" in name or "Variables" in name]
    needed = [name for name, _, _ in groups if name not in optional]
    yield from _compliance(f"{shape.prefix}FullCompliances", "All of it.", shape, 1, needed, optional, ())
    writable = [name for name, access in _accesses(of) if access in ("read-write", "read-create")]
    yield from _compliance(
        f"{shape.prefix}ReadOnlyCompliances", "All of it, and nothing can be set.", shape, 2, needed, optional, writable
    )


def _compliance(name: str, text: str, shape: Shape, number: int, needed: Sequence[str], optional: Sequence[str],
                readonly: Sequence[str]) -> Iterator[str]:  # fmt: skip
    yield f'\n{name} MODULE-COMPLIANCE\n    STATUS current\n    DESCRIPTION "{text}"\n    MODULE'
    yield _wrapped(f"MANDATORY-GROUPS {{ {', '.join(needed)} }}")
    yield from (f'    GROUP {group}\n    DESCRIPTION "Where there are receivers."' for group in optional)
    yield from (f'    OBJECT {item}\n    MIN-ACCESS read-only\n    DESCRIPTION "Need not be set."' for item in readonly)
    yield f"    ::= {{ {shape.prefix}Compliances {number} }}"


def _accesses(of: Module) -> Iterator[tuple[str, str]]:
    """Every object and its MAX-ACCESS."""
    yield from ((scalar.name, scalar.access) for scalar in of.scalars)
    yield from ((column.name, column.access) for table in of.tables for column in table.columns)


Group = tuple[str, Sequence[str], bool]
"""A group's name and members, and whether they are notifications."""


def _groups(of: Module, shape: Shape) -> Iterator[Group]:
    """VM-MIB's in RFC 7666's order; ours: the scalars, each table, what is only told, the notifications."""
    shown = [scalar.name for scalar in of.scalars if scalar.access != "accessible-for-notify"]
    tables = [(f"{table.name.removesuffix('Table')}Group", table) for table in of.tables]
    names = shape.groups or (f"{shape.prefix}ScalarsGroup", *(name for name, _ in tables))
    yield names[0], shown, False
    for name, table in zip(names[1:], of.tables, strict=True):
        yield name, [column.name for column in table.columns if column.access != "accessible-for-notify"], False
    told = [name for name, access in _accesses(of) if access == "accessible-for-notify"]
    notes = [note.name for note in of.notifications]
    if of.name == "VM-MIB":
        yield "vmPerVMNotificationOptionalGroup", notes[:10], True
        yield "vmBulkNotificationsVariablesGroup", told, False
        yield "vmBulkNotificationOptionalGroup", notes[10:], True
    else:
        yield f"{shape.prefix}NotificationVariablesGroup", told, False
        yield f"{shape.prefix}NotificationOptionalGroup", notes, True


# --- documentation


def markdown(modules: Sequence[Module] = MODULES) -> Iterator[str]:
    """The lines of the documentation's table of objects."""
    yield "| object | OID | syntax | what it says |\n| --- | --- | --- | --- |"
    for of in modules:
        yield f"| **{of.name}** | | | |"
        for scalar in of.scalars:
            yield f"| {_marked(scalar)} | {_dotted(of.oid(scalar))}.0 | {scalar.syntax.name} | {scalar.text} |"
        for table in of.tables:
            yield f"| **{table.name}** | {_dotted(of.oid(table))} | by {', '.join(table.index)} | {table.text} |"
            for column in table.columns:
                name = _dotted((*of.oid(table), 1, column.number))
                yield f"| {_marked(column)} | {name} | {column.syntax.name} | {column.text} |"
        for note in of.notifications:
            yield f"| {note.name} (told) | {_dotted((*of.root, 0, note.number))} | | {note.text} |"


def _marked(item: Scalar | Column[Any]) -> str:
    mark = {"read-write": " (can be set)", "read-create": " (can be set)", "accessible-for-notify": " (told)"}
    return item.name + mark.get(item.access, "")


def _dotted(oid: Oid) -> str:
    return ".".join(map(str, oid))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a MIB module, or the documentation's table of objects.")
    parser.add_argument("what", choices=[*SHAPES, "markdown"])
    what = parser.parse_args().what
    lines = markdown() if what == "markdown" else module(next(each for each in MODULES if each.name == what))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
