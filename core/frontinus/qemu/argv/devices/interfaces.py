"""Network interfaces on the command line: the host's side (-netdev) and the guest's card (-device)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.chardev import CharEnd, CharSource
from frontinus.domain.devices.interface import QUEUED, TAPS, Interface, InterfaceSource
from frontinus.domain.devices.netparts import Ip, Route
from frontinus.domain.plan import Tap, Vfio
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.boot import boot_index
from frontinus.qemu.argv.chardev import chardev, fd_set
from frontinus.qemu.argv.context import Context, Props
from frontinus.qemu.argv.devices.passt import passt_props, passt_socket
from frontinus.qemu.argv.rom import rom_props
from frontinus.qemu.argv.virtio import virtio_driver, virtio_props

TX_MODES = {"iothread": "bh", "timer": "timer"}
OFFLOADS = {
    "host_csum": "csum", "host_gso": "gso", "host_tso4": "host_tso4", "host_tso6": "host_tso6",
    "host_ecn": "host_ecn", "host_ufo": "host_ufo", "mrg_rxbuf": "mrg_rxbuf", "guest_csum": "guest_csum",
    "guest_tso4": "guest_tso4", "guest_tso6": "guest_tso6", "guest_ecn": "guest_ecn", "guest_ufo": "guest_ufo",
}  # fmt: skip
"""Our fields and QEMU's properties of the offloads of a virtio card."""


def build(ctx: Context) -> None:
    """Emit every interface."""
    for card in ctx.guest.devices.interfaces:
        interface(ctx, card)


def interface(ctx: Context, card: Interface) -> None:
    """Emit one interface: host's side, then card."""
    if card.type == "hostdev":
        ctx.need(Vfio(f"/sys/bus/pci/devices/{_function(card)}", bool(card.managed)))
        ctx.props("device", assigned_props(ctx, card))
        return
    if card.type not in NETDEVS:
        raise Unsupported(f"<interface type='{card.type}'> is not supported")
    if card.queue_count > 1 and card.type not in QUEUED:
        raise Unsupported(f"<driver queues='{card.queues}'>: <interface type='{card.type}'> has one queue")
    _check_vlan(card)
    ctx.props("netdev", NETDEVS[card.type](ctx, card) | {"id": f"host{alias_of(card)}"})
    ctx.props("device", card_props(ctx, card))
    if card.link == "down":
        ctx.command("set_link", name=alias_of(card), up=False)


def _check_vlan(card: Interface) -> None:
    """VLAN tags need a virtual function or an Open vSwitch port behind the card. A network's is known to the engine."""
    port = card.virtual_port.type if card.virtual_port else None
    able = card.type == "network" or (card.type == "bridge" and port == "openvswitch") or (
        card.type == "direct" and _source(card).mode == "passthrough")  # fmt: skip
    if card.vlan and not able:
        raise Unsupported(f"<vlan>: <interface type='{card.type}'> here carries no VLAN tags")


def uses_vhost(ctx: Context, card: Interface) -> bool:
    """Whether packets bypass QEMU by the kernel's vhost-net: a virtio card on a tap, under KVM.

    Raises Unsupported when the definition insists and the host has no vhost-net.
    """
    if ctx.guest.type != "kvm" or card.driver == "qemu" or not card.is_virtio or card.type not in TAPS:
        return False
    if card.driver == "vhost" and not ctx.host.vhost_net:
        raise Unsupported("<driver name='vhost'>: this host has no vhost-net")
    return ctx.host.vhost_net


def _source(card: Interface) -> InterfaceSource:
    return card.source or InterfaceSource()


def _tap(ctx: Context, card: Interface) -> dict[str, object]:
    count = card.queue_count
    fds = tuple(ctx.fd() for _ in range(count))
    vhost = tuple(ctx.fd() for _ in range(count)) if uses_vhost(ctx, card) else ()
    ctx.need(tap(card, fds, vhost))
    return {
        "type": "tap",
        **_descriptors("fd", fds),
        **({"vhost": True, **_descriptors("vhostfd", vhost)} if vhost else {}),
        "sndbuf": card.sndbuf or None,
    }


def _descriptors(name: str, fds: tuple[int, ...]) -> dict[str, object]:
    """One descriptor by the name, several by its plural."""
    return {name: str(fds[0])} if len(fds) == 1 else {f"{name}s": ":".join(map(str, fds))}


def tap(card: Interface, fds: tuple[int, ...], vhost: tuple[int, ...]) -> Tap:
    """The tap that a card has on the host."""
    source = _source(card)
    return Tap(
        mac=card.mac or "",
        fds=fds,
        vhost_fds=vhost,
        name=card.target or "",
        bridge=source.bridge if card.type in ("bridge", "network") else None,
        network=source.network if card.type == "network" else None,
        portgroup=source.portgroup if card.type == "network" else None,
        mtu=card.mtu,
        managed=card.target_managed is not False,
        alias=alias_of(card),
        lower=source.device if card.type == "direct" else None,
        mode=source.mode if card.type == "direct" else None,
        vnet_hdr=card.is_virtio,
        isolated=bool(card.isolated),
        coalesce=card.coalesce,
        script=card.script,
        down_script=card.down_script,
        tap_device=card.tap_path or Tap.tap_device,
        vhost_device=card.vhost_path or Tap.vhost_device,
        addresses=tuple(_address(ip) for ip in source.ips),
        routes=tuple(_route(route) for route in source.routes),
        filter=card.filter_use,
    )


def _address(ip: Ip) -> tuple[str, int | None, str | None]:
    return ip.address, ip.prefix, ip.peer


def _route(route: Route) -> tuple[str, int | None, str | None, int | None]:
    return route.address, route.prefix_length, route.gateway, route.metric


def _user(ctx: Context, card: Interface) -> dict[str, object]:
    if card.backend == "passt":
        return passt_props(ctx, card)
    properties: dict[str, object] = {"type": "user"}
    for ip in card.ips:
        if ip.family == "ipv6":
            properties |= {"ipv6-prefix": ip.address, "ipv6-prefixlen": ip.prefix}
        else:
            properties["net"] = ip.address if ip.prefix is None else f"{ip.address}/{ip.prefix}"
    return {key: value for key, value in properties.items() if value is not None}


def _socket(key: str) -> Callable[[Context, Interface], dict[str, object]]:
    def properties(ctx: Context, card: Interface) -> dict[str, object]:
        source = _source(card)
        return {"type": "socket", key: f"{source.address or ''}:{source.port}"}

    return properties


def _udp(ctx: Context, card: Interface) -> dict[str, object]:
    source = _source(card)
    return {
        "type": "socket",
        "udp": f"{source.address}:{source.port}",
        "localaddr": f"{source.local_address}:{source.local_port}",
    }


def _vhost_user(ctx: Context, card: Interface) -> dict[str, object]:
    if card.by_passt:
        end = CharEnd(mode="connect", path=passt_socket(ctx, card))
    else:
        source = _source(card)
        end = CharEnd(mode="bind" if source.mode == "server" else "connect", path=source.path,
                      reconnect=source.reconnect, reconnect_timeout=source.reconnect_timeout)  # fmt: skip
    name = f"char{alias_of(card)}"
    # The switch must be there before the guest's memory is shared with it, so QEMU waits for it.
    chardev(ctx, CharSource(type="unix", sources=[end]), name, alias=alias_of(card), wait=True)
    return {"type": "vhost-user", "chardev": name, "queues": _several(card)}


def _vdpa(ctx: Context, card: Interface) -> dict[str, object]:
    device = _source(card).device or ""
    return {"type": "vhost-vdpa", "vhostdev": fd_set(ctx, device, device, device=True), "queues": _several(card)}


def _several(card: Interface) -> int | None:
    return card.queues if card.queue_count > 1 else None


NETDEVS: Mapping[str, Callable[[Context, Interface], dict[str, object]]] = {
    **dict.fromkeys(TAPS, _tap), "user": _user, "client": _socket("connect"), "server": _socket("listen"),
    "mcast": _socket("mcast"), "udp": _udp, "vhostuser": _vhost_user, "vdpa": _vdpa,
}  # fmt: skip


def card_props(ctx: Context, card: Interface) -> Props:
    """The card that the guest sees. Raises Unsupported for a model that this QEMU lacks."""
    model = card.model or ""
    driver = virtio_driver(ctx, "virtio-net", card, model) if card.is_virtio else model
    if not ctx.caps.has_type(driver):
        raise Unsupported(f"<interface>: model '{model}' is not supported by this QEMU")
    return {
        "driver": driver,
        **(_virtio(card) if card.is_virtio else {}),
        "netdev": f"host{alias_of(card)}",
        "id": alias_of(card),
        "mac": card.mac,
        "host_mtu": card.mtu if card.is_virtio else None,
        "bootindex": boot_index(ctx.guest, card),
        **address_props(ctx, card),
        **rom_props(card.rom),
    }


def _virtio(card: Interface) -> dict[str, object]:
    several = card.queue_count > 1 and isinstance(card.address, PciAddress)
    return {
        **virtio_props(card),
        "tx": TX_MODES.get(card.tx_mode or ""),
        "ioeventfd": card.ioeventfd,
        "event_idx": card.event_idx,
        **{name: getattr(card, field) for field, name in OFFLOADS.items()},
        "mq": True if several else None,
        # Two interrupts a pair of queues, one for the configuration, one for the control queue.
        "vectors": 2 * card.queue_count + 2 if several else None,
        "rx_queue_size": card.rx_queue_size or None,
        "tx_queue_size": card.tx_queue_size or None,
        "rss": card.rss,
        "hash": card.rss_hash_report,
        "failover": True if card.teaming == "persistent" else None,
    }


def _function(card: Interface) -> str:
    """The host's name of it."""
    host = _source(card).host_device or PciAddress()
    return f"{host.domain or 0:04x}:{host.bus or 0:02x}:{host.slot or 0:02x}.{host.function or 0:x}"


def assigned_props(ctx: Context, card: Interface) -> Props:
    """A PCI device of the host (a virtual function) that serves as the guest's card."""
    return {
        "driver": "vfio-pci",
        "host": _function(card),
        "id": alias_of(card),
        "bootindex": boot_index(ctx.guest, card),
        "failover_pair_id": card.teaming_partner if card.teaming == "transient" else None,
        **address_props(ctx, card),
        **rom_props(card.rom),
    }
