"""Display servers on the command line."""

from __future__ import annotations

import datetime

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.graphics import SERVERS, Graphics, Listen
from frontinus.domain.plan import Helper, Label
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.devices.audio import audio_of
from frontinus.qemu.argv.tls import let_read, tls_credentials, tls_folder

VNC_BASE = 5900
DBUS_DAEMON = "/usr/bin/dbus-daemon"
SWITCHES = {"secure": "tls-channel", "insecure": "plaintext-channel"}


def build(ctx: Context) -> None:
    """Emit every display; a guest without one says so."""
    displays = ctx.guest.devices.graphics
    if not displays:
        ctx.text("display", "none")
    for display in displays:
        if not _has(ctx, display.type):
            raise Unsupported(f"<graphics type='{display.type}'> is not supported by this QEMU")
        BUILDERS[display.type](ctx, display)


def _has(ctx: Context, kind: str) -> bool:
    """Whether this QEMU was built with a kind of display."""
    if kind in SERVERS:
        return ctx.caps.has_command(f"query-{kind}")
    return ctx.caps.has_schema(f"query-display-options/ret-type/type={kind}")


def listen_address(ctx: Context, display: Graphics, listen: Listen) -> str:
    """The address of a server: the definition's, its network's, or the host's default."""
    if listen.address:
        return listen.address
    if listen.type == "network":
        address = ctx.host.network_addresses.get(listen.network or "")
        if address is None:
            raise Unsupported(f"<listen>: network '{listen.network}' has no address on this host")
        return address
    return ctx.host.vnc_listen if display.type == "vnc" else ctx.host.spice_listen


def _vnc(ctx: Context, display: Graphics) -> None:
    listen = display.main_listen
    password = display.password is not None or "vnc" in ctx.host.passwords
    credentials = None
    if "vnc" in ctx.host.tls_on:
        credentials = tls_credentials(ctx, "vnc", "vnc-tls-creds0", server=True)
    sasl = "vnc" in ctx.host.sasl
    ctx.props("vnc", {
        "vnc": _vnc_place(ctx, display, listen),
        "websocket": display.websocket or None if listen.type in ("address", "network") else None,
        "share": display.share_policy,
        "password": True if password else None,
        "tls-creds": credentials,
        "sasl": True if sasl else None,
        "power-control": display.power_control,
        "audiodev": audio_of(ctx, display.audio),
    })  # fmt: skip
    _keymap(ctx, display)
    _password(ctx, display)


def _vnc_place(ctx: Context, display: Graphics, listen: Listen) -> str:
    if listen.type == "socket":
        return f"unix:{listen.socket}"
    if listen.type == "none":
        return "none"
    address = listen_address(ctx, display, listen)
    if display.port is None:
        raise Unsupported("<graphics type='vnc' autoport='no'>: port is missing", element="graphics")
    port = display.port
    if port < VNC_BASE:
        raise Unsupported(f"<graphics type='vnc'>: port {port} is none that VNC can listen on")
    return f"[{address}]:{port - VNC_BASE}" if ":" in address else f"{address}:{port - VNC_BASE}"


def _spice(ctx: Context, display: Graphics) -> None:
    if display.tls_port:
        let_read(ctx, tls_folder(ctx, "spice"), server=True)
    password = display.password is not None or "spice" in ctx.host.passwords
    modes = [("default", display.default_mode), *((channel.name, channel.mode) for channel in display.channels)]
    channels = {
        option: [{"str": name} for name, mode in modes if mode == kind] or None for kind, option in SWITCHES.items()
    }
    secured = channels["tls-channel"] is not None
    if display.gl and display.main_listen.type in ("address", "network"):
        raise Unsupported("<graphics type='spice'>: OpenGL works for listeners of type 'none' and 'socket' alone")
    if secured and not display.tls_port and display.main_listen.type in ("address", "network"):
        raise Unsupported("<graphics type='spice'>: secure channels need a tlsPort")
    ctx.props("spice", {
        **_spice_place(ctx, display),
        "sasl": True if "spice" in ctx.host.sasl else None,
        "agent-mouse": None if display.mouse is None else display.mouse == "client",
        "disable-ticketing": None if password else True,
        "x509-dir": tls_folder(ctx, "spice") if display.tls_port else None,
        **channels,
        "image-compression": display.image,
        "jpeg-wan-compression": display.jpeg,
        "zlib-glz-wan-compression": display.zlib,
        "playback-compression": display.playback,
        "streaming-video": display.streaming,
        "disable-copy-paste": True if display.clipboard is False else None,
        "disable-agent-file-xfer": True if display.file_transfer is False else None,
        "gl": True if display.gl else None,
        "rendernode": _render_node(ctx, display),
        "seamless-migration": True,
    })  # fmt: skip
    _keymap(ctx, display)
    _password(ctx, display)


def _spice_place(ctx: Context, display: Graphics) -> dict[str, object]:
    listen = display.main_listen
    if listen.type == "socket":
        return {"unix": "unix", "addr": listen.socket}
    if listen.type == "none":
        return {"port": 0}
    return {
        "port": display.port or None,
        "tls-port": display.tls_port or None,
        "addr": listen_address(ctx, display, listen),
    }


def _keymap(ctx: Context, display: Graphics) -> None:
    if display.keymap:
        ctx.text("k", display.keymap)


def _password(ctx: Context, display: Graphics) -> None:
    """A password goes by the monitor, never by an argument. Without one of its own a guest has the host's."""
    password = display.password if display.password is not None else ctx.host.passwords.get(display.type)
    if password is None:
        return
    connected = {"connected": display.connected} if display.connected else {}
    ctx.command("set_password", protocol=display.type, password=password, **connected)
    if display.password_until:
        ctx.command("expire_password", protocol=display.type, time=expiry(display.password_until))


def expiry(until: str) -> str:
    """A time of the XML (UTC, no zone) as QEMU's: seconds since 1970."""
    moment = datetime.datetime.fromisoformat(until.removesuffix("Z"))
    return str(int(moment.replace(tzinfo=datetime.UTC).timestamp()))


def _sdl(ctx: Context, display: Graphics) -> None:
    if display.xauth:
        ctx.env["XAUTHORITY"] = display.xauth
    if display.display:
        ctx.env["DISPLAY"] = display.display
    if display.fullscreen:
        ctx.flag("full-screen")
    ctx.props("display", {"type": "sdl", "gl": display.gl})


def _render_node(ctx: Context, display: Graphics) -> str | None:
    """The GPU that renders, which guests share."""
    if display.render_node and display.uses_gl:
        ctx.need(Label(display.render_node, shared=True))
        return display.render_node
    return None


def _egl(ctx: Context, display: Graphics) -> None:
    ctx.props("display", {"type": "egl-headless", "rendernode": _render_node(ctx, display)})


def _dbus(ctx: Context, display: Graphics) -> None:
    """A display on a bus: peer to peer, the user's own, or one that lives as long as the guest."""
    address = display.address_to
    if address is None and not display.p2p:
        socket = f"{ctx.folder}/dbus.sock"
        address = f"unix:path={socket}"
        arguments = ("--session", "--nofork", "--nopidfile", f"--address={address}")
        ctx.need(Helper("dbus", (DBUS_DAEMON, *arguments), socket))
    ctx.props("display", {
        "type": "dbus",
        "p2p": True if display.p2p else None,
        "addr": None if display.p2p else address,
        "gl": display.gl,
        "rendernode": _render_node(ctx, display),
        "audiodev": audio_of(ctx, display.audio) if display.audio is not None else None,
    })  # fmt: skip


BUILDERS = {"vnc": _vnc, "spice": _spice, "sdl": _sdl, "egl-headless": _egl, "dbus": _dbus}
