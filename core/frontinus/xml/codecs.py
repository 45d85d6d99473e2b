"""Codecs: how one XML attribute or text becomes a Python value, and back.

A codec raises ValueError with a reason that reads after "element <x>: ". The mapping adds the element and the line.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Codec(Generic[T]):
    """A pair of pure functions: text to value, value to text. `words`: texts that it accepts, all of a closed list."""

    parse: Callable[[str], T]
    format: Callable[[T], str]
    words: tuple[str, ...] = ()


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)", text.strip()) or len(text) > 40:
            raise ValueError(f"'{text[:40]}' is not an integer")
        value = int(text, 16 if "x" in text.lower() else 10)
        if not low <= value <= high:
            raise ValueError(f"{text} is outside {low}..{high}")
        return value

    return parse


def integer(low: int = 0, high: int = 2**64 - 1) -> Codec[int]:
    """A decimal integer (hexadecimal with 0x is understood) within bounds."""
    return Codec(_integer(low, high), str, (str(low), str(high)))


def hexadecimal(width: int = 1, high: int = 2**64 - 1) -> Codec[int]:
    """An integer written as 0x with at least `width` digits."""
    return Codec(_integer(0, high), lambda value: f"0x{value:0{width}x}", ("0x0", hex(high)))


def bare_hexadecimal(width: int = 1, high: int = 2**64 - 1) -> Codec[int]:
    """An integer that is hexadecimal with or without 0x: 10 is sixteen. Written with at least `width` digits."""
    known = hexadecimal(width, high)
    return Codec(lambda text: known.parse(text if text[:2] in ("0x", "0X") else f"0x{text}"), known.format, known.words)


def one_of(*words: str) -> Codec[str]:
    """One word of a closed list."""
    allowed = frozenset(words)

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"'{text[:60]}' is not one of {', '.join(words)}")
        return text

    return Codec(parse, str, words)


def switch(on: str, off: str) -> Codec[bool]:
    """A boolean in the two words that this attribute uses."""

    def parse(text: str) -> bool:
        if text not in (on, off):
            raise ValueError(f"'{text[:60]}' is neither {on} nor {off}")
        return text == on

    return Codec(parse, lambda value: on if value else off, (on, off))


def _uuid(text: str) -> str:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9a-fA-F]{32}", digits):
        raise ValueError(f"'{text[:60]}' is not a UUID")
    return str(uuid.UUID(digits))


def _mac(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", text):
        raise ValueError(f"'{text[:60]}' is not a MAC address")
    return ":".join(f"{int(part, 16):02x}" for part in text.split(":"))


def _cpu_set(text: str) -> tuple[int, ...]:
    cpus: set[int] = set()
    for part in filter(None, (p.strip() for p in text.split(","))):
        match = re.fullmatch(r"(\^?)(\d{1,6})(?:-(\d{1,6}))?", part)
        if not match:
            raise ValueError(f"'{text[:60]}' is not a list of CPUs")
        first, last = int(match[2]), int(match[3] or match[2])
        if last < first or last > 16384:
            raise ValueError(f"'{part}' is not a range of CPUs")
        chosen = range(first, last + 1)
        if match[1]:
            cpus.difference_update(chosen)
        else:
            cpus.update(chosen)
    return tuple(sorted(cpus))


def format_ranges(numbers: Iterable[int]) -> str:
    """Format integers as 0-3,5: the form of CPU and node lists everywhere in Linux."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


Str: Codec[str] = Codec(str, str)
Int = integer()
Signed = integer(-(2**63), 2**63 - 1)
UInt32 = integer(0, 2**32 - 1)
Port = integer(-1, 65535)
Hex2, Hex4 = hexadecimal(2), hexadecimal(4)
HexFree = hexadecimal()
Bare = bare_hexadecimal()
YesNo = switch("yes", "no")
OnOff = switch("on", "off")
Uuid: Codec[str] = Codec(_uuid, str)
Mac: Codec[str] = Codec(_mac, str)
CpuSet: Codec[tuple[int, ...]] = Codec(_cpu_set, format_ranges)

UNITS: dict[str, int] = {
    "b": 1, "byte": 1, "bytes": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50, "e": 2**60,
    **{f"{p}ib": 2 ** (10 * n) for n, p in enumerate("kmgtpe", 1)},
    **{f"{p}b": 1000**n for n, p in enumerate("kmgtpe", 1)},
}  # fmt: skip
"""Bytes in each unit that memory and capacity elements accept, lower case."""


MAX_SIZE = 2**64 - 1


def scale(text: str, unit: str | None, default: str) -> int:
    """Bytes in `text` counted in `unit` (or `default`). Raises ValueError for a bad number or unit."""
    if not re.fullmatch(r"\s*\d{1,24}\s*", text):
        raise ValueError(f"'{text[:40]}' is not a size")
    factor = UNITS.get((unit or default).lower())
    if factor is None:
        raise ValueError(f"unknown unit '{(unit or '')[:40]}'")
    if (size := int(text) * factor) > MAX_SIZE:
        raise ValueError(f"{text.strip()} {unit or default} are more than {MAX_SIZE} bytes")
    return size
