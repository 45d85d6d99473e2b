"""Rules that follow connections, and what the kernel makes of single matches."""

from __future__ import annotations

import pytest

from frontinus.linux.network.filters import BridgeFilters
from support.filtered import TABLE, filtered, on_wire
from support.namespaces import own_network
from support.packets import (
    GATEWAY,
    GUEST,
    IP,
    OTHER,
    PEER,
    STRANGER,
    arp,
    ether,
    icmp6,
    ipv4,
    ipv6,
    mark,
    tagged,
    tcp,
    udp,
)

pytestmark = pytest.mark.needs("ip", "nft")


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
