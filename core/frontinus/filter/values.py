"""The kinds of value that attributes of a rule have, each as a codec; any may be a variable instead.

Names and numbers: IEEE 802 and IANA registries (EtherTypes, ARP operation codes, protocol numbers).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from frontinus.xml.codecs import Codec, Mac, one_of

STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "NONE")
TCP_FLAGS = ("SYN", "ACK", "URG", "PSH", "FIN", "RST")
ETHER_TYPES = {"ipv4": 0x0800, "ipv6": 0x86DD, "arp": 0x0806, "rarp": 0x8035, "vlan": 0x8100}
PROTOCOL_NUMBERS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132, "udplite": 136,
}  # fmt: skip
ARP_OPERATIONS = {
    "Request": 1, "Reply": 2, "Request_Reverse": 3, "Reply_Reverse": 4, "DRARP_Request": 5, "DRARP_Reply": 6,
    "DRARP_Error": 7, "InARP_Request": 8, "ARP_NAK": 9,
}  # fmt: skip
LONGEST_COMMENT = 256
LONGEST_SET_NAME = 31

REFERENCE = re.compile(r"\$([A-Za-z0-9_]+)(?:\[\s*(@?)\s*(\d{1,9})\s*\])?\s*")


class Number(int):
    """An integer that is written again as it was written: decimal or hexadecimal."""

    hexadecimal = False


@dataclass(frozen=True)
class Reference:
    """A variable: all of its values by the iterator of this number, or the one value at an index."""

    name: str
    iterator: int = 0
    index: int | None = None

    def __str__(self) -> str:
        if self.index is not None:
            return f"${self.name}[{self.index}]"
        return f"${self.name}[@{self.iterator}]" if self.iterator else f"${self.name}"


def reference(text: str) -> Reference:
    """Parse a variable. Raises ValueError."""
    found = REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:60]}' is not a variable, such as $IP, $IP[2] or $IP[@1]")
    name, by_iterator, number = found.groups()
    if number is None:
        return Reference(name)
    return Reference(name, iterator=int(number)) if by_iterator else Reference(name, index=int(number))


def variable(codec: Codec[Any]) -> Codec[Any]:
    """Values of a codec, or a variable that stands for some."""

    def parse(text: str) -> Any:
        text = text.strip()
        return reference(text) if text.startswith("$") else codec.parse(text)

    return Codec(parse, lambda value: str(value) if isinstance(value, Reference) else codec.format(value), codec.words)


def number(high: int, low: int = 0, names: Mapping[str, int] | None = None) -> Codec[Any]:
    """An integer within bounds, or one of some names, in whatever case; a number that has a name is written by it."""
    known = {name.lower(): value for name, value in (names or {}).items()}
    named = {value: name for name, value in (names or {}).items()}

    def parse(text: str) -> Number:
        if text.lower() in known:
            return Number(known[text.lower()])
        if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", text):
            raise ValueError(f"'{text[:40]}' is not a number")
        value = Number(text, 16 if text[:2] in ("0x", "0X") else 10)
        value.hexadecimal = text[:2] in ("0x", "0X")
        if not low <= value <= high:
            raise ValueError(f"{text} is outside {low}..{high}")
        return value

    def write(value: int) -> str:
        return named.get(value) or (hex(value) if getattr(value, "hexadecimal", False) else str(value))

    return Codec(parse, write, (*(names or {}), str(low), str(high)))


def _address(version: int) -> Codec[Any]:
    family = socket.AF_INET if version == 4 else socket.AF_INET6

    def parse(text: str) -> str:
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text))
        except (OSError, ValueError):
            raise ValueError(f"'{text[:60]}' is not an IPv{version} address") from None

    return Codec(parse, str)


def _mask(version: int) -> Codec[Any]:
    """A prefix's length, or the mask that it makes."""
    width = 32 if version == 4 else 128

    def parse(text: str) -> int:
        if re.fullmatch(r"\d{1,3}", text):
            if int(text) > width:
                raise ValueError(f"{text} is outside 0..{width}")
            return int(text)
        bits = f"{int(ipaddress.ip_address(_address(version).parse(text))):0{width}b}"
        if "01" in bits:
            raise ValueError(f"'{text[:60]}' is not the mask of a prefix")
        return bits.count("1")

    return Codec(parse, str)


def _words(allowed: tuple[str, ...], most: int, fold: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        found = tuple(fold(word.strip()) for word in text.split(","))
        for word in found:
            if word not in allowed:
                raise ValueError(f"'{word[:40]}' is not one of {', '.join(allowed)}")
        if len(found) > most:
            raise ValueError(f"'{text[:60]}' has more than {most} words")
        return found

    return parse


def _states(text: str) -> tuple[str, ...]:
    found = _words(STATES, len(STATES), str.upper)(text)
    if "NONE" in found and len(found) > 1:
        raise ValueError("NONE stands alone")
    return tuple(state for state in STATES if state in found)


def _tcp_flags(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which flags are looked at, and which of them are set."""
    looked_at, slash, are_set = text.partition("/")
    if not slash:
        raise ValueError(f"'{text[:60]}' is not MASK/FLAGS, such as SYN,ACK/SYN")
    words = _words((*TCP_FLAGS, "ALL", "NONE"), len(TCP_FLAGS), str.upper)
    return words(looked_at), words(are_set)


def _truth(text: str) -> bool:
    if text.lower() not in ("1", "yes", "true", "0", "no", "false"):
        raise ValueError(f"'{text[:20]}' is neither true nor false")
    return text.lower() in ("1", "yes", "true")


def _limited(text: str, most: int, pattern: str) -> str:
    if not re.fullmatch(pattern, text) or len(text) > most:
        raise ValueError(f"'{text[:60]}' has more than {most} characters, or one that is not allowed")
    return text


U8, U16, U32 = (variable(number(2**bits - 1)) for bits in (8, 16, 32))
DSCP = variable(number(63))
VLAN_ID = variable(number(4095))
ETHER_TYPE = variable(number(0xFFFF, 0x0600, ETHER_TYPES))
PROTOCOL = variable(number(255, names=PROTOCOL_NUMBERS))
ARP_OPERATION = variable(number(0xFFFF, names=ARP_OPERATIONS))
MAC = variable(Mac)
IPV4, IPV6 = variable(_address(4)), variable(_address(6))
MASK4, MASK6 = variable(_mask(4)), variable(_mask(6))
TRUTH: Codec[Any] = Codec(_truth, lambda value: "true" if value else "false")
STATE: Codec[Any] = Codec(_states, ",".join, STATES)
FLAGS: Codec[Any] = Codec(_tcp_flags, lambda value: "/".join(",".join(side) for side in value))
SET_NAME = variable(Codec(lambda text: _limited(text, LONGEST_SET_NAME, r"[A-Za-z0-9_.:+\- ]+"), str))
SET_FLAGS: Codec[Any] = Codec(_words(("src", "dst"), 6, str.lower), ",".join, ("src", "dst"))
COMMENT: Codec[Any] = Codec(lambda text: _limited(text, LONGEST_COMMENT, r"(?s).*"), str)
MATCH = one_of("yes", "no")
