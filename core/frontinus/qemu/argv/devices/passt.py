"""passt as the host's side of an interface: a helper beside QEMU that needs no privileges."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.devices.interface import Interface, PortForward, PortRange
from frontinus.domain.plan import Helper
from frontinus.qemu.argv.address import alias_of
from frontinus.qemu.argv.context import Context

PROGRAM = "/usr/bin/passt"


def passt_props(ctx: Context, card: Interface) -> dict[str, object]:
    """List the helper, and return the properties of the netdev that connects to it."""
    return {"type": "stream", "addr": {"type": "unix", "path": passt_socket(ctx, card)}, "server": False}


def passt_socket(ctx: Context, card: Interface) -> str:
    """List the helper; returns the socket on which it waits for QEMU."""
    socket = f"{ctx.folder}/{alias_of(card)}-passt.sock"
    ctx.need(Helper(f"passt-{alias_of(card)}", (PROGRAM, *_arguments(card, socket)), socket))
    return socket


def _arguments(card: Interface, socket: str) -> Iterator[str]:
    yield from ("--foreground", "--one-off", "--socket", socket, "--mac-addr", card.mac or "")
    if card.type == "vhostuser":
        yield "--vhost-user"
    if card.source and card.source.device:
        yield from ("--interface", card.source.device)
    if card.backend_log:
        yield from ("--log-file", card.backend_log)
    if card.backend_hostname:
        yield from ("--hostname", card.backend_hostname)
    if card.backend_fqdn:
        yield from ("--fqdn", card.backend_fqdn)
    for ip in card.ips:
        yield from ("--address", ip.address)
        if ip.family == "ipv4" and ip.prefix is not None:
            yield from ("--netmask", str(ip.prefix))
    for forward in card.port_forwards:
        yield from (f"--{forward.proto}-ports", forwarded(forward))


def forwarded(forward: PortForward) -> str:
    """Ports of one <portForward> in passt's words: address%device/3-5:13-15,~4; all ports without ranges."""
    device = f"%{forward.device}" if forward.device else ""
    prefix = f"{forward.address or ''}{device}/" if forward.address or device else ""
    return prefix + (",".join(_range(ports) for ports in forward.ranges) if forward.ranges else "all")


def _range(ports: PortRange) -> str:
    first, last = ports.start or 0, ports.end or ports.start or 0
    text = f"{first}" if first == last else f"{first}-{last}"
    if ports.exclude:
        return f"~{text}"
    if ports.to:
        text += f":{ports.to}" if first == last else f":{ports.to}-{ports.to + last - first}"
    return text
