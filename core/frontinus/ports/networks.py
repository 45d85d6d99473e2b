"""The networks port: what virtual networks need from the host.

Set-up is idempotent: what is there already is left as it is, what is missing is made. So a new engine sets up again what
an earlier one had running, and what fits goes on without a break.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from frontinus.network.model import Net
from frontinus.network.plan import NetworkPlan


@dataclass(frozen=True)
class HostRoute:
    """A network that the host reaches by a device; directly, or by a gateway."""

    net: Net
    device: str
    direct: bool


@dataclass(frozen=True)
class Lease:
    """One DHCP lease as dnsmasq keeps it; `expires` is Unix time, 0: never."""

    address: str
    expires: int
    mac: str | None = None
    hostname: str | None = None
    client_id: str | None = None
    iaid: str | None = None

    @property
    def family(self) -> Literal["ipv4", "ipv6"]:
        return "ipv6" if ":" in self.address else "ipv4"


@dataclass(frozen=True)
class PoolDevice:
    """A virtual function of a PCI device: its network device, if it has a driver, and its address (0000:00:00.0)."""

    device: str | None
    address: str


@dataclass(frozen=True)
class NetworkNews:
    """Something happened: "leases" of a network changed, its "dnsmasq" ended, "rules" of ours were taken away."""

    kind: Literal["leases", "dnsmasq", "rules"]
    network: str = ""


class HostNetworks(Protocol):
    """Virtual networks on one host. Methods raise HostFailed with the host's words."""

    def refusal(self) -> str | None:
        """Why this engine can have no networks at all; None where it can."""

    async def routes(self) -> Sequence[HostRoute]:
        """Networks that the host has a way to, the default routes left out."""

    async def links(self) -> frozenset[str]:
        """Names of all links."""

    async def set_up(self, plan: NetworkPlan, taps: Sequence[str] = ()) -> None:
        """Make what is missing of a network, and change what differs: bridge, addresses, server; `taps` go on the bridge."""

    async def join(self, tap: str, bridge: str) -> None:
        """Put a guest's tap on a bridge, whatever it was on. Raises HostFailed if either is not there."""

    async def tear_down(self, plan: NetworkPlan) -> None:
        """Take a network away, what there is of it; leases are kept. What fails is logged. Idempotent."""

    async def forget(self, plan: NetworkPlan) -> None:
        """Remove what is kept of a network that is no more: its leases."""

    async def guard(self, commands: Sequence[Mapping[str, Any]]) -> None:
        """Put these rules (network.firewall) in the place of all of ours, in one transaction."""

    async def sweep(self, living: Sequence[NetworkPlan]) -> None:
        """End servers of ours that belong to no active network."""

    async def leases(self, plan: NetworkPlan) -> Sequence[Lease]:
        """The leases that a network's server has given."""

    async def neighbours(self) -> Mapping[str, Sequence[str]]:
        """IP addresses that the host has talked to, by MAC."""

    async def pool(self, device: str) -> Sequence[PoolDevice]:
        """The virtual functions of a PCI network device."""

    async def hook(self, network: str, operation: str, stage: str, xml: str) -> None:
        """Run the administrator's programs for a network. Raises HostFailed when one refuses."""

    def news(self) -> AsyncIterator[NetworkNews]:
        """What happens, from now on."""

    async def close(self) -> None:
        """Let go; networks stay."""
