"""Every object of FRONTINUS-MIB has an instance where there is something to say, and what it says is what the engine said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from frontinus.api.networks import LeaseView, NetworkView
from frontinus.api.storage import PoolView, VolumeView
from frontinus.api.views import BlockStats, GuestStats, GuestView, HostView, InterfaceStats, JobView, MemoryStats
from frontinus_snmp import ber, store
from frontinus_snmp.ber import Oid
from frontinus_snmp.objects import MODULES, own
from frontinus_snmp.objects.own_guests import date, kib
from frontinus_snmp.rows import Guest, Node, Places, State
from frontinus_snmp.rtnetlink import LinkStats
from frontinus_snmp.tree import Shown, Tree, View

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
MODULE = own.module()


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    view = GuestView(uuid=UUID, name="web", state="paused", reason="I/O error", id=7, active=True, autostart=True,
            updated=True, title="t",
                     vcpus=2, max_vcpus=4, memory=2**30, max_memory=2**31, since=1_800_000_000, tainted=("a", "b"), job="dump",
                     machine="q35", virt_type="kvm")  # fmt: skip
    memory = MemoryStats(current=2**29, rss=2**28, unused=1024, available=2048, usable=3072, disk_caches=4096, swap_in=5,
            swap_out=6,
                         major_faults=7, minor_faults=8)  # fmt: skip
    nic = InterfaceStats(index=0, name="vnet3", alias="net0", mac="52:54:00:12:34:56", rx_bytes=1, rx_packets=2, rx_errors=3,
            rx_drops=4,
                         tx_bytes=5, tx_packets=6, tx_errors=7, tx_drops=8)  # fmt: skip
    disk = BlockStats(
        index=0,
        name="vda",
        alias="virtio-disk0",
        flush_requests=1,
        flush_time=2_999,
        read_errors=3,
        write_errors=4,
        physical=5,
    )
    figures = GuestStats(uuid=UUID, name="web", memory=memory, interfaces=(nic,), blocks=(disk,))
    host = HostView(hostname="h", uuid=UUID, arch="x86_64", cpu_model="m", cpus=8, sockets=1, cores=4, threads=2, numa_nodes=1,
                    memory=2**34, memory_free=2**33, cpu_mhz=2400, kvm=True)  # fmt: skip
    job = JobView(id="3", kind="dump", state="failed", started=1_800_000_000, guest=UUID, progress=0.255, processed=1, total=2,
                  ended=1_800_000_001, error="broken")  # fmt: skip
    lease = LeaseView(network=UUID, interface="br0", family="ipv4", address="10.0.0.5", prefix=24, expires=1_800_000_000,
            mac=nic.mac,
                      hostname="web", client_id="01")  # fmt: skip
    state = State(
        guests=[Guest(17, view, Places(), figures=figures)], numbers={UUID: 17}, counters=Counter(), host=host, version="1",
                connected=1.0,
        nodes=[((1,), Node("0-7", 2**34, 2**33))], jobs=[(4, job)], definitions={"web": Path("/web.xml")},
        pools=[(5, PoolView(uuid=UUID, name="p", kind="dir", state="degraded", active=True, path="/p", capacity=3, allocation=1,
                            available=2, volumes=1))],
        volumes=[((5, 1), VolumeView(pool="p", name="v", key="k", path="/p/v", kind="block", format="raw", capacity=9,
                allocation=8))],
        networks=[(6, NetworkView(uuid=UUID, name="n", active=True, bridge="br0", forward="route", domain="d", ports=1, leases=1))],
        leases=[((6, 4, 10, 0, 0, 5), lease)], links={"br0": LinkStats("br0", 12)}, numbering=store.Numbers(tmp_path),
    )  # fmt: skip
    return Tree(state, MODULES).shown(View(frozenset({MODULE.root})))


def content(shown: Shown, name: str, *index: int) -> bytes | int:
    """The value of an object."""
    scalars = {scalar.name: MODULE.oid(scalar) for scalar in MODULE.scalars}
    oid: Oid = scalars.get(name) or _column(name)
    cell = shown.find((*oid, *(index or (0,))))
    assert cell is not None, name
    _, start, stop = ber.head(cell, 0, len(cell))
    tag, at, end = ber.head(cell, ber.head(cell, start, stop)[2], stop)
    return cell[at:end] if tag == ber.OCTETS else int.from_bytes(cell[at:end], "big", signed=tag == ber.INTEGER)


def _column(name: str) -> Oid:
    table, column = MODULE.column(name)
    return (*MODULE.oid(table), 1, column.number)


def test_every_object_has_an_instance(shown: Shown) -> None:
    names = shown.names()
    for table in MODULE.tables:
        for column in table.columns:
            place = (*MODULE.oid(table), 1, column.number)
            there = any(name[: len(place)] == place for name in names)
            assert there == (column.access != "accessible-for-notify" and column.name != "frnGuestDefinition"), (
                column.name
            )
    assert all((*MODULE.oid(scalar), 0) in names for scalar in MODULE.scalars)


@pytest.mark.parametrize(("name", "index", "expected"), [
    ("frnGuestState", (17,), 3), ("frnGuestReason", (17,), b"I/O error"), ("frnGuestId", (17,), 7), ("frnGuestUpdated", (17,), 1),
    ("frnGuestSince", (17,), date(1_800_000_000)), ("frnGuestTainted", (17,), b"a b"), ("frnGuestJob", (17,), b"dump"),
    ("frnGuestRowStatus", (17,), 1), ("frnGuestMaxVcpus", (17,), 4), ("frnGuestVirtType", (17,), b"kvm"),
    ("frnMemoryBalloon", (17,), 2**19), ("frnMemoryMaximum", (17,), 2**21), ("frnMemoryUsable", (17,), 3),
    ("frnMemorySwapOut", (17,), 6),
    ("frnInterfaceInOctets", (17, 1), 1), ("frnInterfaceInDrops", (17, 1), 4), ("frnInterfaceOutErrors", (17, 1), 7),
    ("frnDiskFlushLatency", (17, 1), 2), ("frnDiskWriteErrors", (17, 1), 4), ("frnDiskPhysical", (17, 1), 5),
    ("frnJobState", (4,), 4), ("frnJobVmIndex", (4,), 17), ("frnJobProgress", (4,), 25), ("frnJobError", (4,), b"broken"),
    ("frnPoolState", (5,), 3), ("frnPoolAvailable", (5,), 2), ("frnVolumeKind", (5, 1), 1), ("frnVolumeCapacity", (5, 1), 9),
    ("frnNetworkIfIndex", (6,), 12), ("frnNetworkForward", (6,), 3), ("frnLeaseMac", (6, 4, 10, 0, 0, 5),
    bytes.fromhex("525400123456")),
    ("frnHostMemoryFree", (0,), 2**23), ("frnHostKvm", (0,), 1), ("frnNodeCpus", (1,), b"0-7"), ("frnGuestNextIndex", (0,), 1),
    ("frnDefinitionName", (1,), b"web"), ("frnConnected", (0,), 1),
])  # fmt: skip
def test_an_object(shown: Shown, name: str, index: Oid, expected: bytes | int) -> None:
    assert content(shown, name, *index) == expected


def test_a_date_is_rfc_2579s() -> None:
    assert date(1_800_000_000.25) == bytes((0x07, 0xEB, 1, 15, 8, 0, 0, 2, ord("+"), 0, 0)) and date(0) is None


def test_more_than_a_gauge_holds_is_the_most_it_holds() -> None:
    assert kib(2**50) == 2**32 - 1 and kib(2**40) == 2**30 and kib(None) is None
