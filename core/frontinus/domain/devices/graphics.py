"""The <graphics> device: a display server of the guest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from frontinus.domain.devices.audio import check_audio
from frontinus.domain.devices.base import Device
from frontinus.domain.reasons import Lacking
from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import Port, UInt32, YesNo, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

KINDS = ("sdl", "vnc", "rdp", "desktop", "spice", "egl-headless", "dbus")
REFUSED = frozenset({"rdp", "desktop"})
SERVERS = frozenset({"vnc", "spice"})
"""Kinds that listen on the network or on a unix socket."""
ALWAYS_GL = frozenset({"egl-headless"})
CAN_GL = frozenset({"sdl", "spice", "egl-headless", "dbus"})
MODES = ("any", "secure", "insecure")
CHANNELS = ("main", "display", "inputs", "cursor", "playback", "record", "smartcard", "usbredir")
LONGEST_PASSWORD = 8
"""Of VNC, whose key is the password (RFC 6143, section 7.2.2)."""
FIRST_PORT, LAST_PORT = 5900, 65535
OPTIONS: tuple[tuple[str, frozenset[str]], ...] = (
    *((name, frozenset({"vnc"})) for name in ("websocket", "share_policy", "power_control", "socket")),
    *((name, frozenset({"spice"})) for name in (
        "tls_port", "default_mode", "channels", "image", "jpeg", "zlib", "playback", "streaming", "clipboard",
        "file_transfer", "mouse")),
    *((name, frozenset({"sdl"})) for name in ("display", "xauth", "fullscreen")),
    *((name, SERVERS) for name in ("port", "autoport", "password", "password_until", "connected", "keymap", "listens")),
    ("p2p", frozenset({"dbus"})), ("address_to", frozenset({"dbus"})), ("gl", CAN_GL),
    ("audio", frozenset({"vnc", "dbus"})),
)  # fmt: skip
"""The kinds that each option is for."""


class Listen(Model, tag="listen"):
    """Where a display server listens."""

    type: str = xml("@type", one_of("none", "address", "network", "socket"), required=True)
    address: str | None = xml("@address")
    network: str | None = xml("@network")
    socket: str | None = xml("@socket")


class ChannelMode(Model, tag="channel"):
    """Whether one SPICE channel is encrypted."""

    name: str = xml("@name", one_of(*CHANNELS), required=True)
    mode: str = xml("@mode", one_of(*MODES), required=True)


class Graphics(Device, tag="graphics"):
    """A <graphics> element. `port` is -1 where VNC's is chosen at each start, absent where SPICE's is."""

    type: str = xml("@type", one_of(*KINDS), required=True)
    port: int | None = xml("@port", Port)
    tls_port: int | None = xml("@tlsPort", Port)
    autoport: bool | None = xml("@autoport", YesNo)
    websocket: int | None = xml("@websocket", Port)
    websocket_generated: bool | None = xml("@websocketGenerated", YesNo, live=True)
    socket: str | None = xml("@socket")
    listen: str | None = xml("@listen")
    keymap: str | None = xml("@keymap")
    default_mode: str | None = xml("@defaultMode", one_of(*MODES))
    share_policy: str | None = xml("@sharePolicy", one_of("allow-exclusive", "force-shared", "ignore"))
    power_control: bool | None = xml("@powerControl", YesNo)
    password: str | None = xml("@passwd", secret=True)
    password_until: str | None = xml("@passwdValidTo")
    connected: str | None = xml("@connected", one_of("fail", "disconnect", "keep"))
    display: str | None = xml("@display")
    xauth: str | None = xml("@xauth")
    fullscreen: bool | None = xml("@fullscreen", YesNo)
    multi_user: bool | None = xml("@multiUser", YesNo)
    replace_user: bool | None = xml("@replaceUser", YesNo)
    p2p: bool | None = xml("@p2p", YesNo)
    address_to: str | None = xml("@address")
    listens: list[Listen] = many("listen", Listen)
    channels: list[ChannelMode] = many("channel", ChannelMode)
    image: str | None = xml("image/@compression", one_of("auto_glz", "auto_lz", "quic", "glz", "lz", "off"))
    jpeg: str | None = xml("jpeg/@compression", one_of("auto", "never", "always"))
    zlib: str | None = xml("zlib/@compression", one_of("auto", "never", "always"))
    playback: str | None = xml("playback/@compression", one_of("on", "off"))
    streaming: str | None = xml("streaming/@mode", one_of("filter", "all", "off"))
    clipboard: bool | None = xml("clipboard/@copypaste", YesNo)
    file_transfer: bool | None = xml("filetransfer/@enable", YesNo)
    mouse: str | None = xml("mouse/@mode", one_of("client", "server"))
    gl: bool | None = xml("gl/@enable", YesNo)
    render_node: str | None = xml("gl/@rendernode")
    audio: int | None = xml("audio/@id", UInt32)

    @property
    def main_listen(self) -> Listen:
        """The place that counts: the first."""
        return self.listens[0] if self.listens else Listen(type="none")

    @property
    def uses_gl(self) -> bool:
        """Whether it renders by OpenGL."""
        return self.type in ALWAYS_GL or bool(self.gl)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Settle the place and the ports, in the old attributes and in <listen> alike."""
        self.channels = [channel for channel in self.channels if channel.mode != "any"]
        self.default_mode = None if self.default_mode == "any" else self.default_mode
        self.fullscreen, self.p2p = self.fullscreen or None, self.p2p or None
        if self.type == "spice" and self.port == self.tls_port == -1:  # the old way to say it
            self.port, self.tls_port, self.autoport = None, None, True
        if self.type in SERVERS:
            self._complete_listens()
            self._complete_ports()

    def over(self, old: Graphics) -> Graphics:
        """A running display as this element changes it: what the element leaves open stays, ports that were chosen too."""
        said = {name: value for name in type(self)._specs if (value := getattr(self, name)) not in (None, False, [])}
        chosen = {"listen", *(("port", "tls_port", "websocket") if self.autoport and old.autoport else ())}
        if self.main_listen.type == "address" and self.main_listen.address is None:
            chosen.add("listens")
        login = {name: getattr(self, name) for name in ("password", "password_until")}
        return old.clone(**{name: value for name, value in said.items() if name not in chosen} | login)

    def forget(self, host: HostFacts) -> None:
        """Drop ports and sockets that a start chose."""
        if self.autoport:
            self.port = self.tls_port = None
        if self.websocket_generated:
            self.websocket, self.websocket_generated = -1, None
        ours = (f"{host.paths.state}/", "/var/lib/libvirt/qemu/")
        if self.socket and self.socket.startswith(ours):
            self.socket = None
        for listen in self.listens:
            if listen.socket and listen.socket.startswith(ours):
                listen.socket = None

    def _complete_listens(self) -> None:
        if self.socket and (not self.listens or self.listens[0].type == "address"):
            self.listens[:1] = [Listen(type="socket", socket=self.socket)]
        if not self.listens:
            self.listens.append(Listen(type="address", address=self.listen))
        first = self.listens[0]
        if first.type == "address" and first.address is None:
            first.address = self.listen
        if first.type == "address" and self.type == "spice" and not (self.autoport or self.port or self.tls_port):
            self.listens[0] = first = Listen(type="none")
        if first.type not in ("address", "network"):
            self.listen = None
        elif self.listen is None:  # else it is checked to be the same
            self.listen = first.address
        if first.type != "socket" or self.type != "vnc":
            self.socket = None
        elif self.socket is None:  # else it is checked to be the same
            self.socket = first.socket

    def _complete_ports(self) -> None:
        if self.main_listen.type not in ("address", "network"):
            self.port = self.tls_port = self.autoport = None
        elif self.type == "vnc" and self.autoport is False and not self.port:
            self.port = None  # as it is written: its start says what is missing
        elif self.type == "vnc":
            self.autoport = bool(self.autoport) or not self.port or self.port < 0
            self.port = self.port or -1
        else:
            self.autoport = bool(self.autoport)

    def prepare(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Place the socket of this run, and choose the GPU that renders."""
        first = self.listens[0] if self.listens else None
        if first and first.type == "address" and first.address is None and self.type in host.sockets_first:
            self.listens[0] = first = Listen(type="socket")
            self.port = self.tls_port = self.autoport = self.listen = None
        if first and first.type == "socket" and first.socket is None:
            first.socket = f"{host.paths.guest(guest.id if guest.id is not None else -1, guest.name)}/{self.type}.sock"
            self.socket = first.socket if self.type == "vnc" else None
        if self.uses_gl and self.render_node is None and self.type != "sdl" and host.render_nodes:
            self.render_node = host.render_nodes[0]

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this display cannot be."""
        if self.type in REFUSED:
            yield f"<graphics type='{self.type}'> is not of this hypervisor"
            return
        displays = guest.devices.graphics
        if sum(1 for other in displays if other.type == self.type) > 1:
            yield f"only one <graphics type='{self.type}'> is possible"
        if self.uses_gl and sum(1 for other in displays if other.uses_gl) > 1:
            yield "<graphics>: only one display can use OpenGL"
        if self.type == "sdl" and any(other.type == "egl-headless" for other in displays):
            yield "<graphics type='egl-headless'> is for displays of type vnc, spice and dbus, not sdl"
        for name, kinds in OPTIONS:
            if getattr(self, name) not in (None, []) and self.type not in kinds:
                yield f"<graphics type='{self.type}'> has no {type(self)._specs[name].path.replace('@', '')}"
        yield from self._check_listens()
        yield from self._check_login()
        if self.power_control is not None and not caps.has_option("vnc", "power-control"):
            yield Lacking("<graphics>: this QEMU's VNC server has no powerControl")
        yield from check_audio(guest, self.audio, f"<graphics type='{self.type}'>")
        if self.type == "dbus" and self.p2p and self.address_to:
            yield "<graphics type='dbus'>: p2p and an address exclude each other"

    def _check_listens(self) -> Iterator[str]:
        for listen in self.listens:
            if listen.type == "network" and not listen.network:
                yield "<listen type='network'>: attribute 'network' is missing"
            if listen.type != "socket" and listen.socket:
                yield f"<listen type='{listen.type}'> has no socket"
            if listen.type == "socket" and (listen.address or listen.network):
                yield "<listen type='socket'> has neither an address nor a network"
            if listen.type == "none" and (listen.address or listen.network or listen.socket):
                yield "<listen type='none'> has no attribute besides"
        first = self.main_listen
        if first.type == "address" and self.listen and first.address and self.listen != first.address:
            yield f"<graphics>: listen '{self.listen}' is not the address '{first.address}' of the first <listen>"
        if first.type == "socket" and self.socket and first.socket and self.socket != first.socket:
            yield f"<graphics>: socket '{self.socket}' is not the socket '{first.socket}' of the first <listen>"
        if self.type == "vnc" and self.port is not None and 0 < self.port < FIRST_PORT:
            yield f"<graphics type='vnc'>: the port is at least {FIRST_PORT}, not {self.port}"

    def _check_login(self) -> Iterator[str]:
        if self.type == "vnc" and len(self.password or "") > LONGEST_PASSWORD:
            yield f"<graphics type='vnc'>: the password has more than {LONGEST_PASSWORD} characters"
        if self.password_until and not is_moment(self.password_until):
            yield f"<graphics>: passwdValidTo '{self.password_until[:40]}' is no time like 2030-01-31T12:00:00"
        if self.type == "vnc" and self.connected not in (None, "keep"):
            yield f"<graphics type='vnc'>: connected='{self.connected}' is not possible, only 'keep'"


def is_moment(text: str) -> bool:
    """Whether this is a time of the calendar, like 2030-01-31T12:00:00."""
    try:
        datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return False
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", text) is not None


def assign_ports(guest: Guest, free: Callable[[], int]) -> None:
    """Give each display server of a runtime copy the ports that it left open. `free` returns another port each time."""
    for display in guest.devices.graphics:
        if display.type == "vnc":
            if display.port == -1:
                display.port = free()
            if display.websocket == -1:
                display.websocket, display.websocket_generated = free(), True
        elif display.type == "spice" and display.autoport:
            plain, encrypted = wanted_ports(display)
            display.port = free() if plain else None
            display.tls_port = free() if encrypted else None


def wanted_ports(display: Graphics) -> tuple[bool, bool]:
    """Whether a SPICE server needs a plain port and an encrypted one."""
    modes = {display.default_mode or "any", *(channel.mode for channel in display.channels)}
    return bool(modes & {"any", "insecure"}), "secure" in modes
