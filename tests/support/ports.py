"""Ports for programs that cannot be asked to choose one."""

from __future__ import annotations

import random
import socket
from pathlib import Path

FIRST = 10240
"""Above what services and displays of guests have."""
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that is free for TCP and UDP.

    It is none of those that the kernel chooses from, so nobody gets it by chance before its program does, and never the same twice.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    dice = random.SystemRandom()  # one that no other run of the tests has too
    for _ in range(1000):
        port = dice.randrange(FIRST, end)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise AssertionError(f"no port from {FIRST} to {end} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
