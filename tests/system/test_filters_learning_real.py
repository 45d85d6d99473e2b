"""Addresses that filters learn of guests, by packets in namespaces."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping

import pytest

from frontinus.linux.network.filters import BridgeFilters
from support.filtered import TABLE, filtered, on_wire, tables
from support.namespaces import own_network
from support.packets import (
    BROADCAST,
    GUEST,
    IP6,
    OTHER,
    PEER,
    STRANGER,
    TENANT,
    arp,
    dhcp,
    ether,
    ipv4,
    mark,
    tagged,
    tcp,
    udp,
)

pytestmark = pytest.mark.needs("ip", "nft")


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
    asked = time.time()
    await wire.arrived([ask(3, 77)], fence=fence)
    await wire.arrived([offer(5, 77, "192.0.2.66", source=STRANGER), offer(5, 78, "192.0.2.67"), offer(2, 77, "192.0.2.68"),
                        offer(5, 77, "192.0.2.69", card=PEER), offer(5, 77, "192.0.2.50")], "in")  # fmt: skip
    await heard.until("tap0", {"192.0.2.50"})
    (end,) = heard.addresses["tap0"].values()
    assert end is not None and asked + 599 < end < time.time() + 601
    assert re.search(r"192\.0\.2\.50 timeout \d+m", tables())
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
    began = time.process_time()
    await asyncio.sleep(0)
    assert time.process_time() - began < 5, "others have their turn"
    wire.send(ask(3, 5000))
    while wire.read("out") is not None:
        pass
    async with asyncio.timeout(60):
        while "192.0.2.50" not in heard.addresses.get("tap0", ()):
            wire.send(ask(3, 5000))
            wire.send(offer(5, 5000, "192.0.2.50"), "in")
            await asyncio.sleep(0.1)
    await filters.close()
