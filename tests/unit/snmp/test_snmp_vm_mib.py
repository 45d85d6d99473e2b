"""Every object of VM-MIB, one by one: what it says of a guest that is known in full, in the RFC's units and numbers."""

from __future__ import annotations

import time
import uuid

import pytest

from frontinus.api.views import BlockStats, CpuStats, GuestStats, GuestView, InterfaceStats, MemoryStats, VcpuStats
from frontinus_snmp import ber
from frontinus_snmp.ber import Oid
from frontinus_snmp.details import details
from frontinus_snmp.objects import MODULES, vm
from frontinus_snmp.roots import ROOT
from frontinus_snmp.rows import Guest, Places, State
from frontinus_snmp.rtnetlink import LinkStats
from frontinus_snmp.tree import Tree, View

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
XML = """<domain><metadata><l:libosinfo xmlns:l='urn:l'><l:os id='http://debian.org/debian/12'/></l:libosinfo></metadata>
<cputune><vcpupin vcpu='1' cpuset='2'/></cputune><devices>
<disk type='file'><driver type='qcow2'/><source file='/disks/a.qcow2'/><target dev='vda'/></disk>
<disk type='network' device='cdrom'><driver type='raw'/><source protocol='rbd' name='pool/b'/><target dev='sda'/><readonly/></disk>
<interface><mac address='52:54:00:12:34:56'/><model type='virtio'/></interface></devices></domain>"""
NOW = 1_800_000_000.0


def guest() -> Guest:
    view = GuestView(uuid=UUID, name="web", state="running", reason="booted", id=7, active=True, autostart=True, vcpus=2,
            max_vcpus=4,
                     memory=2**30, max_memory=2**31, since=NOW - 60)  # fmt: skip
    figures = GuestStats(
        uuid=UUID, name="web", id=7, cpu=CpuStats(time=5_000_999), memory=MemoryStats(current=2**29),
        vcpus=(VcpuStats(index=0, time=7_000), VcpuStats(index=1, time=8_999)),
        blocks=(BlockStats(index=0, name="vda", read_requests=1, write_requests=2, read_bytes=3, write_bytes=4, read_time=5_000,
                           write_time=6_999, capacity=2**33, allocation=2**20 + 1),
                BlockStats(index=1, name="sda", read_requests=9)),
        interfaces=(InterfaceStats(index=0, name="vnet3", mac="52:54:00:12:34:56", rx_bytes=1),),
    )  # fmt: skip
    links = {"vnet3": LinkStats("vnet3", 41, master=5)}
    return Guest(17, view, Places(), booted=NOW - 100, figures=figures, details=details(XML), links=links, now=NOW)


def tree() -> Tree:
    started = time.monotonic() - 50
    state = State(guests=[guest()], hypervisor="QEMU", hypervisor_version="7.2.0", started=started, connected=started,
            last_change=1234,
                  numbers={UUID: 17})  # fmt: skip
    return Tree(state, MODULES)


SHOWN = tree().shown(View(frozenset({vm.VM_MIB})))
CELLS = dict(zip(SHOWN.names(), SHOWN.following((), 10_000), strict=True))


def value(name: Oid) -> tuple[int, int | bytes | Oid]:
    """Tag and value of what is shown."""
    cell = CELLS[name]
    _, start, stop = ber.head(cell, 0, len(cell))
    tag, at, end = ber.head(cell, ber.head(cell, start, stop)[2], stop)
    if tag == ber.OCTETS:
        return tag, cell[at:end]
    if tag == ber.OID:
        return tag, ber.oid(cell, at, end)
    return tag, int.from_bytes(cell[at:end], "big", signed=tag == ber.INTEGER)


GUEST, CPU, PIN, DISK, CDROM, NIC = (17,), (17, 2), (17, 2, 3), (17, 1), (17, 2), (17, 1)
EXPECTED: dict[str, tuple[Oid, int, int | bytes | Oid]] = {
    "vmHvSoftware": ((0,), ber.OCTETS, b"QEMU"), "vmHvVersion": ((0,), ber.OCTETS, b"7.2.0"), "vmHvObjectID": ((0,), ber.OID, ROOT),
    "vmNumber": ((0,), ber.INTEGER, 1), "vmTableLastChange": ((0,), ber.TIME_TICKS, 1234),
    "vmPerVMNotificationsEnabled": ((0,), ber.INTEGER, 1), "vmBulkNotificationsEnabled": ((0,), ber.INTEGER, 2),
    "vmName": (GUEST, ber.OCTETS, b"web"), "vmUUID": (GUEST, ber.OCTETS, uuid.UUID(UUID).bytes),
    "vmOSType": (GUEST, ber.OCTETS, b"http://debian.org/debian/12"), "vmAdminState": (GUEST, ber.INTEGER, 1),
    "vmOperState": (GUEST, ber.INTEGER, 4), "vmAutoStart": (GUEST, ber.INTEGER, 2), "vmPersistent": (GUEST, ber.INTEGER, 2),
    "vmCurCpuNumber": (GUEST, ber.INTEGER, 2), "vmMinCpuNumber": (GUEST, ber.INTEGER, -1), "vmMaxCpuNumber": (GUEST,
    ber.INTEGER, 4),
    "vmMemUnit": (GUEST, ber.INTEGER, 1024), "vmCurMem": (GUEST, ber.INTEGER, 2**19), "vmMinMem": (GUEST, ber.INTEGER, -1),
    "vmMaxMem": (GUEST, ber.INTEGER, 2**21), "vmUpTime": (GUEST, ber.TIME_TICKS, 10_000), "vmCpuTime": (GUEST, ber.COUNTER64, 5000),
    "vmCpuCoreTime": (CPU, ber.COUNTER64, 8), "vmCpuAffinity": (PIN, ber.INTEGER, 1),
    "vmStorageParent": (DISK, ber.INTEGER, 0), "vmStorageSourceType": (CDROM, ber.INTEGER, 6),
    "vmStorageSourceTypeString": (CDROM, ber.OCTETS, b"rbd raw"), "vmStorageResourceID": (DISK, ber.OCTETS, b"/disks/a.qcow2"),
    "vmStorageAccess": (CDROM, ber.INTEGER, 3), "vmStorageMediaType": (CDROM, ber.INTEGER, 4),
    "vmStorageMediaTypeString": (CDROM, ber.OCTETS, b"cdrom"), "vmStorageSizeUnit": (DISK, ber.INTEGER, 1024),
    "vmStorageDefinedSize": (DISK, ber.INTEGER, 2**23), "vmStorageAllocatedSize": (DISK, ber.INTEGER, 1025),
    "vmStorageReadIOs": (DISK, ber.COUNTER64, 1), "vmStorageWriteIOs": (DISK, ber.COUNTER64, 2),
    "vmStorageReadOctets": (DISK, ber.COUNTER64, 3), "vmStorageWriteOctets": (DISK, ber.COUNTER64, 4),
    "vmStorageReadLatency": (DISK, ber.COUNTER64, 5), "vmStorageWriteLatency": (DISK, ber.COUNTER64, 6),
    "vmNetworkIfIndex": (NIC, ber.INTEGER, 41), "vmNetworkParent": (NIC, ber.INTEGER, 5), "vmNetworkModel": (NIC, ber.OCTETS,
    b"virtio"),
    "vmNetworkPhysAddress": (NIC, ber.OCTETS, bytes.fromhex("525400123456")),
}  # fmt: skip
"""Where to look, and what is there; vmHvUpTime runs, and has a test of its own."""
PLACES = {scalar.name: (*vm.VM_MIB, *scalar.place) for scalar in vm.SCALARS if scalar.access != "accessible-for-notify"} | {
    column.name: (*vm.VM_MIB, *table.place, 1, column.number) for table in vm.TABLES for column in table.columns
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in PLACES if name != "vmHvUpTime"])
def test_an_object(name: str) -> None:
    index, tag, expected = EXPECTED[name]
    assert value((*PLACES[name], *index)) == (tag, expected)


def test_the_hypervisors_time_runs() -> None:
    tag, ticks = value((*PLACES["vmHvUpTime"], 0))
    assert tag == ber.TIME_TICKS and isinstance(ticks, int) and 5000 <= ticks < 20_000


def test_what_is_not_known_has_no_instance() -> None:
    assert (*PLACES["vmStorageReadIOs"], *CDROM) in CELLS and (*PLACES["vmStorageWriteIOs"], *CDROM) not in CELLS
    assert value((*PLACES["vmStorageDefinedSize"], *CDROM)) == (ber.INTEGER, -1)
