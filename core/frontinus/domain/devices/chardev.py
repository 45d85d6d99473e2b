"""The host's end of a character device: where its bytes go. Shared by all devices that have such an end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import SecurityLabel
from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import OnOff, UInt32, YesNo, one_of

if TYPE_CHECKING:
    from frontinus.domain.guest import Guest

KINDS = (
    "null", "vc", "pty", "dev", "file", "pipe", "stdio", "udp", "tcp", "unix", "spicevmc", "spiceport", "nmdm",
    "qemu-vdagent", "dbus",
)  # fmt: skip
WITH_PATH = frozenset({"dev", "file", "pipe"})
SOCKETS = frozenset({"tcp", "unix"})


class CharEnd(Model, tag="source"):
    """One <source>: which of its attributes have a meaning depends on the kind."""

    mode: str | None = xml("@mode", one_of("connect", "bind"))
    path: str | None = xml("@path")
    append: bool | None = xml("@append", OnOff)
    startup_policy: str | None = xml("@startupPolicy", one_of("mandatory", "requisite", "optional"))
    host: str | None = xml("@host")
    service: str | None = xml("@service")
    tls: bool | None = xml("@tls", YesNo)
    channel: str | None = xml("@channel")
    master: str | None = xml("@master")
    slave: str | None = xml("@slave")
    clipboard: bool | None = xml("clipboard/@copypaste", YesNo)
    mouse: str | None = xml("mouse/@mode", one_of("server", "client"))
    reconnect: bool | None = xml("reconnect/@enabled", YesNo)
    reconnect_timeout: int | None = xml("reconnect/@timeout", UInt32)
    seclabels: list[SecurityLabel] = many("seclabel", SecurityLabel)


class CharSource(Model):
    """What every device with a character end has: kind, sources (two for UDP), protocol and log."""

    type: str = xml("@type", one_of(*KINDS), default="pty")
    sources: list[CharEnd] = many("source", CharEnd)
    protocol: str | None = xml("protocol/@type", one_of("raw", "telnet", "telnets", "tls"))
    log_file: str | None = xml("log/@file", needed=True)
    log_append: bool | None = xml("log/@append", OnOff)

    @property
    def end(self) -> CharEnd:
        """The one source of every kind but UDP; an empty one where it was left out."""
        return self.sources[0] if self.sources else CharEnd()

    @property
    def source_path(self) -> str | None:
        """The path of the one source; for a pty, the device that the kernel gave to this run."""
        return self.end.path

    @source_path.setter
    def source_path(self, path: str | None) -> None:
        if not self.sources:
            self.sources.append(CharEnd())
        self.sources[0].path = path

    @property
    def listens(self) -> bool:
        """Whether this end is the server of its socket."""
        return self.type in SOCKETS and self.end.mode == "bind"

    def udp(self, mode: str) -> CharEnd | None:
        """The source that UDP receives on ("bind") or sends to ("connect")."""
        return next((end for end in self.sources if (end.mode or "connect") == mode), None)

    def complete_source(self) -> None:
        """Name the mode and protocol that sockets have when nothing is said."""
        if self.type == "udp":
            self.sources.sort(key=lambda end: end.mode != "bind")
        if self.type in ("null", "vc", "stdio", "spicevmc"):
            self.sources.clear()
        if self.type == "tcp" and self.protocol is None:
            self.protocol = "raw"
        if self.type != "tcp":
            self.protocol = None
        for end in self.sources:
            if self.type in ("udp", "tcp", "unix") and end.mode is None:
                end.mode = "connect"

    def check_source(self, *, path_optional: bool = False) -> Iterator[str]:
        """Reasons why this end cannot be. `path_optional`: a unix socket may leave its path to us."""
        end = self.end
        if len(self.sources) > 1 and self.type != "udp":
            yield f"a {self.type} character device has one <source>"
        modes = [end.mode or "connect" for end in self.sources]
        if len(set(modes)) != len(modes):
            yield "character device: two <source> elements of one mode"
        yield from self._missing(path_optional)
        if end.reconnect and not end.reconnect_timeout:
            yield "<reconnect>: the timeout is missing or zero"
        if end.reconnect and (end.mode == "bind" or (self.type == "unix" and end.path is None)):
            yield "<reconnect> is for sockets of mode 'connect'"
        if self.type == "tcp" and self.protocol in ("telnets", "tls"):
            yield f"<protocol type='{self.protocol}'>: QEMU encrypts what says <source tls='yes'>"
        if self.type == "nmdm":
            yield "character devices of type 'nmdm' are not of this hypervisor"
        if self.type == "spiceport" and end.channel and not re.fullmatch(r"[A-Za-z0-9._-]+", end.channel):
            yield f"<source>: channel '{end.channel}' has characters other than letters, digits and .-_"

    def check_display(self, guest: Guest) -> Iterator[str]:
        """A display's own ends need that display."""
        needs = {"spicevmc": "spice", "spiceport": "spice", "dbus": "dbus"}.get(self.type)
        if needs and all(display.type != needs for display in guest.devices.graphics):
            yield f"a character device of type '{self.type}' needs <graphics type='{needs}'>"

    def _missing(self, path_optional: bool) -> Iterator[str]:
        end = self.end
        needed: list[tuple[str, str | None]] = []
        if self.type in WITH_PATH or (self.type == "unix" and not path_optional):
            needed = [("path", end.path)]
        elif self.type == "tcp":
            needed = [("host", end.host), ("service", end.service)]
        elif self.type == "udp":
            sink = self.udp("connect")
            needed = [("service", sink.service if sink else None)]
        elif self.type in ("spiceport", "dbus"):
            needed = [("channel", end.channel)]
        for name, value in needed:
            if not value:
                yield f"<source> of a {self.type} character device: attribute '{name}' is missing"
