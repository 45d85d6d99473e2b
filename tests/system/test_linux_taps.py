"""Interfaces of guests on real links, in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus.domain.host import Paths
from frontinus.domain.plan import Tap
from frontinus.linux.network.links import Links
from frontinus.linux.network.taps import host_mac
from frontinus.linux.resources import LinuxResources
from frontinus.ports.resources import Prepared
from frontinus.qemu.links import LinkCounters
from support.namespaces import in_own_network

MAC = "52:54:00:12:34:56"

pytestmark = pytest.mark.needs("ip")


async def no_journal(undo: Sequence[dict[str, object]]) -> None:
    pass


def ip(*words: str) -> list[dict[str, object]]:
    """What iproute2 does or shows: the oracle of these tests."""
    done = subprocess.run(["ip", "-json", "-details", *words], capture_output=True, text=True, check=True)
    shown: list[dict[str, object]] = json.loads(done.stdout or "[]")
    return shown


def link(name: str) -> dict[str, object]:
    return ip("link", "show", "dev", name)[0]


def names() -> set[object]:
    return {entry["ifname"] for entry in ip("link")}


def bridge(name: str, mtu: int = 1500) -> None:
    ip("link", "add", name, "mtu", str(mtu), "type", "bridge")
    ip("link", "set", name, "up")


async def tap(place: Path, resource: Tap) -> tuple[LinuxResources, Prepared]:
    host = LinuxResources(Paths(state=str(place), run=str(place)))
    return host, await host.set_up([resource], None, no_journal)


def close(prepared: Prepared) -> None:
    for fd in prepared.fds.values():
        os.close(fd)


async def gone(name: str) -> None:
    """A link is removed a moment after its last descriptor is closed."""
    async with asyncio.timeout(60):
        while name in names():  # noqa: ASYNC110  the kernel tells by netlink, but a test may ask
            await asyncio.sleep(0.01)


def gathered(name: str) -> int:
    """The frames that a link gathers: rx_max_coalesced_frames of the kernel's ethtool_coalesce."""
    answer = ctypes.create_string_buffer(struct.pack("=I88x", 0xE), 92)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8946, struct.pack("=16sQ16x", name.encode(), ctypes.addressof(answer)))
    return int(struct.unpack_from("=I", answer.raw, 8)[0])


def test_a_tap_on_a_bridge(tmp_path: Path) -> None:
    async def work() -> None:
        bridge("br0", mtu=1400)
        _, prepared = await tap(tmp_path, Tap(MAC, (5,), bridge="br0", alias="net0", isolated=True, coalesce=32))
        assert prepared.names == {"net0": "vnet0"} and list(prepared.fds) == [5] and prepared.undo == []
        shown = link("vnet0")
        assert (shown["address"], shown["master"], shown["mtu"]) == ("fe:54:00:12:34:56", "br0", 1400)
        info = shown["linkinfo"]
        assert isinstance(info, dict) and "UP" in str(shown["flags"])
        assert (info["info_kind"], info["info_slave_data"]["isolated"]) == ("tun", True)
        assert (info["info_data"]["type"], info["info_data"]["pi"], info["info_data"]["vnet_hdr"]) == (
            "tap",
            False,
            False,
        )
        assert info["info_data"]["persist"] is False and info["info_data"]["multi_queue"] is False
        assert gathered("vnet0") == 32
        close(prepared)
        await gone("vnet0")

    in_own_network(work)


def test_queues_header_and_size_of_packets(tmp_path: Path) -> None:
    async def work() -> None:
        plan = Tap(MAC, (5, 6, 7), name="mytap", mtu=9000, vnet_hdr=True, alias="net0")
        _, prepared = await tap(tmp_path, plan)
        shown = link("mytap")
        info = shown["linkinfo"]
        assert isinstance(info, dict)
        assert shown["mtu"] == 9000 and info["info_data"]["vnet_hdr"] and info["info_data"]["multi_queue"]
        assert info["info_data"]["numqueues"] == 3
        assert not any(os.get_inheritable(fd) for fd in prepared.fds.values())
        close(prepared)

    in_own_network(work)


def test_taps_are_numbered_by_the_kernel(tmp_path: Path) -> None:
    async def work() -> None:
        host, first = await tap(tmp_path, Tap(MAC, (3,), alias="net0"))
        second = await host.set_up([Tap(MAC, (3,), alias="a"), Tap(MAC, (4,), alias="b")], None, no_journal)
        assert (first.names, second.names) == ({"net0": "vnet0"}, {"a": "vnet1", "b": "vnet2"})

    in_own_network(work)


def test_a_failed_start_leaves_no_tap(tmp_path: Path) -> None:
    async def work() -> None:
        bridge("br0")
        good = Tap(MAC, (3,), bridge="br0", alias="net0")
        for bad, words in (
            (Tap(MAC, (4,), bridge="nobridge"), "no bridge 'nobridge'"),
            (Tap(MAC, (4,), bridge="lo"), "no bridge 'lo'"),
            (Tap(MAC, (4,), bridge="br0", vhost_fds=(5,), vhost_device=f"{tmp_path}/vhost"), "vhost: No such file"),
            (Tap(MAC, (4,), tap_device=f"{tmp_path}/tun"), "tun: No such file"),
            (Tap(MAC, (4,), name="x" * 16), "too long"),
            (Tap(MAC, (4,), bridge="br0", mtu=10), "vnet1: Invalid argument"),
            (Tap(MAC, (4,), script="/bin/false"), "false vnet1 failed with status 1"),
        ):
            host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)))
            with pytest.raises(HostFailed, match=words):
                await host.set_up([good, bad], None, no_journal)
            await gone("vnet0")
            await gone("vnet1")

    in_own_network(work)


def test_scripts_addresses_and_routes(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$0 $1 $HOME" >> {tmp_path}/calls\n')
    script.chmod(0o700)

    async def work() -> None:
        plan = Tap(
            MAC, (3,), name="eth-x", alias="net0", script=str(script), down_script=str(script),
            addresses=(("192.0.2.1", 24, None), ("198.51.100.1", None, "198.51.100.2"), ("2001:db8::1", 64, None)),
            routes=(("203.0.113.0", 24, "192.0.2.9", 7), ("2001:db8:1::", 48, "2001:db8::9", None)),
        )  # fmt: skip
        host, prepared = await tap(tmp_path, plan)
        shown = ip("address", "show", "dev", "eth-x")[0]["addr_info"]
        assert isinstance(shown, list)
        assert {(a.get("local"), a.get("prefixlen"), a.get("address")) for a in shown} >= {
            ("192.0.2.1", 24, None), ("198.51.100.1", 32, "198.51.100.2"), ("2001:db8::1", 64, None),
        }  # fmt: skip
        assert [(r["gateway"], r["metric"]) for r in ip("route", "show", "203.0.113.0/24")] == [("192.0.2.9", 7)]
        assert [r["gateway"] for r in ip("-6", "route", "show", "2001:db8:1::/48")] == ["2001:db8::9"]
        assert [record["name"] for record in prepared.undo] == ["eth-x"]
        close(prepared)
        await host.tear_down(prepared.undo)
        assert (tmp_path / "calls").read_text() == f"{script} eth-x \n" * 2

    in_own_network(work)


def test_the_users_own_tap_is_left_as_it_is(tmp_path: Path) -> None:
    async def work() -> None:
        ip("tuntap", "add", "mine", "mode", "tap", "vnet_hdr")
        before = link("mine")
        host, prepared = await tap(tmp_path, Tap(MAC, (3,), name="mine", managed=False, vnet_hdr=True, alias="net0"))
        after = link("mine")
        assert (before["address"], before["operstate"]) == (after["address"], after["operstate"])
        close(prepared)
        await host.tear_down(prepared.undo)
        assert "mine" in names()
        with pytest.raises(HostFailed, match="no tap 'other'"):
            await host.set_up([Tap(MAC, (3,), name="other", managed=False)], None, no_journal)
        assert "other" not in names(), "opening a tap that is not there would make it"

    in_own_network(work)


def test_macvtap_is_made_over_a_link_and_removed(tmp_path: Path) -> None:
    async def work() -> None:
        ip("link", "add", "lower", "type", "veth", "peer", "name", "peer")
        journalled: list[object] = []

        async def journal(undo: Sequence[dict[str, object]]) -> None:
            assert "macvtap0" not in names()
            journalled.extend(undo)

        host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)))
        plan = Tap(MAC, (3,), lower="lower", mode="bridge", alias="net0", vnet_hdr=True)
        prepared = await host.set_up([plan], None, journal)
        info = link("macvtap0")["linkinfo"]
        assert isinstance(info, dict)
        assert (info["info_kind"], info["info_data"]["mode"]) == ("macvtap", "bridge")
        assert link("macvtap0")["address"] == MAC
        assert journalled == prepared.undo == [{"kind": "link", "name": "macvtap0", "alias": "net0"}]
        close(prepared)
        await host.tear_down(prepared.undo)
        await host.tear_down(prepared.undo)
        assert "macvtap0" not in names() and "lower" in names()

    in_own_network(work)


def test_undo_never_removes_another_kind_of_link(tmp_path: Path) -> None:
    async def work() -> None:
        bridge("macvtap0")
        host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)))
        await host.tear_down([{"kind": "link", "name": "macvtap0"}])
        assert "macvtap0" in names()

    in_own_network(work)


def test_counters_of_many_links(tmp_path: Path) -> None:
    async def work() -> None:
        host, prepared = await tap(tmp_path, Tap(MAC, (3,), alias="a"))
        more = await host.set_up([Tap(MAC, (n,), alias=str(n)) for n in range(4, 53)], None, no_journal)
        packet = bytes.fromhex("ffffffffffff" + MAC.replace(":", "") + "88b5") + b"x" * 86
        for _ in range(5):
            os.write(prepared.fds[3], packet)
        links = LinkCounters()
        counted = {name: links.read(name, guest_side=False) for name in (*(f"vnet{n}" for n in range(50)), "nosuch")}
        assert not counted.pop("nosuch") and all(counted.values())
        assert (counted["vnet0"]["rx_packets"], counted["vnet0"]["rx_bytes"]) == (5, 5 * len(packet))
        assert counted["vnet1"]["rx_packets"] == 0 and links.read("vnet0")["tx_packets"] == 5, "the guest sent them"
        while True:  # until the kernel itself sends nothing (for IPv6) between two readings
            before = links.read("vnet0", guest_side=False)
            shown = ip("-s", "link", "show", "dev", "vnet0")[0]["stats64"]
            if links.read("vnet0", guest_side=False) == before:
                break
        assert isinstance(shown, dict)
        assert before["tx_packets"] == shown["tx"]["packets"]
        assert before["rx_drops"] == shown["rx"]["dropped"]
        close(prepared)
        await gone("vnet0")
        again = await host.set_up([Tap(MAC, (3,), alias="a")], None, no_journal)
        assert again.names == {"a": "vnet0"}
        assert links.read("vnet0")["tx_packets"] == 0, "the new link of an old name counts anew"
        close(more)

    in_own_network(work)


def test_many_threads_share_one_socket() -> None:
    async def work() -> None:
        links = Links()
        bridge("br0")
        kinds = await asyncio.gather(*(asyncio.to_thread(links.kind, n) for n in ("br0", "lo", "none") * 100))
        assert kinds == ["bridge", "", None] * 100

    in_own_network(work)


def test_the_kernels_words_are_in_the_error() -> None:
    async def work() -> None:
        links = Links()
        with pytest.raises(OSError, match="No such device|not found|Invalid"):
            links.set_up(4711)
        bridge("br0")
        bridge("br1")
        with pytest.raises(OSError, match=r"Too many levels|\("):
            links.set_up(socket.if_nametoindex("br1"), master=socket.if_nametoindex("br0"))

    in_own_network(work)


def test_the_hosts_end_never_becomes_a_bridges_address() -> None:
    assert host_mac("52:54:00:00:00:01").hex(":") == "fe:54:00:00:00:01"
    assert host_mac("fe:54:00:00:00:01").hex(":") == "fa:54:00:00:00:01"
