"""Parts that guests' interfaces share with the host's networks: rates, VLANs, virtual ports, addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from frontinus.filter.model import Parameter as Parameter
from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import UInt32, Uuid, YesNo, integer, one_of


class Rate(Model):
    """One direction of <bandwidth>: KiB/s for the rates, KiB for the burst."""

    average: int | None = xml("@average", UInt32)
    peak: int | None = xml("@peak", UInt32)
    floor: int | None = xml("@floor", UInt32)
    burst: int | None = xml("@burst", UInt32)

    def check(self, direction: str) -> Iterator[str]:
        """Reasons why this rate cannot be."""
        if not self.average and not self.floor:
            yield f"<bandwidth>: {direction} names neither an average nor a floor"
        if self.floor is not None and direction == "outbound":
            yield "<bandwidth>: 'floor' is for inbound traffic alone"
        if not self.average and (self.peak or self.burst):
            yield f"<bandwidth>: {direction} has a peak or a burst but no average"


class Tag(Model, tag="tag"):
    """One VLAN."""

    id: int = xml("@id", integer(0, 4095), required=True)
    native: str | None = xml("@nativeMode", one_of("tagged", "untagged"))


class Vlan(Model, tag="vlan"):
    """The VLANs of a port; a trunk carries more than one."""

    trunk: bool | None = xml("@trunk", YesNo)
    tags: list[Tag] = many("tag", Tag)

    def complete(self) -> None:
        """More than one tag, or a native one, is a trunk."""
        if self.trunk is None and (len(self.tags) > 1 or any(tag.native for tag in self.tags)):
            self.trunk = True

    def check(self) -> Iterator[str]:
        """Reasons why these VLANs cannot be."""
        if not self.tags:
            yield "<vlan> has no <tag>"
        if self.trunk is False and (len(self.tags) > 1 or any(tag.native for tag in self.tags)):
            yield "<vlan>: trunk='no' with more than one <tag>, or a native one"
        if sum(1 for tag in self.tags if tag.native) > 1:
            yield "<vlan>: more than one native <tag>"


PARAMETERS = {
    "802.1Qbg": frozenset({"manager_id", "type_id", "type_id_version", "instance_id"}),
    "802.1Qbh": frozenset({"profile_id"}),
    "openvswitch": frozenset({"interface_id", "profile_id"}),
    "midonet": frozenset({"interface_id"}),
}
NEEDED = {
    "802.1Qbg": ("manager_id", "type_id", "type_id_version"), "802.1Qbh": ("profile_id",),
    "openvswitch": (), "midonet": ("interface_id",),
}  # fmt: skip
"""Parameters that each type of virtual port may and must have."""


class VirtualPort(Model, tag="virtualport"):
    """How the port is announced to a switch; the parameters that apply depend on the type."""

    type: str | None = xml("@type", one_of("802.1Qbg", "802.1Qbh", "openvswitch", "midonet"))
    manager_id: int | None = xml("parameters/@managerid", integer(0, 255))
    type_id: int | None = xml("parameters/@typeid", integer(0, 2**24 - 1))
    type_id_version: int | None = xml("parameters/@typeidversion", integer(0, 255))
    instance_id: str | None = xml("parameters/@instanceid", Uuid)
    interface_id: str | None = xml("parameters/@interfaceid", Uuid)
    profile_id: str | None = xml("parameters/@profileid")

    def check(self) -> Iterator[str]:
        """Reasons why this port cannot be."""
        if self.type is None:
            return
        given = {name for name in frozenset().union(*PARAMETERS.values()) if getattr(self, name) is not None}
        for name in sorted(given - PARAMETERS[self.type]):
            yield f"<virtualport type='{self.type}'> has no parameter {name.replace('_', '')}"
        for name in NEEDED[self.type]:
            if getattr(self, name) is None:
                yield f"<virtualport type='{self.type}'>: parameter {name.replace('_', '')} is missing"
        if self.profile_id is not None and len(self.profile_id) > 39:
            yield "<virtualport>: profileid has more than 39 characters"


class Ip(Model, tag="ip"):
    """An address of one end of a link."""

    address: str = xml("@address", required=True)
    family: str | None = xml("@family", one_of("ipv4", "ipv6"))
    prefix: int | None = xml("@prefix", integer(0, 128))
    peer: str | None = xml("@peer")

    def complete(self) -> None:
        """Name the family that the address is of."""
        self.family = self.family or family(self.address)

    def check(self) -> Iterator[str]:
        """Reasons why this address cannot be."""
        kind = self.family or family(self.address) or "ipv4"
        for name, text in (("address", self.address), ("peer", self.peer)):
            if text is not None and family(text) != kind:
                yield f"<ip>: {name} '{text}' is no {kind} address"
        if self.prefix is not None and self.prefix > 32 and kind == "ipv4":
            yield f"<ip>: prefix {self.prefix} is too long for ipv4"


class Route(Model, tag="route"):
    """A route by way of a link."""

    family: str | None = xml("@family", one_of("ipv4", "ipv6"))
    address: str = xml("@address", required=True)
    netmask: str | None = xml("@netmask")
    prefix: int | None = xml("@prefix", integer(0, 128))
    gateway: str | None = xml("@gateway")
    metric: int | None = xml("@metric", integer(1, 2**32 - 1))

    @property
    def prefix_length(self) -> int | None:
        """The prefix, also where it was given as a mask; None where it was left to the address."""
        if self.prefix is not None or self.netmask is None:
            return self.prefix
        return f"{int(ipaddress.ip_address(self.netmask)):b}".count("1")

    def check(self) -> Iterator[str]:
        """Reasons why this route cannot be."""
        kind = self.family or "ipv4"
        for name, text in (("address", self.address), ("gateway", self.gateway), ("netmask", self.netmask)):
            if text is not None and family(text) != kind:
                yield f"<route>: {name} '{text}' is no {kind} address"
        if self.gateway is None:
            yield "<route>: the gateway is missing"
        if self.netmask is not None and self.prefix is not None:
            yield "<route>: netmask and prefix exclude each other"


def family(text: str) -> str | None:
    """ipv4, ipv6, or None for text that is no address."""
    try:
        return f"ipv{ipaddress.ip_address(text).version}"
    except ValueError:
        return None
