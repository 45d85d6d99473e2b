"""Learning addresses from frames: what counts, what does not, and that nothing in a frame can hurt."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.filter.instance import Learning
from frontinus.linux.network.learning import MOST_ADDRESSES, Lessons
from support.packets import BROADCAST, GUEST, OTHER, PEER, arp, dhcp, ipv4, mac, tcp, udp

NOW = 1000.0
SERVER = "192.0.2.1"


def lessons(mode: Learning = "dhcp", *servers: str) -> Lessons:
    return Lessons(mode, mac(GUEST), servers)


def asked(found: Lessons, transaction: int = 7, kind: int = 3, **more: Any) -> bool:
    message = dhcp(kind, transaction, reply=False, **more)
    frame = ipv4(17, udp(68, 67, message), "0.0.0.0", "255.255.255.255", ether_target=BROADCAST)
    return found.look(frame, to_guest=False, now=NOW)


def answered(found: Lessons, given_: str, transaction: int = 7, kind: int = 5, *, source: str = SERVER, now: float = NOW,
             to_guest: bool = True, **more: Any) -> bool:  # fmt: skip
    message = dhcp(kind, transaction, reply=True, given=given_, **{"server": SERVER, "seconds": 60, **more})
    frame = ipv4(17, udp(67, 68, message), source, "255.255.255.255", ether_source=PEER, ether_target=BROADCAST)
    return found.look(frame, to_guest=to_guest, now=now)


def test_a_lease_is_learned_once_for_each_request() -> None:
    found = lessons()
    assert not answered(found, "192.0.2.5"), "the guest did not ask"
    asked(found)
    assert answered(found, "192.0.2.5") and found.addresses == {"192.0.2.5": NOW + 60}
    assert not answered(found, "192.0.2.6"), "it is answered already"
    asked(found, 8)
    assert answered(found, "192.0.2.5", 8, seconds=0xFFFFFFFF) and found.addresses == {"192.0.2.5": None}


@pytest.mark.parametrize("more", [
    {"kind": 2}, {"kind": 6}, {"card": OTHER}, {"to_guest": False}, {"transaction": 9}, {"given_": "0.0.0.0"},
])  # fmt: skip
def test_what_is_no_lease_of_the_guest(more: dict[str, Any]) -> None:
    found = lessons()
    asked(found)
    assert not answered(found, **{"given_": "192.0.2.5", **more}) and not found.addresses


def test_only_servers_that_are_believed_count() -> None:
    found = lessons("dhcp", SERVER)
    asked(found)
    assert not answered(found, "192.0.2.5", source="192.0.2.66")
    assert not answered(found, "192.0.2.5", server="192.0.2.66")
    assert answered(found, "192.0.2.5")


def test_what_the_guest_gives_back_is_forgotten() -> None:
    found = lessons()
    for kind, more in ((7, {"client": "192.0.2.5"}), (4, {"wanted": "192.0.2.5"})):
        asked(found)
        answered(found, "192.0.2.5")
        assert asked(found, 1, kind, **more) and not found.addresses
        assert not asked(found, 1, kind, **more)


def test_leases_that_are_over_make_room_and_there_is_an_end() -> None:
    found = lessons()
    for number in range(MOST_ADDRESSES + 4):
        asked(found, number)
        answered(found, f"192.0.2.{number + 1}", number)
    assert len(found.addresses) == MOST_ADDRESSES
    asked(found, 99)
    assert answered(found, "192.0.2.200", 99, now=NOW + 61) and set(found.addresses) == {"192.0.2.200"}


def test_the_first_address_that_is_used() -> None:
    for frame, address in ((arp(address="192.0.2.5"), "192.0.2.5"), (ipv4(6, tcp(), "192.0.2.6"), "192.0.2.6")):
        found = lessons("any")
        assert found.look(frame, to_guest=False, now=NOW) and found.addresses == {address: None} and found.settled
        assert not found.look(arp(address="192.0.2.7"), to_guest=False, now=NOW)


@pytest.mark.parametrize("frame", [
    arp(sender=OTHER), arp(source=OTHER), arp(address="0.0.0.0"), arp(address="127.0.0.1"), ipv4(6, tcp(), "224.0.0.1"),
    ipv4(6, tcp(), "255.255.255.255"), ipv4(6, tcp(), "0.1.2.3"), ipv4(6, tcp(), ether_source=PEER), arp()[:30], b"",
])  # fmt: skip
def test_what_nobody_uses_as_an_address(frame: bytes) -> None:
    found = lessons("any")
    assert not found.look(frame, to_guest=False, now=NOW) and not found.addresses


def test_what_the_guest_receives_is_no_address_of_its() -> None:
    found = lessons("any")
    assert not found.look(arp(sender=GUEST, source=GUEST), to_guest=True, now=NOW)
    assert not lessons("dhcp").look(arp(), to_guest=False, now=NOW)


@given(st.binary(max_size=400), st.booleans(), st.integers(0, 600))
def test_nothing_in_a_frame_can_hurt(noise: bytes, to_guest: bool, cut: int) -> None:
    dice = random.Random(noise)
    message = dhcp(5, 7, reply=True, given="192.0.2.5", seconds=60)
    frame = bytearray(ipv4(17, udp(67, 68, message) if to_guest else udp(68, 67, message)))
    for byte in noise[:20]:
        frame[dice.randrange(14, len(frame))] = byte
    for mode in ("any", "dhcp", "none"):
        found = Lessons(mode, mac(GUEST))
        for one in (bytes(frame), bytes(frame[:cut]), bytes(frame[:42]) + noise, noise):
            found.look(one, to_guest=to_guest, now=NOW)
        assert len(found.addresses) <= MOST_ADDRESSES
