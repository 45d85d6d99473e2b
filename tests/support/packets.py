"""Frames by hand: what an honest guest sends, what a hostile one does, and what a filter is to make of each.

Every frame ends with a mark of its own, so that it is known again on the other side of a bridge.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import itertools
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TUNSETIFF, TAP_NO_PI = 0x400454CA, 0x1002
SO_RCVBUFFORCE = 33
"""socket(7): more than the host's limit, so that nothing is lost on the way to us."""
BROADCAST = "ff:ff:ff:ff:ff:ff"
GUEST, PEER, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"
IP, SECOND, GATEWAY, STRANGER = "192.0.2.11", "192.0.2.12", "192.0.2.1", "192.0.2.66"
LINK_LOCAL, IP6, STRANGER6 = "fe80::5054:ff:fe00:1", "2001:db8::11", "2001:db8::66"

_marks = itertools.count(1)


def mark() -> bytes:
    return b"MARK" + next(_marks).to_bytes(8, "big")


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ether(kind: int, payload: bytes, source: str = GUEST, target: str = PEER) -> bytes:
    return mac(target) + mac(source) + kind.to_bytes(2, "big") + payload


def tagged(frame: bytes, vlan: int, kind: int = 0x8100) -> bytes:
    return frame[:12] + struct.pack("!HH", kind, vlan) + frame[12:]


def arp(sender: str = GUEST, address: str = IP, target: str = GATEWAY, operation: int = 1, *, source: str = GUEST,
        to: str = BROADCAST, kind: int = 0x0806, card: str = "00:00:00:00:00:00") -> bytes:  # fmt: skip
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac(sender) + socket.inet_aton(address)
    return ether(kind, body + mac(card) + socket.inet_aton(target) + mark(), source, to)


def ipv4(protocol: int, payload: bytes, source: str = IP, target: str = GATEWAY, *, ether_source: str = GUEST,
         ether_target: str = PEER, fragment: int = 0, options: bytes = b"") -> bytes:  # fmt: skip
    payload += mark()
    words = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(payload), 7, fragment, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(target)) + options  # fmt: skip
    total = sum(struct.unpack(f"!{2 * words}H", header))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    header = header[:10] + checksum.to_bytes(2, "big") + header[12:]
    return ether(0x0800, header + payload, ether_source, ether_target)


def ipv6(protocol: int, payload: bytes, source: str = IP6, target: str = "2001:db8::1", *,
         ether_source: str = GUEST, ether_target: str = PEER) -> bytes:  # fmt: skip
    payload += mark()
    addresses = b"".join(ipaddress.ip_address(one).packed for one in (source, target))
    return ether(0x86DD, struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + addresses + payload,
                 ether_source, ether_target)  # fmt: skip


def tcp(sport: int = 40000, dport: int = 80, flags: int = 2) -> bytes:
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, flags, 1000, 0, 0)


def udp(sport: int, dport: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload) + 12, 0) + payload


def dhcp(kind: int, transaction: int, *, reply: bool, given: str = "0.0.0.0", client: str = "0.0.0.0", card: str = GUEST,
         server: str | None = None, seconds: int | None = None, wanted: str | None = None) -> bytes:  # fmt: skip
    """A DHCP message: RFC 2131."""
    fixed = struct.pack("!BBBBIHH4s4s4s4s16s", 2 if reply else 1, 1, 6, 0, transaction, 0, 0, socket.inet_aton(client),
                        socket.inet_aton(given), bytes(4), bytes(4), mac(card)) + bytes(192)  # fmt: skip
    options = bytes((53, 1, kind))
    for code, value in ((54, server), (50, wanted)):
        if value is not None:
            options += bytes((code, 4)) + socket.inet_aton(value)
    if seconds is not None:
        options += bytes((51, 4)) + seconds.to_bytes(4, "big")
    return fixed + b"\x63\x82\x53\x63" + options + b"\xff"


def icmp6(kind: int, body: bytes = bytes(20)) -> bytes:
    return struct.pack("!BBH", kind, 0, 0) + body


@dataclass(frozen=True)
class Kind:
    """A kind of packet: who sends it, and whether it is to arrive through the filter `tenant`."""

    name: str
    make: Callable[[], bytes]
    passes: bool
    way: Literal["out", "in"] = "out"


TENANT = """<filter name='tenant' chain='root'>
  <filterref filter='no-mac-spoofing'/><filterref filter='no-ip-spoofing'/><filterref filter='no-ipv6-spoofing'/>
  <filterref filter='no-arp-spoofing'/>
  <rule action='drop' direction='out' priority='-750'><ip protocol='udp' srcportstart='67'/></rule>
  <rule action='drop' direction='out' priority='-650'><ipv6 protocol='udp' srcportstart='547'/></rule>
  <rule action='drop' direction='out' priority='-650'><ipv6 protocol='icmpv6' type='134'/></rule>
  <rule action='drop' direction='out' priority='-650'><ipv6 protocol='icmpv6' type='137'/></rule>
  <rule action='accept' direction='inout' priority='-500'><mac protocolid='ipv4'/></rule>
  <rule action='accept' direction='inout' priority='-500'><mac protocolid='ipv6'/></rule>
  <rule action='accept' direction='inout' priority='-500'><mac protocolid='arp'/></rule>
  <filterref filter='no-other-l2-traffic'/><filterref filter='qemu-announce-self'/>
</filter>"""
PARAMETERS = (("IP", IP), ("IP", SECOND), ("IPV6", LINK_LOCAL), ("IPV6", IP6))


def _rarp(sender: str = GUEST) -> bytes:
    return arp(sender, "0.0.0.0", "0.0.0.0", 3, kind=0x8035, card=sender)


KINDS: tuple[Kind, ...] = (
    Kind("ARP request", arp, True),
    Kind("ARP reply", lambda: arp(operation=2, to=PEER), True),
    Kind("ARP for its second address", lambda: arp(address=SECOND), True),
    Kind("ARP that announces its own address", lambda: arp(target=IP), True),
    Kind("ARP that claims the gateway's address", lambda: arp(address=GATEWAY, target=GATEWAY), False),
    Kind("ARP reply for a stranger's address", lambda: arp(address=STRANGER, operation=2, to=PEER), False),
    Kind("ARP with a forged sender's card", lambda: arp(sender=OTHER), False),
    Kind("ARP in a frame of a forged card", lambda: arp(source=OTHER), False),
    Kind("ARP probe from no address", lambda: arp(address="0.0.0.0"), False),
    Kind("IPv4 TCP", lambda: ipv4(6, tcp()), True),
    Kind("IPv4 TCP from its second address", lambda: ipv4(6, tcp(), SECOND), True),
    Kind("IPv4 ping", lambda: ipv4(1, b"\x08\x00" + bytes(6)), True),
    Kind("IPv4 from a stranger's address", lambda: ipv4(6, tcp(), STRANGER), False),
    Kind("IPv4 in a frame of a forged card", lambda: ipv4(6, tcp(), ether_source=OTHER), False),
    Kind("IPv4 UDP from no address", lambda: ipv4(17, udp(68, 67), "0.0.0.0", "255.255.255.255", ether_target=BROADCAST), True),
    Kind("IPv4 TCP from no address", lambda: ipv4(6, tcp(), "0.0.0.0"), False),
    Kind("IPv4 from the broadcast address", lambda: ipv4(17, udp(9, 9), "255.255.255.255"), False),
    Kind("IPv4 from a multicast address", lambda: ipv4(17, udp(9, 9), "224.0.0.9"), False),
    Kind("IPv4 from a loopback address", lambda: ipv4(6, tcp(), "127.0.0.1"), False),
    Kind("IPv4 to a multicast group", lambda: ipv4(17, udp(9, 9), target="239.1.2.3", ether_target="01:00:5e:01:02:03"), True),
    Kind("a later fragment of IPv4", lambda: ipv4(17, bytes(16), fragment=100), True),
    Kind("a later fragment of a stranger's IPv4", lambda: ipv4(17, bytes(16), STRANGER, fragment=100), False),
    Kind("IPv4 with options", lambda: ipv4(6, tcp(), options=b"\x01\x01\x01\x00"), True),
    Kind("a stranger's IPv4 with options", lambda: ipv4(6, tcp(), STRANGER, options=b"\x01\x01\x01\x00"), False),
    Kind("a DHCP server's answer", lambda: ipv4(17, udp(67, 68, dhcp(5, 1, reply=True, given=STRANGER))), False),
    Kind("IPv6 TCP", lambda: ipv6(6, tcp()), True),
    Kind("IPv6 neighbour solicitation", lambda: ipv6(58, icmp6(135), LINK_LOCAL, "ff02::1:ff00:1"), True),
    Kind("IPv6 from a stranger's address", lambda: ipv6(6, tcp(), STRANGER6), False),
    Kind("IPv6 from another's link-local address", lambda: ipv6(58, icmp6(136), "fe80::bad"), False),
    Kind("IPv6 in a frame of a forged card", lambda: ipv6(6, tcp(), ether_source=OTHER), False),
    Kind("a router advertisement", lambda: ipv6(58, icmp6(134), LINK_LOCAL, "ff02::1"), False),
    Kind("an IPv6 redirect", lambda: ipv6(58, icmp6(137), LINK_LOCAL), False),
    Kind("a DHCPv6 request", lambda: ipv6(17, udp(546, 547), LINK_LOCAL, "ff02::1:2"), True),
    Kind("a DHCPv6 server's answer", lambda: ipv6(17, udp(547, 546), LINK_LOCAL), False),
    Kind("a VLAN tag around IPv4", lambda: tagged(ipv4(6, tcp()), 7), False),
    Kind("a VLAN tag around a stranger's ARP", lambda: tagged(arp(address=STRANGER), 7), False),
    Kind("a priority tag around IPv4", lambda: tagged(ipv4(6, tcp()), 0xE000), False),
    Kind("two VLAN tags", lambda: tagged(tagged(ipv4(6, tcp()), 7), 8, 0x88A8), False),
    Kind("a bridge's BPDU", lambda: ether(0x0026, b"\x42\x42\x03" + bytes(35) + mark(), target="01:80:c2:00:00:00"), False),
    Kind("a frame of LLC", lambda: ether(0x0040, b"\xaa\xaa\x03" + bytes(40) + mark()), False),
    Kind("PPPoE", lambda: ether(0x8863, bytes(20) + mark()), False),
    Kind("MPLS", lambda: ether(0x8847, bytes(20) + mark()), False),
    Kind("802.1X", lambda: ether(0x888E, bytes(20) + mark()), False),
    Kind("a frame that wakes machines", lambda: ether(0x0842, bytes(20) + mark(), target=BROADCAST), False),
    Kind("IPv4 of ten bytes", lambda: ether(0x0800, b"\x45\x00\x00\x0a" + bytes(2) + mark()), False),
    Kind("QEMU's announcement by RARP", _rarp, True),
    Kind("an announcement of another's card", lambda: _rarp(OTHER), False),
    Kind("old QEMU's announcement", lambda: ether(0x0835, bytes(28) + mark(), target=BROADCAST), True),
    Kind("ARP to the guest", lambda: arp(PEER, GATEWAY, IP, source=PEER), True, "in"),
    Kind("IPv4 to the guest", lambda: ipv4(6, tcp(), GATEWAY, IP, ether_source=PEER, ether_target=GUEST), True, "in"),
    Kind("IPv6 to the guest",
         lambda: ipv6(6, tcp(), STRANGER6, IP6, ether_source=PEER, ether_target=GUEST), True, "in"),
    Kind("a VLAN tag to the guest",
         lambda: tagged(ipv4(6, tcp(), GATEWAY, IP, ether_source=PEER, ether_target=GUEST), 7), False, "in"),
    Kind("PPPoE to the guest", lambda: ether(0x8863, bytes(20) + mark(), PEER, GUEST), False, "in"),
    Kind("a bridge's BPDU to the guest",
         lambda: ether(0x0026, b"\x42\x42\x03" + bytes(35) + mark(), PEER, "01:80:c2:00:00:00"), False, "in"),
)  # fmt: skip


def ip_tool(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def open_tap(name: str) -> int:
    """A tap of the test's own."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP_NO_PI))
    return fd


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Frames that are sent on one CPU arrive in their order; each CPU has a queue of its own for what it has no time for."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Wire:
    """A bridge with a peer on it that hears and says anything: the other side of a guest's tap.

    `header`: bytes in front of each frame on the tap (virtio's, where the card is virtio).
    """

    def __init__(self, bridge: str = "br0") -> None:
        self.bridge = bridge
        self.header = 0
        for name in (
            "iptables",
            "ip6tables",
            "arptables",
        ):  # what IP's own filters make of bridged packets is not asked
            Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").write_text("0")
        ip_tool("link", "set", "lo", "up")
        ip_tool("link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
        ip_tool("link", "add", "peer", "address", PEER, "type", "veth", "peer", "name", "port")
        ip_tool("link", "set", "port", "master", bridge)
        for link in (bridge, "peer", "port"):
            ip_tool("link", "set", link, "up")
        self.peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3))
        self.peer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        self.peer.bind(("peer", 3))
        self.tap = -1

    def join(self, tap: int, name: str | None = None) -> None:
        """This is the guest's tap; with a name it is put on the bridge."""
        self.tap = tap
        os.set_blocking(tap, False)
        if name is not None:
            ip_tool("link", "set", name, "master", self.bridge)
            ip_tool("link", "set", name, "up")

    def close(self) -> None:
        self.peer.close()

    def send(self, frame: bytes, way: str = "out") -> None:
        frame = frame.ljust(60, b"\0")
        if way == "out":
            os.write(self.tap, bytes(self.header) + frame)
        else:
            self.peer.send(frame)

    def read(self, way: str) -> bytes | None:
        """The next frame on the other side; None when there is none now."""
        try:
            return self.peer.recv(4096) if way == "out" else os.read(self.tap, 4096)
        except BlockingIOError:
            return None

    async def arrived(self, frames: Iterable[bytes], way: str = "out", fence: bytes | None = None) -> list[bool]:
        """Send frames, then one that surely passes (`fence`); which of them were there when that one was."""
        frames = list(frames)
        ready = asyncio.Event()
        source = self.peer.fileno() if way == "out" else self.tap
        last = fence or (arp() if way == "out" else arp(PEER, GATEWAY, IP, source=PEER))
        with on_one_cpu():
            for frame in (*frames, last):
                self.send(frame, way)
        wanted = _mark_of(last)
        seen: set[bytes] = set()
        loop = asyncio.get_running_loop()
        loop.add_reader(source, ready.set)
        try:
            async with asyncio.timeout(60):
                while wanted not in seen:
                    ready.clear()
                    while (got := self.read(way)) is not None:
                        seen.add(_mark_of(got))
                    if wanted not in seen:
                        await ready.wait()
        finally:
            loop.remove_reader(source)
        return [_mark_of(frame) in seen for frame in frames]

    async def wrong(self, kinds: Iterable[Kind] = KINDS) -> list[str]:
        """The kinds of packet that were not treated as they should."""
        found: list[str] = []
        for way in ("out", "in"):
            chosen = [kind for kind in kinds if kind.way == way]
            verdicts = await self.arrived([kind.make() for kind in chosen], way)
            found += [f"{kind.name} {'passed' if passed else 'was dropped'}"
                      for kind, passed in zip(chosen, verdicts, strict=True) if passed != kind.passes]  # fmt: skip
        return found


def _mark_of(frame: bytes) -> bytes:
    at = frame.rfind(b"MARK")
    return frame[at : at + 12] if at >= 0 else b""
