"""The demo guest's network: the default one where the engine has it, else a tap of its own, else QEMU's user network."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from frontinus.api import Engine

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
USER = "<interface type='user'><model type='virtio'/></interface>"
TAP = """<interface type='ethernet'>
      <source><ip family='ipv4' address='{host}' prefix='30'/></source>
      <model type='virtio'/>
    </interface>"""


DEFAULT = "<interface type='network'><source network='default'/><model type='virtio'/></interface>"


@dataclass(frozen=True)
class Network:
    """The <interface> of the guest, and the words for its kernel's command line."""

    xml: str
    words: dict[str, str]


async def chosen(engine: Engine) -> Network:
    """The engine's default network, or what there is without it."""
    active = await engine.networks(active=True)
    return Network(DEFAULT, {"net": "dhcp"}) if any(view.name == "default" for view in active) else network()


def network() -> Network:
    """Two addresses of the range that is set aside for tests of networks (RFC 2544), or QEMU's user network."""
    if not taps_allowed():
        return Network(USER, {})
    block = os.getpid() % 0x4000 * 4  # a /30 that two demos on one host seldom share
    host, guest = (f"198.18.{(block + n) >> 8}.{(block + n) & 255}" for n in (1, 2))
    return Network(TAP.format(host=host), {"net": f"{guest}/30", "ping": host})


def taps_allowed() -> bool:
    """Whether a tap can be made here; the one made to see is gone again."""
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"", IFF_TAP | IFF_NO_PI))
    except OSError:
        return False
    finally:
        os.close(tun)
    return True


def free_port(wanted: int) -> int:
    """The wanted port of the loopback address, or another one where that is taken for TCP or UDP."""
    for port in (wanted, 0):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", port))
            free = int(tcp.getsockname()[1])
            udp.bind(("127.0.0.1", free))
            return free
    return wanted
