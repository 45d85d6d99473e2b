"""Ports of display servers: each running guest has its own, none that another program listens on."""

from __future__ import annotations

import socket
import time

from frontinus.api.errors import HostFailed, HypervisorFailed
from frontinus.domain.devices.graphics import FIRST_PORT
from frontinus.domain.guest import Guest

LAST_PORT = 65535
AVOIDED_SECONDS = 60.0
"""Seconds that a port is left alone which looked free but was not: another engine's guest, or one on another address."""
BUSY = ("Address already in use", "Failed to find an available port")
"""What QEMU says, or SPICE in its log, when it cannot listen."""


class DisplayPorts:
    """The ports that are given out, from the start of a guest to its end."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._avoided: dict[int, float] = {}

    def take(self) -> int:
        """The lowest port that is free here and on the host. Raises HostFailed when there is none."""
        for port in range(FIRST_PORT, LAST_PORT + 1):
            if port not in self._taken and self._avoided.get(port, 0) < time.monotonic() and _free(port):
                self._taken.add(port)
                return port
        raise HostFailed("no port is free for a display", what="port")

    def avoid(self, guest: Guest) -> None:
        """The ports that a start chose for this guest were not free after all: the next to be taken are others."""
        until = time.monotonic() + AVOIDED_SECONDS
        self._avoided |= dict.fromkeys(_chosen(guest), until)

    def adopt(self, guest: Guest) -> None:
        """A guest that was found running keeps its ports."""
        self._taken |= _ports(guest)

    def release(self, guest: Guest) -> None:
        """The guest is gone, or was never started."""
        self._taken -= _ports(guest)


def _ports(guest: Guest) -> set[int]:
    ports = {port for display in guest.devices.graphics for port in (display.port, display.tls_port, display.websocket)}
    return {port for port in ports if port is not None and port > 0}


def _chosen(guest: Guest) -> set[int]:
    """The ports of a prepared guest that a start chose."""
    displays = guest.devices.graphics
    sockets = {display.websocket for display in displays if display.websocket_generated}
    found = {port for display in displays if display.autoport for port in (display.port, display.tls_port)} | sockets
    return {port for port in found if port is not None and port > 0}


def is_busy(error: HypervisorFailed, guest: Guest) -> bool:
    """Whether a prepared guest did not start because a port that was chosen for it is another's."""
    said = f"{error.message}\n{error.details.get('log', '')}"
    return bool(_chosen(guest)) and any(words in said for words in BUSY)


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
