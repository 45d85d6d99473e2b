"""Tables, modules and documentation are of one source; VM-MIB's names and numbers are RFC 7666's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frontinus_snmp import mib
from frontinus_snmp.objects import MODULES, vm
from frontinus_snmp.objects.kinds import TAGS

ROOT = Path(__file__).parents[3]
WRITTEN = [module for module in MODULES if not module.external]


@pytest.mark.parametrize("name", [module.name for module in WRITTEN])
def test_the_module_is_the_tables(name: str) -> None:
    of = next(module for module in WRITTEN if module.name == name)
    assert (ROOT / "mibs" / f"{name}.txt").read_text() == "\n".join(mib.module(of)) + "\n", (
        f"python -m frontinus_snmp.mib {name} > mibs/{name}.txt"
    )


def test_the_documentation_is_the_tables() -> None:
    assert "\n".join(mib.markdown()) in (ROOT / "docs/snmp-objects.md").read_text(), (
        "python -m frontinus_snmp.mib markdown"
    )


def test_no_name_and_no_place_is_there_twice() -> None:
    names = [item.name for module in MODULES for item in (*module.scalars, *module.tables, *module.notifications)]
    names += [column.name for module in MODULES for table in module.tables for column in table.columns]
    assert len(names) == len(set(names))
    places = [module.oid(item) for module in MODULES for item in (*module.scalars, *module.tables)]
    assert len(places) == len(set(places))
    for module in MODULES:
        for table in module.tables:
            numbers = [member.number for member in (*table.own, *table.columns)]
            assert len(numbers) == len(set(numbers)), table.name


def test_every_syntax_has_an_encoder_and_what_can_be_set_has_a_way() -> None:
    for module in MODULES:
        for scalar in module.scalars:
            assert scalar.syntax.tag in TAGS
            assert (scalar.access == "read-write") == (scalar.change is not None), scalar.name
        for table in module.tables:
            assert all(column.syntax.tag in TAGS for column in table.columns)
            assert any(column.writable for column in table.columns) == (table.change is not None), table.name


RFC_7666 = """
vmHvSoftware 1.1.1 ro|vmHvVersion 1.1.2 ro|vmHvObjectID 1.1.3 ro|vmHvUpTime 1.1.4 ro|vmNumber 1.2 ro|vmTableLastChange 1.3 ro
vmPerVMNotificationsEnabled 1.9 rw|vmBulkNotificationsEnabled 1.10 rw|vmAffectedVMs 1.11 told
vmName 1.4.1.2 ro|vmUUID 1.4.1.3 ro|vmOSType 1.4.1.4 ro|vmAdminState 1.4.1.5 ro|vmOperState 1.4.1.6 ro|vmAutoStart 1.4.1.7 ro
vmPersistent 1.4.1.8 ro|vmCurCpuNumber 1.4.1.9 ro|vmMinCpuNumber 1.4.1.10 ro|vmMaxCpuNumber 1.4.1.11 ro|vmMemUnit 1.4.1.12 ro
vmCurMem 1.4.1.13 ro|vmMinMem 1.4.1.14 ro|vmMaxMem 1.4.1.15 ro|vmUpTime 1.4.1.16 ro|vmCpuTime 1.4.1.17 ro
vmCpuCoreTime 1.5.1.2 ro|vmCpuAffinity 1.6.1.3 ro
vmStorageParent 1.7.1.3 ro|vmStorageSourceType 1.7.1.4 ro|vmStorageSourceTypeString 1.7.1.5 ro|vmStorageResourceID 1.7.1.6 ro
vmStorageAccess 1.7.1.7 ro|vmStorageMediaType 1.7.1.8 ro|vmStorageMediaTypeString 1.7.1.9 ro|vmStorageSizeUnit 1.7.1.10 ro
vmStorageDefinedSize 1.7.1.11 ro|vmStorageAllocatedSize 1.7.1.12 ro|vmStorageReadIOs 1.7.1.13 ro|vmStorageWriteIOs 1.7.1.14 ro
vmStorageReadOctets 1.7.1.15 ro|vmStorageWriteOctets 1.7.1.16 ro|vmStorageReadLatency 1.7.1.17 ro
vmStorageWriteLatency 1.7.1.18 ro|vmNetworkIfIndex 1.8.1.2 ro|vmNetworkParent 1.8.1.3 ro|vmNetworkModel 1.8.1.4 ro
vmNetworkPhysAddress 1.8.1.5 ro
"""
"""Every accessible object of the RFC: its place below 1.3.6.1.2.1.236 and what may be done with it."""
ACCESS = {"read-only": "ro", "read-write": "rw", "accessible-for-notify": "told"}


def test_vm_mib_is_rfc_7666s_object_for_object() -> None:
    expected = {tuple(entry.split()) for entry in re.split(r"[|\n]", RFC_7666.strip())}
    found = {(s.name, ".".join(map(str, s.place)), ACCESS[s.access]) for s in vm.MODULE.scalars}
    found |= {
        (c.name, ".".join(map(str, (*t.place, 1, c.number))), ACCESS[c.access]) for t in vm.TABLES for c in t.columns
    }
    assert found == expected


def test_vm_mibs_notifications_are_the_rfcs() -> None:
    words = [
        "Running",
        "Shuttingdown",
        "Shutdown",
        "Paused",
        "Suspending",
        "Suspended",
        "Resuming",
        "Migrating",
        "Crashed",
        "Deleted",
    ]
    assert [(note.number, note.name) for note in vm.NOTIFICATIONS] == [
        *((number, f"vm{word}") for number, word in enumerate(words, 1)),
        *((number, f"vmBulk{word}") for number, word in enumerate(words, 11)),
    ]  # fmt: skip
    assert {note.objects for note in vm.NOTIFICATIONS[:9]} == {("vmName", "vmUUID", "vmOperState")}
    assert vm.NOTIFICATIONS[9].objects == ("vmName", "vmUUID", "vmOperState", "vmPersistent")
    assert {note.objects for note in vm.NOTIFICATIONS[10:]} == {("vmAffectedVMs",)}


def test_full_compliance_asks_for_the_rfcs_groups() -> None:
    text = " ".join((ROOT / "mibs/VM-MIB.txt").read_text().split())
    full = text.partition("vmFullCompliances MODULE-COMPLIANCE")[2].partition("::=")[0]
    for group in ("Hypervisor", "VirtualMachine", "Cpu", "CpuAffinity", "Storage", "Network"):
        assert re.search(rf"MANDATORY-GROUPS {{[^}}]*\bvm{group}Group\b", full), group
    for group in ("PerVMNotificationOptional", "BulkNotificationsVariables", "BulkNotificationOptional"):
        assert f"GROUP vm{group}Group" in full
    assert "MIN-ACCESS" not in full
