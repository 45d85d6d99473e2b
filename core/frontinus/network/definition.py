"""From text to a network and back: the one way in for a definition."""

from __future__ import annotations

import uuid
from typing import TypeVar

from frontinus.api.errors import InvalidXML
from frontinus.domain.host import HostFacts
from frontinus.network.check import reasons
from frontinus.network.model import Forward, ForwardInterface, Network
from frontinus.network.port import NetworkPort
from frontinus.xml import DocumentError, MappingError, Model, View, element_named, format_document, parse_document

MAX_REASONS = 5
M = TypeVar("M", bound=Model)


def parse_network(text: str | bytes, *, validate: bool = False) -> Network:
    """Parse network XML. Raises InvalidXML with element, line and reason; `validate` refuses what the model does not know."""
    return _parse(Network, text, validate=validate)


def parse_port(text: str | bytes, *, validate: bool = False) -> NetworkPort:
    """Parse the XML of a network's port. Raises InvalidXML."""
    return _parse(NetworkPort, text, validate=validate)


def format_network(network: Network, *, active: bool = False) -> str:
    """Canonical network XML of one view."""
    return format_document(network, View.ACTIVE if active else View.INACTIVE)


def format_port(port: NetworkPort) -> str:
    return format_document(port, View.ACTIVE)


def complete(network: Network, host: HostFacts) -> Network:
    """A copy with UUID and what the text leaves to its own other parts. Raises InvalidXML for what cannot be."""
    done = network.clone()
    done.uuid = done.uuid or str(uuid.UUID(bytes=host.entropy(16), version=4))
    done.connections = None
    if done.forward:
        _complete_forward(done.forward)
    if done.has_own_bridge:
        done.stp = True if done.stp is None else done.stp
        done.delay = done.delay or 0
    if done.ipv6 is False:
        done.ipv6 = None
    for vlan in (done.vlan, *(group.vlan for group in done.portgroups)):
        if vlan:
            vlan.complete()
    for lease in done.lease_times():
        lease.complete()
    found = list(dict.fromkeys(reasons(done)))[:MAX_REASONS]
    if found:
        element = element_named(found[0]) or "network"
        raise InvalidXML("; ".join(found), element=element)
    return done


def _complete_forward(forward: Forward) -> None:
    """The device in <forward dev=> is the first of its interfaces. Raises InvalidXML when they contradict each other."""
    forward.mode = forward.mode or "nat"
    first = forward.interfaces[0].device if forward.interfaces else None
    if forward.device and first is None and not forward.addresses and forward.mode != "hostdev":
        forward.interfaces = [ForwardInterface(device=forward.device)]
    elif forward.device and first and first != forward.device:
        raise InvalidXML(
            f"<forward>: dev '{forward.device}' is not the first <interface>, '{first}'", element="forward"
        )
    elif first:
        forward.device = first
    for interface in forward.interfaces:
        interface.connections = None
    for address in forward.addresses:
        address.type, address.connections = "pci", None


def _parse(model: type[M], text: str | bytes, *, validate: bool) -> M:
    try:
        parsed = parse_document(model, text)
    except MappingError as error:
        raise InvalidXML(str(error), element=error.element, line=str(error.line)) from None
    except DocumentError as error:
        raise InvalidXML(str(error), line=str(error.line or 0)) from None
    for unknown in parsed.unknown() if validate else ():
        kind = "attribute" if unknown.is_attribute else "element"
        raise InvalidXML(f"line {unknown.line}: unknown {kind} '{unknown.name}'", element=unknown.name,
                         line=str(unknown.line))  # fmt: skip
    return parsed
