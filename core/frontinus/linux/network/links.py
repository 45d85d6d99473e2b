"""Network links of the host: the few changes that a guest's interfaces need."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

from frontinus.linux.network.netlink import CREATE, EXCLUSIVE, NESTED, Netlink, attribute, attributes

NEWLINK, DELLINK, GETLINK, SETLINK, NEWADDR, NEWROUTE = 16, 17, 18, 19, 20, 24
_ADDRESS, _IFNAME, _MTU, _LINK, _MASTER, _PROTINFO, _LINKINFO = 1, 3, 4, 5, 10, 12, 18
_INFO_KIND, _INFO_DATA = 1, 2
_MACVLAN_MODE = 1
_PORT_ISOLATED = 33
_AF_BRIDGE = 7
_UP = 1

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthrough": 8}

_LINK_MESSAGE = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, mask of changed flags."""
_ADDRESS_MESSAGE = struct.Struct("=BBBBI")
_ROUTE_MESSAGE = struct.Struct("=BBBBBBBBI")


class Links:
    """Changes links of the engine's network namespace. Methods raise OSError; they block for microseconds."""

    def __init__(self) -> None:
        self._netlink = Netlink()

    def set_up(
        self, index: int, *, mac: bytes | None = None, mtu: int | None = None, master: int | None = None
    ) -> None:
        """Give a link its address, MTU and bridge, and switch it on: one request, all or an error."""
        body = _LINK_MESSAGE.pack(0, 0, index, _UP, _UP)
        if mac is not None:
            body += attribute(_ADDRESS, mac)
        if mtu is not None:
            body += attribute(_MTU, struct.pack("=I", mtu))
        if master is not None:
            body += attribute(_MASTER, struct.pack("=I", master))
        self._netlink.request(NEWLINK, body)

    def isolate(self, index: int, *, on: bool = True) -> None:
        """Forbid a bridge's port to reach other isolated ports, or let it."""
        port = attribute(_PORT_ISOLATED, bytes((on,)))
        self._netlink.request(
            SETLINK, _LINK_MESSAGE.pack(_AF_BRIDGE, 0, index, 0, 0) + attribute(_PROTINFO | NESTED, port)
        )

    def add_macvtap(self, name: str, lower: int, mode: str, mac: bytes) -> None:
        """Make a macvtap link over another. Raises FileExistsError when the name is taken."""
        data = attribute(_INFO_DATA, attribute(_MACVLAN_MODE, struct.pack("=I", MACVLAN_MODES[mode])))
        body = _LINK_MESSAGE.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, name.encode() + b"\0")
        body += attribute(_LINK, struct.pack("=I", lower)) + attribute(_ADDRESS, mac)
        body += attribute(_LINKINFO, attribute(_INFO_KIND, b"macvtap") + data)
        self._netlink.request(NEWLINK, body, CREATE | EXCLUSIVE)

    def kind(self, name: str) -> str | None:
        """What kind of link a name is: bridge, tun, macvtap..., "" for a plain device; None if there is none."""
        query = _LINK_MESSAGE.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, name.encode() + b"\0")
        try:
            answer = self._netlink.get(GETLINK, query)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        info = dict(attributes(dict(attributes(answer[_LINK_MESSAGE.size :])).get(_LINKINFO, memoryview(b""))))
        return bytes(info.get(_INFO_KIND, b"")).rstrip(b"\0").decode()

    def remove(self, name: str) -> None:
        """Remove a link; absent is fine."""
        try:
            index = socket.if_nametoindex(name)
            self._netlink.request(DELLINK, _LINK_MESSAGE.pack(0, 0, index, 0, 0))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def add_address(self, index: int, address: str, prefix: int | None, peer: str | None) -> None:
        """Give a link an address of the host. Raises ValueError for text that is none."""
        own = ipaddress.ip_address(address)
        other = ipaddress.ip_address(peer) if peer else own
        length = own.max_prefixlen if prefix is None else prefix
        body = _ADDRESS_MESSAGE.pack(_family(own), length, 0, 0, index)
        self._netlink.request(NEWADDR, body + attribute(2, own.packed) + attribute(1, other.packed), CREATE | EXCLUSIVE)

    def add_route(self, index: int, to: str, prefix: int | None, gateway: str | None, metric: int | None) -> None:
        """Route a network by way of a link. Raises ValueError for text that is no address."""
        target = ipaddress.ip_address(to)
        length = target.max_prefixlen if prefix is None else prefix
        main, static, universe, link, unicast = 254, 4, 0, 253, 1
        body = _ROUTE_MESSAGE.pack(
            _family(target), length, 0, 0, main, static, universe if gateway else link, unicast, 0
        )
        body += attribute(1, target.packed) + attribute(4, struct.pack("=I", index))
        if gateway:
            body += attribute(5, ipaddress.ip_address(gateway).packed)
        if metric is not None:
            body += attribute(6, struct.pack("=I", metric))
        self._netlink.request(NEWROUTE, body, CREATE | EXCLUSIVE)

    def close(self) -> None:
        self._netlink.close()


def _family(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
