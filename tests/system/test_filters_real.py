"""Filters in force on real taps and bridges: packets are sent, and arrive or do not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from frontinus.domain.host import Paths
from frontinus.domain.plan import Tap
from frontinus.filter.instance import Filtered, FilterUse, instantiate
from frontinus.filter.model import Filter, parse_filter
from frontinus.filter.standard import standard_filters
from frontinus.linux.filters import BridgeFilters
from frontinus.linux.resources import LinuxResources
from support.namespaces import own_network
from support.packets import (
    BROADCAST,
    GATEWAY,
    GUEST,
    IP,
    IP6,
    KINDS,
    OTHER,
    PARAMETERS,
    PEER,
    STRANGER,
    TENANT,
    Wire,
    arp,
    dhcp,
    ether,
    icmp6,
    ipv4,
    ipv6,
    mark,
    open_tap,
    tagged,
    tcp,
    udp,
)
from support.waiting import until

pytestmark = pytest.mark.needs("ip", "nft")
TABLE = "test"


def filtered(text: str, values: Sequence[tuple[str, str]] = PARAMETERS,
             addresses: Mapping[str, float | None] | None = None) -> Filtered:  # fmt: skip
    """A filter, a document or a standard one's name, for the guest."""
    own: dict[str, Filter] = {}
    name = text
    if text.startswith("<"):
        parsed = parse_filter(text)
        own, name = {parsed.name: parsed}, parsed.name
    known: dict[str, tuple[str, ...]] = {}
    for key, value in values:
        known[key] = (*known.get(key, ()), value)
    made = instantiate(name, lambda one: own.get(one) or standard_filters().get(one), known, GUEST)
    return Filtered(made, addresses or {})


def tables() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def on_wire() -> Wire:
    wire = Wire()
    wire.join(open_tap("tap0"), "tap0")
    return wire


@own_network
async def test_a_table_of_packets() -> None:
    assert len(KINDS) >= 40
    wire = on_wire()
    names = {f"{kind.name} passed" for kind in KINDS if not kind.passes}
    assert set(await wire.wrong()) == names, (
        "without a filter every kind arrives: what is dropped later, the filter drops"
    )
    filters = BridgeFilters(TABLE)
    await filters.put({"tap0": filtered(TENANT)})
    assert await wire.wrong() == []
    await filters.drop(["tap0"])
    assert tables() == ""
    assert set(await wire.wrong()) == names
    await filters.close()


@own_network
async def test_nothing_slips_through_while_a_filter_changes() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    other = TENANT.replace("priority='-650'", "priority='-690'").replace(
        "filter='no-arp-spoofing'", "filter='no-arp-spoofing'"
    )
    more = other.replace("</filter>", "<rule action='drop' direction='out'><tcp dstportstart='9'/></rule></filter>")
    versions = [filtered(text) for text in (TENANT, other, more)]
    await filters.put({"tap0": versions[0]})
    changes = 0
    ended = False

    async def change() -> None:
        nonlocal changes
        while not ended:
            changes += 1
            await filters.put({"tap0": versions[changes % 3]})

    changing = asyncio.create_task(change())
    try:
        async with asyncio.timeout(60):
            while changes < 60:
                assert await wire.wrong() == []
                await asyncio.sleep(0)
    finally:
        ended = True
        await changing
    await filters.close()


async def no_journal(undo: Sequence[dict[str, object]]) -> None:
    pass


@pytest.mark.parametrize("vnet_hdr", [False, True])
@own_network
async def test_rules_are_there_before_the_tap_is_on_its_bridge_and_go_with_it(tmp_path: Path, vnet_hdr: bool) -> None:
    wire = Wire()
    wire.header = 10 if vnet_hdr else 0
    filters = BridgeFilters(TABLE)
    host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)), filters=filters)
    plan = Tap(GUEST, (3,), bridge="br0", alias="net0", vnet_hdr=vnet_hdr, filter=FilterUse("tenant"),
               filtered=filtered(TENANT))  # fmt: skip
    seen: list[str] = []
    connect = host._taps._connect

    def watched(resource: Tap, name: str) -> None:
        seen.append(tables())
        connect(resource, name)

    host._taps._connect = watched  # type: ignore[method-assign]
    made = await host.set_up([plan], None, no_journal)
    assert '"vnet0" : jump vnet0/from' in seen[0]
    assert [(one["kind"], one["name"], one["alias"]) for one in made.undo] == [("filter", "vnet0", "net0")]
    wire.join(made.fds[3])
    assert await wire.wrong() == []
    os.close(made.fds[3])
    await host.tear_down(made.undo)
    assert tables() == ""
    await host.tear_down(made.undo)


@own_network
async def test_the_next_guest_with_the_name_of_a_tap_keeps_its_rules(tmp_path: Path) -> None:
    """The kernel gives a name again as soon as the tap is gone, which is before the end of its guest is cleared up."""
    wire = Wire()
    filters = BridgeFilters(TABLE)
    host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)), filters=filters)
    plan = Tap(GUEST, (3,), bridge="br0", alias="net0", filter=FilterUse("tenant"), filtered=filtered(TENANT))
    first = await host.set_up([plan], None, no_journal)
    os.close(first.fds[3])
    await until(lambda: not Path("/sys/class/net/vnet0").exists())
    second = await host.set_up([plan], None, no_journal)
    assert first.names == second.names == {"net0": "vnet0"}
    await host.tear_down(first.undo)
    wire.join(second.fds[3])
    assert await wire.wrong() == []
    os.close(second.fds[3])
    await host.tear_down(second.undo)
    assert tables() == ""


@own_network
async def test_a_start_that_fails_leaves_no_rules(tmp_path: Path) -> None:
    filters = BridgeFilters(TABLE)
    host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)), filters=filters)
    plan = Tap(GUEST, (3,), bridge="nobridge", alias="net0", filter=FilterUse("tenant"), filtered=filtered(TENANT))
    with pytest.raises(Exception, match="nobridge"):
        await host.set_up([plan], None, no_journal)
    assert tables() == ""


@own_network
async def test_what_somebody_flushes_is_put_back() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    filters.listen(lambda link, addresses: None)
    await filters.put({"tap0": filtered(TENANT)})
    before = tables()
    for command in (
        ["flush", "ruleset"],
        ["delete", "table", "bridge", TABLE],
        ["flush", "chain", "bridge", TABLE, "from"],
    ):
        subprocess.run(["nft", *command], check=True)
        async with asyncio.timeout(60):
            while tables() != before:  # noqa: ASYNC110  the kernel is asked, nobody tells
                await asyncio.sleep(0.02)
        assert await wire.wrong() == []
    await filters.close()


@own_network
async def test_another_engine_finds_what_is_there_and_takes_what_is_left_over() -> None:
    wire = on_wire()
    first = BridgeFilters(TABLE)
    await first.put({"tap0": filtered(TENANT), "gone": filtered(TENANT), "kept": filtered("no-mac-spoofing")})
    second = BridgeFilters(TABLE)
    await second.restore({"tap0": filtered(TENANT)}, ["kept", "new"])
    assert await wire.wrong() == []
    there = tables()
    assert "gone" not in there and "ether saddr 52:54:00:00:00:01 return" in there and '"kept"' in there
    assert '"new" : jump new/from' in there, "where a filter is lost and no rules are, nothing passes"
    await second.drop(["tap0", "kept", "new"])
    assert tables() == ""
    await second.restore({})
    assert tables() == ""
    for filters in (first, second):
        await filters.close()


# Addresses that are learned

SERVER = "192.0.2.1"


class Heard:
    """What was learned, and when it was."""

    def __init__(self, filters: BridgeFilters) -> None:
        self.addresses: dict[str, Mapping[str, float | None]] = {}
        self._news = asyncio.Event()
        filters.listen(self._hear)

    def _hear(self, link: str, addresses: Mapping[str, float | None]) -> None:
        self.addresses[link] = addresses
        self._news.set()

    async def until(self, link: str, addresses: set[str]) -> None:
        async with asyncio.timeout(60):
            while set(self.addresses.get(link, ())) != addresses:
                self._news.clear()
                await self._news.wait()


def offer(kind: int, transaction: int, given: str, *, source: str = SERVER, seconds: int | None = 600,
          card: str = GUEST) -> bytes:  # fmt: skip
    """A DHCP server's message to the guest."""
    message = dhcp(kind, transaction, reply=True, given=given, server=source, seconds=seconds, card=card)
    return ipv4(17, udp(67, 68, message), source, "255.255.255.255", ether_source=PEER, ether_target=BROADCAST)


def ask(kind: int, transaction: int, **more: str) -> bytes:
    message = dhcp(kind, transaction, reply=False, **more)
    return ipv4(17, udp(68, 67, message), "0.0.0.0", "255.255.255.255", ether_target=BROADCAST)


@own_network
async def test_leases_are_learned_of_the_server_that_is_believed_alone() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    heard = Heard(filters)
    values = (("CTRL_IP_LEARNING", "dhcp"), ("DHCPSERVER", SERVER))
    await filters.put({"tap0": filtered("clean-traffic", values)})
    fence = ether(0x0835, bytes(28) + mark(), target=BROADCAST)
    mine = ipv4(6, tcp(), "192.0.2.50")
    assert await wire.arrived([mine, arp(address="192.0.2.50")], fence=fence) == [False, False]
    await wire.arrived([ask(3, 77)], fence=fence)
    await wire.arrived([offer(5, 77, "192.0.2.66", source=STRANGER), offer(5, 78, "192.0.2.67"), offer(2, 77, "192.0.2.68"),
                        offer(5, 77, "192.0.2.69", card=PEER), offer(5, 77, "192.0.2.50")], "in")  # fmt: skip
    await heard.until("tap0", {"192.0.2.50"})
    (end,) = heard.addresses["tap0"].values()
    assert end is not None and 590 < end - time.time() < 601
    assert "192.0.2.50 timeout 9m" in tables() or "192.0.2.50 timeout 10m" in tables()
    others = [ipv4(6, tcp(), address) for address in ("192.0.2.66", "192.0.2.67", "192.0.2.68", "192.0.2.69")]
    assert await wire.arrived([mine, arp(address="192.0.2.50"), *others], fence=fence) == [True, True, *[False] * 4]
    await wire.arrived([ask(7, 79, client="192.0.2.50")], fence=fence)
    await heard.until("tap0", set())
    assert await wire.arrived([mine], fence=fence) == [False], (
        "an address that was given back is not the guest's any more"
    )
    await filters.close()


@own_network
async def test_the_first_address_that_a_guest_uses_is_its_own_for_good() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    heard = Heard(filters)
    await filters.put({"tap0": filtered("clean-traffic", ())})
    fence = ether(0x0835, bytes(28) + mark(), target=BROADCAST)
    forged = [arp(sender=PEER, address="192.0.2.9"), ipv4(6, tcp(), "192.0.2.9", ether_source=OTHER),
              tagged(ipv4(6, tcp(), "192.0.2.8"), 5), ipv4(17, udp(1, 1), "224.0.0.1")]  # fmt: skip
    assert (
        await wire.arrived([*forged, arp(address="192.0.2.5"), ipv4(6, tcp(), "192.0.2.6")], fence=fence) == [False] * 6
    )
    await heard.until("tap0", {"192.0.2.5"})
    assert await wire.arrived([arp(address="192.0.2.5"), ipv4(6, tcp(), "192.0.2.5"), ipv4(6, tcp(), "192.0.2.6"),
                               arp(address="192.0.2.6")], fence=fence) == [True, True, False, False]  # fmt: skip
    await filters.put({"tap0": filtered(TENANT, (("IPV6", IP6),), {"192.0.2.5": None})})
    assert await wire.arrived([ipv4(6, tcp(), "192.0.2.5")], fence=fence) == [True], (
        "what was learned stays when the filter changes"
    )
    await filters.close()


@own_network
async def test_a_lease_that_ends_is_forgotten_by_the_kernel_itself() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    fence, passed = arp(address="192.0.2.6"), [False]
    for seconds in (2.5, 10, 60):  # as long as it takes this machine to send a frame before the end
        now = time.time()
        await filters.put({"tap0": filtered("clean-traffic", (), {"192.0.2.5": now + seconds, "192.0.2.6": now + 99})})
        if (passed := await wire.arrived([ipv4(6, tcp(), "192.0.2.5")], fence=fence)) == [True]:
            break
    assert passed == [True]
    await filters.close()
    async with asyncio.timeout(90):
        while await wire.arrived([ipv4(6, tcp(), "192.0.2.5")], fence=fence) == [True]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@own_network
async def test_a_flood_to_be_learned_from_does_no_harm() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    heard = Heard(filters)
    await filters.put({"tap0": filtered("clean-traffic", (("CTRL_IP_LEARNING", "dhcp"),))})
    junk = [ask(3, number) for number in range(500)] + [
        ipv4(17, udp(68, 67, os.urandom(300)), "0.0.0.0") for _ in range(500)
    ]
    for frame in junk:
        wire.send(frame)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() - began < 5, "others have their turn"
    await asyncio.sleep(0.5)
    wire.send(ask(3, 5000))
    while wire.read("out") is not None:
        pass
    async with asyncio.timeout(60):
        while "192.0.2.50" not in heard.addresses.get("tap0", ()):
            wire.send(ask(3, 5000))
            wire.send(offer(5, 5000, "192.0.2.50"), "in")
            await asyncio.sleep(0.1)
    await filters.close()


# Connections


def rules(*inside: str) -> str:
    return f"<filter name='x'>{''.join(inside)}<rule action='drop' direction='inout' priority='1000'><all/></rule></filter>"


def allowed(direction: str, inside: str, more: str = "") -> str:
    return f"<rule action='accept' direction='{direction}' {more}>{inside}</rule>"


def outward(sport: int, dport: int, flags: int = 2, to: str = GATEWAY) -> bytes:
    return ipv4(6, tcp(sport, dport, flags), target=to)


def inward(sport: int, dport: int, flags: int = 2, source: str = GATEWAY) -> bytes:
    return ipv4(6, tcp(sport, dport, flags), source, IP, ether_source=PEER, ether_target=GUEST)


@own_network
async def test_what_the_guest_begins_may_be_answered_and_nothing_else() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    text = rules(allowed("out", "<tcp dstportstart='80'/>"), allowed("in", "<tcp dstportstart='22'/>"))
    await filters.put({"tap0": filtered(text, ())})
    assert await wire.arrived([inward(80, 4000, 18)], "in") == [False], "an answer to nothing"
    assert await wire.arrived([outward(4000, 80), outward(4000, 81)]) == [True, False]
    assert await wire.arrived([inward(80, 4000, 18), inward(80, 4001, 18), inward(81, 4000, 18), inward(80, 4000, 18, STRANGER)],
                              "in") == [True, False, False, False]  # fmt: skip
    assert await wire.arrived([outward(22, 5000, 18)]) == [False]
    assert await wire.arrived([inward(5000, 22), inward(5000, 23)], "in") == [True, False]
    assert await wire.arrived([outward(22, 5000, 18), outward(22, 5001, 18)]) == [True, False]
    await filters.put({"tap0": filtered(text.replace("'22'", "'25'"), ())})
    assert await wire.arrived([inward(80, 4000, 16)], "in") == [True], "a connection outlives a change of the filter"
    assert await wire.arrived([outward(22, 5000, 16)]) == [False], "but not what the filter no longer allows"
    again = BridgeFilters(TABLE)
    await again.restore({"tap0": filtered(text, ())})
    assert await wire.arrived([inward(80, 4000, 16)], "in") == [True], "and it outlives the engine"
    for one in (filters, again):
        await one.close()


@own_network
async def test_states_and_protocols_without_ports() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    established = allowed("inout", "<all state='ESTABLISHED'/>")
    await filters.put({"tap0": filtered(rules(established, allowed("out", "<icmp state='NEW'/>"),
                                              allowed("out", "<udp state='NEW'/>")), ())})  # fmt: skip

    def pong(source: str = GATEWAY) -> bytes:
        return ipv4(1, bytes(8), source, IP, ether_source=PEER, ether_target=GUEST)

    assert await wire.arrived([pong()], "in") == [False]
    assert await wire.arrived([ipv4(1, b"\x08" + bytes(7)), ipv4(17, udp(9, 53))]) == [True, True]
    back = ipv4(17, udp(53, 9), GATEWAY, IP, ether_source=PEER, ether_target=GUEST)
    assert await wire.arrived([pong(), pong(STRANGER), back], "in") == [True, False, True]
    assert await wire.arrived([outward(1, 1), ipv4(17, udp(9, 53))]) == [False, True]
    await filters.close()


@own_network
async def test_connections_beyond_a_limit_are_dropped() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    text = rules("<rule action='drop' direction='out'><tcp connlimit-above='2'/></rule>", allowed("out", "<tcp/>"))
    await filters.put({"tap0": filtered(text, ())})
    assert await wire.arrived([outward(1, 80), outward(2, 80), outward(3, 80), outward(1, 80, 16)]) == [
        True,
        True,
        False,
        True,
    ]
    await filters.close()


@own_network
async def test_what_matches_a_rule_of_the_link_layer() -> None:
    """Fields that the table of packets does not reach, each by a packet that fits and one that does not."""
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    bpdu = b"\x42\x42\x03\x00\x00\x00\x00\x01" + b"\x10\x01" + bytes(28)
    low, high = bpdu, bpdu[:8] + b"\x20\x01" + bpdu[10:]
    grat = "<arp gratuitous='true'/>"
    cases = (
        ("<vlan vlanid='7'/>", tagged(ipv4(6, tcp()), 7), tagged(ipv4(6, tcp()), 8)),
        ("<vlan encap-protocol='arp'/>", tagged(arp(), 7), tagged(ipv4(6, tcp()), 7)),
        ("<stp root-priority='0x1000' root-priority-hi='0x1fff'/>",
         *(ether(38, body + mark(), target="01:80:c2:00:00:00") for body in (low, high))),
        (grat, arp(target=IP), arp(target=GATEWAY)),
        ("<arp arpsrcipaddr='192.0.2.0' arpsrcipmask='24'/>", arp(), arp(address="198.51.100.1")),
        ("<rarp arpsrcmacaddr='52:54:00:00:00:01'/>", arp(kind=0x8035), arp(OTHER, kind=0x8035)),
        ("<mac srcmacaddr='52:54:00:00:00:00' srcmacmask='ff:ff:ff:ff:ff:fe'/>", arp(source=GUEST), arp(source=PEER)),
        ("<ip dscp='0'  srcipaddr='192.0.2.8' srcipmask='29'/>", ipv4(6, tcp()), ipv4(6, tcp(), STRANGER)),
        ("<ip protocol='tcp' dstportstart='80' dstportend='90'/>", outward(1, 85), outward(1, 91)),
        ("<ipv6 protocol='icmpv6' type='135' typeend='136'/>", ipv6(58, icmp6(136)), ipv6(58, icmp6(134))),
        ("<mac match='no' protocolid='ipv6'/>", ipv4(6, tcp()), ipv6(6, tcp())),
    )  # fmt: skip
    fence = ether(0x9999, bytes(30) + mark())
    letting = allowed("out", "<mac protocolid='0x9999'/>")
    for inside, fits, other in cases:
        text = (f"<filter name='x'>{allowed('out', inside)}{letting}"
                "<rule action='drop' direction='out' priority='900'/></filter>")  # fmt: skip
        await filters.put({"tap0": filtered(text, ())})
        assert await wire.arrived([fits, other], fence=fence) == [True, False], inside
    await filters.close()


@own_network
async def test_flags_of_tcp_and_statematch() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    await filters.put({"tap0": filtered(rules(allowed("out", "<tcp state='NONE' flags='SYN,ACK/SYN'/>")), ())})
    assert await wire.arrived([outward(1, 1, 2), outward(1, 1, 18), outward(1, 1, 16)]) == [True, False, False]
    await filters.put({"tap0": filtered(rules(allowed("out", "<tcp dstportstart='80'/>", "statematch='false'")), ())})
    assert await wire.arrived([inward(80, 9), inward(81, 9)], "in") == [True, False]
    await filters.close()
