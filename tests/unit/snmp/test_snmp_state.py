"""What the agent keeps and reads beside guests: numbers on a full disk, stored definitions, pools, the host, the kernel's links."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed, InvalidXML
from frontinus.api.events import LeaseEvent, NetworkEvent, PoolEvent, VolumeEvent
from frontinus.api.networks import LeaseView, NetworkView
from frontinus.api.storage import PoolView
from frontinus.api.views import Snapshot
from frontinus_snmp import definitions, hostres, rtnetlink, store
from frontinus_snmp.fabric import Fabric
from frontinus_snmp.hostside import lease_index, nodes
from frontinus_snmp.notify import guest_list
from frontinus_snmp.rows import Places

UUIDS = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(9)]


# --- numbers


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a line would run into the next one, and its guest would have another number after a restart."""
    numbers = store.Numbers(tmp_path)
    numbers.learn(UUIDS[:1])
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) > 20:
            return real(fd, data[:20])
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no space"):
        numbers.learn(UUIDS[1:3])
    monkeypatch.undo()
    assert numbers.numbers == {UUIDS[0]: 1}
    numbers.learn(UUIDS[1:2])
    assert store.Numbers(tmp_path).numbers == numbers.numbers == {UUIDS[0]: 1, UUIDS[1]: 4}


def test_a_number_that_did_not_reach_the_disk_is_not_given_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = store.Numbers(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        numbers.learn(UUIDS[:1])
    monkeypatch.undo()
    numbers.learn(UUIDS[1:2])
    assert store.Numbers(tmp_path).numbers == {UUIDS[1]: 2}


def test_a_manager_chooses_only_the_next_number(tmp_path: Path) -> None:
    numbers = store.Numbers(tmp_path)
    for number in (0, 2, -1):
        with pytest.raises(ValueError, match="not the next"):
            numbers.assign(UUIDS[0], number)
    numbers.assign(UUIDS[0], numbers.next)
    with pytest.raises(ValueError, match="not the next"):
        numbers.assign(UUIDS[0], numbers.next)
    assert store.Numbers(tmp_path).numbers == {UUIDS[0]: 1}


def test_places_are_forgotten_but_not_given_again() -> None:
    places = Places()
    assert [places.number("job", name) for name in ("a", "b")] == [1, 2] and places.number("jobs", "x") == 1
    places.keep("job", {"b"})
    assert places.number("job", "a") == 3 and places.number("job", "b") == 2 and places.number("jobs", "x") == 1


# --- stored definitions


def test_a_stored_definition_becomes_a_guest_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "web.xml").write_text(
        "<domain><name>old</name><uuid>old</uuid><devices><interface><mac address='x'/></interface></devices></domain>"
    )
    (tmp_path / "notes.txt").write_text("x")
    found = definitions.stored(tmp_path)
    assert list(found) == ["web"]
    made = definitions.instance(found["web"], UUIDS[0], "new")
    assert f"<uuid>{UUIDS[0]}</uuid>" in made and "<name>new</name>" in made and "mac" not in made
    assert "<name>old</name>" in definitions.instance(found["web"], UUIDS[0], None)


def test_what_others_can_write_is_no_definition(tmp_path: Path) -> None:
    file = tmp_path / "web.xml"
    file.write_text("<domain/>")
    file.chmod(0o666)
    with pytest.raises(HostFailed):
        definitions.instance(file, UUIDS[0], None)
    (tmp_path / "link.xml").symlink_to(file)
    with pytest.raises(HostFailed):
        definitions.instance(tmp_path / "link.xml", UUIDS[0], None)
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError):
        definitions.stored(tmp_path)
    assert definitions.stored(None) == {}


@pytest.mark.parametrize("content", ["<domain>", "<!DOCTYPE x []><domain/>", "<domain>" + "x" * 2**20 + "</domain>"])
def test_a_broken_definition_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "web.xml").write_text(content)
    with pytest.raises(InvalidXML):
        definitions.instance(tmp_path / "web.xml", UUIDS[0], None)


# --- pools and networks


def pool(available: int, uuid: str = UUIDS[0]) -> PoolView:
    return PoolView(uuid=uuid, name="p", kind="dir", state="running", active=True, capacity=1000, available=available)


def event(view: PoolView) -> PoolEvent:
    return PoolEvent(uuid=view.uuid, name=view.name, kind="changed", pool=view)


def test_a_full_pool_is_told_of_once_until_it_has_room_again() -> None:
    fabric = Fabric(full=90)
    told = [list(fabric.replace(Snapshot(generation=1, guests=(), pools=(pool(500),))))]
    told += [list(fabric.take(event(pool(available)))) for available in (101, 100, 50, 300, 20)]
    assert [[view.available for view in views] for views in told] == [[], [], [100], [], [], [20]]


def test_what_must_be_read_again() -> None:
    fabric = Fabric()
    network = NetworkView(uuid=UUIDS[1], name="lan", active=True)
    list(fabric.replace(Snapshot(generation=1, guests=(), pools=(pool(500),), networks=(network,))))
    assert (fabric.stale_pools, fabric.stale_networks) == ({UUIDS[0]}, {UUIDS[1]})
    fabric.stale_pools, fabric.stale_networks = set(), set()
    lease = LeaseView(network="lan", interface="virbr0", family="ipv4", address="10.0.0.5", prefix=24)
    for item in (
        VolumeEvent(pool=UUIDS[0], volume="v", kind="created"),
        LeaseEvent(network="lan", kind="added", lease=lease),
    ):
        assert not list(fabric.take(item))
    assert (fabric.stale_pools, fabric.stale_networks) == ({UUIDS[0]}, {UUIDS[1]})
    list(fabric.take(NetworkEvent(uuid=UUIDS[1], name="lan", kind="undefined")))
    assert not fabric.networks


def test_a_lease_is_found_by_its_address() -> None:
    lease = LeaseView(network="n", interface="b", family="ipv6", address="fd00::5", prefix=64)
    assert lease_index(3, lease) == (3, 16, 0xFD, *[0] * 14, 5)


def test_a_list_of_guests_is_rfc_7666s() -> None:
    assert guest_list({1}) == b"\x80" and guest_list({8}) == b"\x01" and guest_list({9, 1}) == b"\x80\x80"


# --- the host


def test_the_hosts_resources_are_read(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    for name in ("1", "77", "sys"):
        (tmp_path / name).mkdir()
    files = {
        "uptime": "12.5 3.0\n",
        "meminfo": "MemTotal:  8000000 kB\nMemAvailable:  2000000 kB\nSwapTotal:  0 kB\nSwapFree:  0 kB\n",
        "stat": "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 10 0 10 70 10 0 0 0 0 0\ncpu1 100 0 0 0 0 0 0 0 0 0\n",
        "cmdline": "quiet\n",
        "self/mounts": "proc /proc proc rw 0 0\n/dev/root / ext4 rw 0 0\n/dev/root /again ext4 rw 0 0\nnas:/x /mnt nfs rw 0 0\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    reader = hostres.Reader(tmp_path)
    found = reader.read()
    assert (found.uptime, found.processes, found.memory, found.command_line) == (12.5, 2, 8000000, "quiet")
    assert found.loads == [20, 100] and [each.name for each in found.stores] == ["Memory", "Swap", "/"]
    assert (found.stores[0].size, found.stores[0].used, found.stores[0].unit) == (8000000, 6000000, 1024)
    (tmp_path / "stat").write_text("cpu0 20 0 20 140 20 0 0 0 0 0\ncpu1 100 0 0 100 0 0 0 0 0 0\n")
    assert reader.read().loads == [20, 0]
    assert hostres.Reader(tmp_path / "none").read() == hostres.HostResources()


def test_a_large_file_system_has_larger_units() -> None:
    assert hostres.fitting(4096, 2**31) == (4096 * 1024, 2**21) and hostres.fitting(4096, 2**31 - 1) == (
        4096,
        2**31 - 1,
    )


def test_nodes_are_read(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"node{number}").mkdir()
        (tmp_path / f"node{number}/cpulist").write_text("0-1\n")
        (tmp_path / f"node{number}/meminfo").write_text(
            f"Node {number} MemTotal:  100 kB\nNode {number} MemFree:  40 kB\n"
        )
    (tmp_path / "node2").mkdir()
    assert [(index, node.cpus, node.memory, node.free) for index, node in nodes(tmp_path)] == [
        ((1,), "0-1", 102400, 40960), ((2,), "0-1", 102400, 40960),
    ]  # fmt: skip


def link_message(index: int, *attributes: tuple[int, bytes], kind: int = 16) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, 0x1003, 0)
    for number, content in attributes:
        body += struct.pack("=HH", 4 + len(content), number) + content + bytes(-len(content) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def test_the_kernels_answer_is_read() -> None:
    stats = struct.pack("=10Q", *range(1, 11))
    data = link_message(
        7,
        (3, b"vnet0\0"),
        (10, struct.pack("=I", 3)),
        (4, struct.pack("=I", 1500)),
        (1, b"\xfe\0\0\0\0\1"),
        (23, stats),
        (16, b"\6"),
    )
    data += link_message(0, kind=3)
    (found,) = rtnetlink.parse(data)
    assert (found.name, found.index, found.master, found.mtu, found.operstate, found.up) == (
        "vnet0",
        7,
        3,
        1500,
        6,
        True,
    )
    assert (found.rx_packets, found.tx_packets, found.rx_bytes, found.tx_bytes, found.tx_dropped, found.multicast) == (
        1,
        2,
        3,
        4,
        8,
        9,
    )
    assert rtnetlink.ended(data) and not rtnetlink.ended(link_message(7))


@pytest.mark.parametrize("cut", [8, 20, 40])
def test_a_cut_off_answer_is_an_error_or_less(cut: int) -> None:
    data = link_message(7, (3, b"vnet0\0"), (23, bytes(80)))
    with contextlib.suppress(OSError, struct.error):
        assert len(list(rtnetlink.parse(data[:cut]))) <= 1


def test_this_hosts_own_devices_are_known() -> None:

    assert {name: index for index, name in socket.if_nameindex()} == {
        link.name: link.index for link in rtnetlink.links().values()
    }
