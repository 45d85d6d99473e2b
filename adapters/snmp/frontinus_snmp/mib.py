"""VM-MIB as a module that managers can load, written from the table of objects: `python -m frontinus_snmp.mib > VM-MIB.txt`.

Names, numbers and syntaxes are RFC 7666's; the descriptions are ours and say what this agent answers. The module imports
nothing that a host without the IETF's modules lacks beside SNMPv2's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from frontinus_snmp.ber import Oid
from frontinus_snmp.objects import NOTIFICATIONS, SCALARS, TABLES, VM_MIB, Column, Index, Scalar, Syntax, Table

TEXTUAL = ("VirtualMachineIndex", "VirtualMachineIndexOrZero", "VirtualMachineCpuIndex", "VirtualMachineStorageIndex",
           "VirtualMachineNetworkIndex")  # fmt: skip
SIZES = {"SnmpAdminString": "OCTET STRING (SIZE (0..255))", "UUIDorZero": "OCTET STRING (SIZE (0 | 16))",
         "InterfaceIndexOrZero": "Integer32 (0..2147483647)", "IANAStorageMediaType": ""}  # fmt: skip
"""Conventions of modules that many hosts lack, as what they are made of."""
SWITCHES = ("vmPerVMNotificationsEnabled", "vmBulkNotificationsEnabled")
"""Objects that RFC 7666 lets be written; this agent does not."""
NOTIFIED = ("vmName", "vmUUID", "vmOperState")


def module() -> Iterator[str]:
    """The lines of the module."""
    yield from HEAD.splitlines()
    yield from _conventions()
    for scalar in SCALARS:
        if scalar.oid[: len(VM_MIB)] == VM_MIB:
            access = "read-write" if scalar.name in SWITCHES else "read-only"
            yield from _object(scalar.name, _syntax(scalar.syntax), access, scalar.text, _place(scalar.oid))
    for table in TABLES:
        yield from _table(table)
    for number, name, text in NOTIFICATIONS:
        objects = (*NOTIFIED, "vmPersistent") if name == "vmDeleted" else NOTIFIED
        yield f"\n{name} NOTIFICATION-TYPE"
        yield f"    OBJECTS {{ {', '.join(objects)} }}"
        yield from (f'    STATUS current\n    DESCRIPTION "{text}"\n    ::= {{ vmNotifications {number} }}').split("\n")
    yield from _conformance()
    yield "\nEND"


HEAD = """VM-MIB DEFINITIONS ::= BEGIN

-- Objects as in RFC 7666, with descriptions of what Frontinus answers. Written by frontinus_snmp.mib; do not edit.

IMPORTS
    MODULE-IDENTITY, OBJECT-TYPE, NOTIFICATION-TYPE, TimeTicks, Counter64, Integer32, mib-2 FROM SNMPv2-SMI
    OBJECT-GROUP, NOTIFICATION-GROUP, MODULE-COMPLIANCE FROM SNMPv2-CONF
    TEXTUAL-CONVENTION, PhysAddress, TruthValue FROM SNMPv2-TC;

vmMIB MODULE-IDENTITY
    LAST-UPDATED "201510120000Z"
    ORGANIZATION "IETF (objects); Frontinus (descriptions)"
    CONTACT-INFO "See the documentation of Frontinus."
    DESCRIPTION "Virtual machines that a hypervisor controls."
    REVISION "201510120000Z"
    DESCRIPTION "RFC 7666."
    ::= { mib-2 236 }

vmNotifications OBJECT IDENTIFIER ::= { vmMIB 0 }
vmObjects OBJECT IDENTIFIER ::= { vmMIB 1 }
vmConformance OBJECT IDENTIFIER ::= { vmMIB 2 }
vmHypervisor OBJECT IDENTIFIER ::= { vmObjects 1 }
vmCompliances OBJECT IDENTIFIER ::= { vmConformance 1 }
vmGroups OBJECT IDENTIFIER ::= { vmConformance 2 }"""


def _conventions() -> Iterator[str]:
    for name in TEXTUAL:
        least = 0 if name.endswith("OrZero") else 1
        yield f"\n{name} ::= TEXTUAL-CONVENTION"
        yield '    DISPLAY-HINT "d"\n    STATUS current'
        yield f'    DESCRIPTION "A number{", or 0 for none" if not least else ""}."'
        yield f"    SYNTAX Integer32 ({least}..2147483647)"
    seen = set(SIZES)
    for syntax in (column.syntax for table in TABLES for column in table.columns):
        if syntax.names is not None and syntax.name not in (*seen, "INTEGER", "TruthValue"):
            seen.add(syntax.name)
            yield f"\n{syntax.name} ::= TEXTUAL-CONVENTION"
            yield f'    STATUS current\n    DESCRIPTION "States by number."\n    SYNTAX {_enumeration(syntax)}'


def _enumeration(syntax: Syntax) -> str:
    assert syntax.names is not None
    return f"INTEGER {{ {', '.join(f'{name}({number})' for number, name in syntax.names.items())} }}"


def _syntax(syntax: Syntax) -> str:
    if syntax.name in ("INTEGER", "IANAStorageMediaType"):
        return _enumeration(syntax)
    return SIZES.get(syntax.name) or syntax.name


def _place(oid: Oid) -> str:
    below = oid[len(VM_MIB) + 1 :]
    return f"vmHypervisor {below[1]}" if below[0] == 1 else f"vmObjects {below[0]}"


def _object(name: str, syntax: str, access: str, text: str, place: str) -> Iterator[str]:
    yield f"\n{name} OBJECT-TYPE"
    yield f"    SYNTAX {syntax}\n    MAX-ACCESS {access}\n    STATUS current"
    yield f'    DESCRIPTION "{text}"'
    yield f"    ::= {{ {place} }}"


def _table(table: Table) -> Iterator[str]:
    row = table.entry[0].upper() + table.entry[1:]
    yield from _object(table.name, f"SEQUENCE OF {row}", "not-accessible", table.text, _place(table.oid))
    lines = list(_object(table.entry, row, "not-accessible", "One row.", f"{table.name} 1"))
    yield from [*lines[:-1], f"    INDEX {{ {', '.join(table.index)} }}", lines[-1]]
    members: list[Index | Column] = [*table.own, *table.columns]
    yield f"\n{row} ::= SEQUENCE {{"
    yield ",\n".join(f"    {member.name} {_base(member)}" for member in members)
    yield "}"
    for member in members:
        if isinstance(member, Index):
            yield from _object(
                member.name, member.syntax, "not-accessible", member.text, f"{table.entry} {member.number}"
            )
        else:
            yield from _object(
                member.name, _syntax(member.syntax), "read-only", member.text, f"{table.entry} {member.number}"
            )


def _base(member: Index | Column) -> str:
    """A member's syntax without its limits, as a SEQUENCE has it."""
    words = member.syntax if isinstance(member, Index) else _syntax(member.syntax)
    return words.split(" (")[0].split(" {")[0]


GROUPS = ("vmVirtualMachineGroup", "vmCpuGroup", "vmCpuAffinityGroup", "vmStorageGroup", "vmNetworkGroup")
"""The group of each table; numbers from 2. The scalars' is vmHypervisorGroup, 1."""


def _conformance() -> Iterator[str]:
    objects = [
        [scalar.name for scalar in SCALARS if _ours(scalar)],
        *([c.name for c in table.columns] for table in TABLES),
    ]
    groups = ("vmHypervisorGroup", *GROUPS)
    for number, (group, names) in enumerate(zip(groups, objects, strict=True), 1):
        yield f"\n{group} OBJECT-GROUP\n    OBJECTS {{ {', '.join(names)} }}"
        yield f'    STATUS current\n    DESCRIPTION "What belongs together."\n    ::= {{ vmGroups {number} }}'
    yield "\nvmPerVMNotificationOptionalGroup NOTIFICATION-GROUP"
    yield f"    NOTIFICATIONS {{ {', '.join(name for _, name, _ in NOTIFICATIONS)} }}"
    yield '    STATUS current\n    DESCRIPTION "Changes of one guest."\n    ::= { vmGroups 7 }'
    yield "\nvmReadOnlyCompliances MODULE-COMPLIANCE"
    yield '    STATUS current\n    DESCRIPTION "All groups, nothing writable."'
    yield f"    MODULE\n    MANDATORY-GROUPS {{ {', '.join(groups)} }}"
    yield '    GROUP vmPerVMNotificationOptionalGroup\n    DESCRIPTION "Where there are receivers."'
    for name in SWITCHES:
        yield f'    OBJECT {name}\n    MIN-ACCESS read-only\n    DESCRIPTION "The configuration decides."'
    yield "    ::= { vmCompliances 2 }"


def _ours(scalar: Scalar) -> bool:
    return scalar.oid[: len(VM_MIB)] == VM_MIB


def markdown() -> Iterator[str]:
    """The lines of the documentation's table of objects."""
    yield "| object | OID | syntax | what it says |\n| --- | --- | --- | --- |"
    for scalar in SCALARS:
        yield f"| {scalar.name} | {_dotted(scalar.oid)}.0 | {scalar.syntax.name} | {scalar.text} |"
    for table in TABLES:
        yield f"| **{table.name}** | {_dotted(table.oid)} | by {', '.join(table.index)} | {table.text} |"
        for column in table.columns:
            yield f"| {column.name} | {_dotted((*table.oid, 1, column.number))} | {column.syntax.name} | {column.text} |"


def _dotted(oid: Oid) -> str:
    return ".".join(map(str, oid))


if __name__ == "__main__":
    sys.stdout.write("\n".join(markdown() if "--markdown" in sys.argv else module()) + "\n")
