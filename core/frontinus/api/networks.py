"""Virtual networks: their views, and what can be asked of them. A network is named by its UUID or its name."""

from __future__ import annotations

from typing import Literal, Protocol

from frontinus.api.view import View

Forward = Literal["isolated", "nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev"]
"""Forward modes; a network without <forward> is isolated."""

UpdateCommand = Literal["none", "modify", "delete", "add-last", "add-first"]
"""In virsh's order: the index is virNetworkUpdateCommand's number."""

UpdateSection = Literal[
    "none", "bridge", "domain", "ip", "ip-dhcp-host", "ip-dhcp-range", "forward", "forward-interface", "forward-pf",
    "portgroup", "dns-host", "dns-txt", "dns-srv",
]  # fmt: skip
"""In virsh's order: the index is virNetworkUpdateSection's number."""

AddressSource = Literal["lease", "agent", "arp"]
"""In virsh's order: the index is virDomainInterfaceAddressesSource's number."""


class NetworkView(View, frozen=True, kw_only=True):
    """One virtual network. `bridge` is the host's device, `ports` how many NICs are on it, `leases` its DHCP leases."""

    uuid: str
    name: str
    active: bool = False
    persistent: bool = True
    autostart: bool = False
    bridge: str | None = None
    forward: Forward = "isolated"
    domain: str | None = None
    ports: int = 0
    leases: int = 0


class LeaseView(View, frozen=True, kw_only=True):
    """One DHCP lease. `expires` is Unix time, 0: never; `iaid` of DHCPv6."""

    network: str
    interface: str
    family: Literal["ipv4", "ipv6"]
    address: str
    prefix: int
    expires: int = 0
    mac: str | None = None
    hostname: str | None = None
    client_id: str | None = None
    iaid: str | None = None


class NetworkPortView(View, frozen=True, kw_only=True):
    """The port of one NIC on a network. `link` is the tap or macvtap device, or the PCI address of a hostdev."""

    uuid: str
    network: str
    owner_uuid: str
    owner_name: str
    mac: str
    plug: str
    link: str | None = None
    portgroup: str | None = None


class AddressView(View, frozen=True, kw_only=True):
    """One address of a NIC."""

    family: Literal["ipv4", "ipv6"]
    address: str
    prefix: int


class InterfaceAddresses(View, frozen=True, kw_only=True):
    """Addresses of one NIC of a guest. `name`: the tap, or the guest's own name of it where the agent says it."""

    name: str
    mac: str | None = None
    addresses: tuple[AddressView, ...] = ()


class NetworkCalls(Protocol):
    """The use cases on networks. All raise NoSuchNetwork where they take a network."""

    async def networks(self, active: bool | None = None) -> list[NetworkView]:
        """All networks in the order of their names, or only the active (True) or inactive (False)."""

    async def network(self, network: str) -> NetworkView: ...
    async def network_xml(self, network: str, inactive: bool = False) -> str: ...
    async def define_network(self, xml: str, validate: bool = False) -> NetworkView:
        """Store a definition, new or replaced. Raises InvalidXML, AlreadyExists."""

    async def undefine_network(self, network: str) -> None:
        """Forget a definition; an active network becomes transient."""

    async def create_network(self, xml: str, validate: bool = False) -> NetworkView:
        """Start a transient network."""

    async def start_network(self, network: str) -> NetworkView:
        """Raises WrongState when active, HostFailed when the host refuses or an address conflicts with a route."""

    async def destroy_network(self, network: str) -> None:
        """Stop it now; its guests lose their link."""

    async def set_network_autostart(self, network: str, on: bool) -> None: ...
    async def update_network(self, network: str, command: UpdateCommand, section: UpdateSection, xml: str,
                             parent_index: int = -1, live: bool = False, config: bool = False) -> None:  # fmt: skip
        """Change one section. `parent_index`: which <ip> or <dns>; -1 the first that fits."""

    async def network_leases(self, network: str, mac: str | None = None) -> list[LeaseView]: ...
    async def network_ports(self, network: str) -> list[NetworkPortView]: ...
    async def network_port_xml(self, network: str, port: str) -> str: ...
    async def create_network_port(self, network: str, xml: str) -> NetworkPortView: ...
    async def delete_network_port(self, network: str, port: str) -> None: ...
    async def guest_addresses(self, guest: str, source: AddressSource = "lease") -> list[InterfaceAddresses]:
        """Addresses of a running guest's NICs. Raises NoSuchGuest, WrongState, AgentUnavailable."""
