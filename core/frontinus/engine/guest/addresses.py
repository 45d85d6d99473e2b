"""Addresses of guests' NICs: from leases, from the guest's agent, or from what the host has talked to."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping

import msgspec

from frontinus.api.errors import AgentUnavailable, InvalidValue
from frontinus.api.networks import AddressSource, AddressView, InterfaceAddresses
from frontinus.engine.network import netlife, netports
from frontinus.engine.record import Record
from frontinus.engine.world import World

AGENT_DEADLINE = 5.0


class _AgentAddress(msgspec.Struct, rename="kebab"):
    ip_address: str
    prefix: int = 0


class _AgentInterface(msgspec.Struct, rename="kebab"):
    """GuestNetworkInterface of qemu-ga's schema."""

    name: str
    hardware_address: str | None = None
    ip_addresses: list[_AgentAddress] = []


class Addresses:
    """The use case."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def guest_addresses(self, guest: str, source: AddressSource = "lease") -> list[InterfaceAddresses]:
        record = self.world.guests.find(guest)
        record.need_running()
        if source == "agent":
            return await self._from_agent(record)
        if source == "lease":
            return await self._from_leases(record)
        if source == "arp":
            return self._matched(record, await netlife.host_networks(self.world).neighbours(), {})
        raise InvalidValue(f"there is no source '{source}': lease, agent or arp", field="source")

    async def _from_leases(self, record: Record) -> list[InterfaceAddresses]:
        found: dict[str, list[str]] = {}
        prefixes: dict[str, int] = {}
        for network in self.world.networks.active():
            await netports.refresh_leases(self.world, network)
            for lease in network.leases:
                found.setdefault(lease.mac or "", []).append(lease.address)
                prefixes[lease.address] = lease.prefix
        return self._matched(record, found, prefixes)

    def _matched(self, record: Record, by_mac: Mapping[str, Iterable[str]],
                 prefixes: Mapping[str, int]) -> list[InterfaceAddresses]:  # fmt: skip
        """The NICs for whose MACs addresses are known."""
        matched = []
        for card in record.guest.devices.interfaces:
            addresses = tuple(_view(text, prefixes.get(text)) for text in by_mac.get((card.mac or "").lower(), ()))
            if addresses:
                matched.append(InterfaceAddresses(name=card.target or "", mac=card.mac, addresses=addresses))
        return matched

    async def _from_agent(self, record: Record) -> list[InterfaceAddresses]:
        command = json.dumps({"execute": "guest-network-get-interfaces"})
        answer = await record.need_running().process.agent_command(command, AGENT_DEADLINE)
        try:
            told = msgspec.convert(_returned(json.loads(answer)), list[_AgentInterface])
        except (ValueError, msgspec.ValidationError) as error:
            raise AgentUnavailable(f"the agent's answer makes no sense: {error}") from None
        return [
            InterfaceAddresses(name=one.name, mac=one.hardware_address,
                               addresses=tuple(_view(a.ip_address, a.prefix) for a in one.ip_addresses))
            for one in told
        ]  # fmt: skip


def _returned(answer: object) -> object:
    """The list itself, with or without the frame of a reply."""
    return answer.get("return", answer) if isinstance(answer, dict) else answer


def _view(text: str, prefix: int | None) -> AddressView:
    ipv6 = ipaddress.ip_address(text.partition("%")[0]).version == 6
    return AddressView(
        family="ipv6" if ipv6 else "ipv4", address=text, prefix=(128 if ipv6 else 32) if prefix is None else prefix
    )
