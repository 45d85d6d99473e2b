"""Why an <interface> cannot be: rules between its parts, as data where they are one line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import no_virtio_options
from frontinus.domain.devices.interface import PASST, REFUSED, SOURCES, TAPS, Interface, PortForward, is_model_name
from frontinus.domain.devices.netparts import family
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest

ONLY: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("filter", "<filterref>", frozenset({"network", "bridge", "ethernet"})),
    ("mtu", "<mtu>", frozenset({"network", "bridge", "ethernet", "vhostuser"})),
    ("coalesce", "<coalesce>", TAPS),
    ("script", "<script>", frozenset({"ethernet"})),
    ("down_script", "<downscript>", frozenset({"ethernet"})),
    ("target_managed", "<target managed=>", frozenset({"ethernet"})),
    ("isolated", "<port isolated=>", frozenset({"network", "bridge"})),
    ("vlan", "<vlan>", frozenset({"network", "bridge", "direct", "hostdev"})),
    ("virtual_port", "<virtualport>", frozenset({"network", "bridge", "direct", "hostdev"})),
    ("backend_log", "<backend logFile=>", PASST),
    ("backend_hostname", "<backend hostname=>", PASST),
    ("backend_fqdn", "<backend fqdn=>", PASST),
    ("backend", "<backend type=>", PASST),
    ("port_forwards", "<portForward>", PASST),
    ("ips", "<ip>", PASST),
)
"""Parts that only some kinds of interface have: field, its name in XML, the kinds."""
PLACES = {"usb-net": ("usb",), "ne2k_isa": ("isa",)}
"""Where cards go that are not on PCI."""
LONGEST_NAME = 15
"""Of a network device of Linux."""
MOST_QUEUES = 256
"""Of a tap device of Linux."""
QUEUE_SIZES = range(256, 1025)
"""Requests in a queue of a virtio card: QEMU's limits."""
PROPERTIES = (
    ("rss", "rss"), ("rss_hash_report", "hash"), ("rx_queue_size", "rx_queue_size"), ("tx_queue_size", "tx_queue_size"),
    ("mtu", "host_mtu"),
)  # fmt: skip
"""Fields that need a property of the virtio card."""


def check(card: Interface, guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Every reason why this interface cannot be."""
    if card.type in REFUSED:
        yield f"<interface type='{card.type}'> is not of this hypervisor"
        return
    yield from _source(card)
    yield from _parts(card)
    yield from _card(card, guest, caps)
    if card.is_virtio:
        yield from _virtio(card, caps)
    yield from _teaming(card, caps)
    yield from _user(card, caps)
    yield from placed("<interface>", card.address, *PLACES.get(card.model or "", ("pci", "virtio-mmio", "unassigned")))
    if card.target and len(card.target) > LONGEST_NAME:
        yield f"<target dev='{card.target}'>: the name of a network device has at most {LONGEST_NAME} characters"


def _source(card: Interface) -> Iterator[str]:
    source = card.source
    for name in SOURCES.get(card.type, ()) if not card.by_passt else ():
        if source is None or getattr(source, name) in (None, ""):
            what = {"device": "dev", "socket": "type", "local_address": "local address", "local_port": "local port"}
            yield f"<interface type='{card.type}'>: <source> lacks its {what.get(name, name)}"
    if source is None:
        if card.type == "hostdev":
            yield "<interface type='hostdev'>: <source> lacks its address"
        return
    if card.type == "hostdev" and (source.host_device is None or source.host_device.type != "pci"):
        yield "<interface type='hostdev'>: <source> needs an address of type 'pci'"
    if (source.ips or source.routes) and card.type != "ethernet":
        yield f"<interface type='{card.type}'>: addresses and routes of the host's side are for type 'ethernet'"
    modes = {"vhostuser": ("client", "server"), "direct": ("vepa", "private", "bridge", "passthrough")}.get(card.type)
    if modes and source.mode and source.mode not in modes:
        yield f"<interface type='{card.type}'>: mode '{source.mode}' is not one of {', '.join(modes)}"
    if source.reconnect and source.mode != "client":
        yield "<reconnect> is for a vhostuser interface of mode 'client'"
    if source.reconnect and not source.reconnect_timeout:
        yield "<reconnect>: the timeout is missing or zero"
    for ip in source.ips:
        yield from ip.check()
    for route in source.routes:
        yield from route.check()


def _parts(card: Interface) -> Iterator[str]:
    for field, name, kinds in ONLY:
        if getattr(card, field) not in (None, [], "default") and card.type not in kinds:
            yield f"{name} is not for <interface type='{card.type}'>"
    if card.isolated and card.virtual_port and card.virtual_port.type:
        yield f"<port isolated='yes'/> is not for a virtualport of type '{card.virtual_port.type}'"
    if card.filter and card.virtual_port and card.virtual_port.type:
        yield f"<filterref> is not for a virtualport of type '{card.virtual_port.type}'"
    yield from _bandwidth(card)
    for part in (card.vlan, card.virtual_port, *card.ips):
        if part:
            yield from part.check()
    if card.mac and int(card.mac[:2], 16) & 1:
        yield f"<mac>: {card.mac} is a multicast address"
    if card.routes:
        yield "<route>: routes inside the guest are not ours to set"


def _bandwidth(card: Interface) -> Iterator[str]:
    for direction, rate in (("inbound", card.inbound), ("outbound", card.outbound)):
        if rate is None:
            continue
        yield from rate.check(direction)
        if rate.floor is not None and card.type != "network":
            yield f"<bandwidth>: 'floor' is for <interface type='network'>, not '{card.type}'"
        if card.type == "hostdev":
            yield "<bandwidth> is not for <interface type='hostdev'>"


def _card(card: Interface, guest: Guest, caps: Capabilities) -> Iterator[str]:
    if card.queue_count > MOST_QUEUES:
        yield f"<driver queues='{card.queues}'>: a card has at most {MOST_QUEUES} queues"
    if card.model and not is_model_name(card.model):
        yield f"<model>: '{card.model[:40]}' has characters that no model's name has"
    if card.type in ("vhostuser", "vdpa") and not card.is_virtio:
        yield f"<interface type='{card.type}'> needs a virtio model, not '{card.model}'"
    if not card.is_virtio and card.type != "hostdev":
        yield from no_virtio_options(card, f"<interface>: model '{card.model}'")
    if card.driver == "vhost" and not card.is_virtio and card.type != "hostdev":
        yield f"<driver name='vhost'> needs a virtio model, not '{card.model}'"
    if card.driver in ("vfio", "kvm", "xen") and card.type != "hostdev":
        yield f"<driver name='{card.driver}'> is for <interface type='hostdev'>"
    if card.driver in ("kvm", "xen") and card.type == "hostdev":
        yield f"<driver name='{card.driver}'>: devices are assigned by vfio alone"
    if card.type == "vdpa" and not caps.has_schema("netdev_add/arg-type/type=vhost-vdpa"):
        yield Lacking("<interface type='vdpa'>: this QEMU has no vhost-vdpa")


def _virtio(card: Interface, caps: Capabilities) -> Iterator[str]:
    for field, name in PROPERTIES:
        value = getattr(card, field)
        if value and not caps.has_property("virtio-net-pci", name):
            yield Lacking(f"<interface>: this QEMU's virtio card has no {name}")
    for field in ("rx_queue_size", "tx_queue_size"):
        size = getattr(card, field)
        if size and (size not in QUEUE_SIZES or size & (size - 1)):
            yield f"<driver {field}='{size}'>: not a power of two from {QUEUE_SIZES[0]} to {QUEUE_SIZES[-1]}"


def _teaming(card: Interface, caps: Capabilities) -> Iterator[str]:
    if card.teaming == "transient" and not card.teaming_partner:
        yield "<teaming type='transient'>: attribute 'persistent' is missing"
    if card.teaming == "persistent" and card.teaming_partner:
        yield "<teaming type='persistent'> has no attribute 'persistent'"
    if card.teaming == "persistent" and not card.is_virtio:
        yield f"<teaming type='persistent'> needs a virtio model, not '{card.model}'"
    if card.teaming == "transient" and card.type not in ("hostdev", "network"):
        yield f"<teaming type='transient'> is not for <interface type='{card.type}'>"
    if card.teaming and not caps.has_property("virtio-net-pci", "failover"):
        yield Lacking("<teaming>: this QEMU's virtio card has no failover")


def _user(card: Interface, caps: Capabilities) -> Iterator[str]:
    """What a card without a link of the host's may say: addresses, and what is passt's."""
    if card.type not in PASST:
        return
    families = [ip.family for ip in card.ips]
    if len(set(families)) != len(families):
        yield f"<interface type='{card.type}'> has at most one <ip> of each family"
    for ip in card.ips:
        if ip.peer:
            yield f"<interface type='{card.type}'>: <ip> has no peer"
        if ip.family == "ipv4" and ip.prefix and not 4 <= ip.prefix <= 27:
            yield f"<ip>: an ipv4 prefix here is 4 to 27, not {ip.prefix}"
        if ip.family == "ipv6" and ip.prefix and ip.prefix > 120:
            yield f"<ip>: an ipv6 prefix here is at most 120, not {ip.prefix}"
    yield from _passt(card, caps)


def _passt(card: Interface, caps: Capabilities) -> Iterator[str]:
    if card.backend == "passt":
        if card.type == "vhostuser" and card.source and card.source.path:
            yield "<interface type='vhostuser'>: with <backend type='passt'> its socket is ours"
        if card.type == "user" and not caps.has_schema("netdev_add/arg-type/type=stream"):
            yield Lacking("<backend type='passt'>: this QEMU has no stream network backend")
    else:
        if card.port_forwards or card.backend_log:
            yield "<portForward> and <backend logFile=> are for <backend type='passt'>"
        if card.backend_hostname or card.backend_fqdn:
            yield "<backend>: 'hostname' and 'fqdn' are for type 'passt'"
        if card.type == "vhostuser" and card.ips:
            yield "<ip> is not for <interface type='vhostuser'> without <backend type='passt'>"
    for forward in card.port_forwards:
        yield from _forward(forward)


def _forward(forward: PortForward) -> Iterator[str]:
    if forward.address is not None and family(forward.address) is None:
        yield f"<portForward address='{forward.address}'>: no IP address"
    for ports in forward.ranges:
        if ports.start is None:
            yield "<range>: its start is missing"
        elif ports.end is not None and ports.end < ports.start:
            yield f"<range start='{ports.start}' end='{ports.end}'>: ends before its start"
