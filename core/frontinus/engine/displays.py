"""Ports of display servers: each running guest has its own, none that another program listens on."""

from __future__ import annotations

import socket

from frontinus.api.errors import HostFailed
from frontinus.domain.devices.graphics import FIRST_PORT
from frontinus.domain.guest import Guest

LAST_PORT = 65535


class DisplayPorts:
    """The ports that are given out, from the start of a guest to its end."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self) -> int:
        """The lowest port that is free here and on the host. Raises HostFailed when there is none."""
        for port in range(FIRST_PORT, LAST_PORT + 1):
            if port not in self._taken and _free(port):
                self._taken.add(port)
                return port
        raise HostFailed("no port is free for a display", what="port")

    def adopt(self, guest: Guest) -> None:
        """A guest that was found running keeps its ports."""
        self._taken |= _ports(guest)

    def release(self, guest: Guest) -> None:
        """The guest is gone, or was never started."""
        self._taken -= _ports(guest)


def _ports(guest: Guest) -> set[int]:
    ports = {port for display in guest.devices.graphics for port in (display.port, display.tls_port, display.websocket)}
    return {port for port in ports if port is not None and port > 0}


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
