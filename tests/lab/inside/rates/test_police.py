"""Rates of guests' traffic by a kernel that polices, measured in frames through taps on a bridge."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
from collections.abc import Iterator

import pytest

from frontinus.api.tuning import Rate
from frontinus.linux.network.shaping import shape

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000
FRAME = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x88\xb5" + bytes(1000)
"""A broadcast of the EtherType that is for experiments (IEEE 802)."""
COUNT = 300
SECONDS = 1.0


def tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    ip("link", "set", name, "master", "b0", "up")
    return fd


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def taps() -> Iterator[tuple[int, int]]:
    """Two taps that a bridge joins: a guest's, and where its frames arrive."""
    ip("link", "add", "b0", "type", "bridge", "mcast_snooping", "0")
    ip("link", "set", "b0", "up")
    ends = tap("t0"), tap("t1")
    yield ends
    for end in ends:
        os.close(end)
    ip("link", "del", "b0")


def arrived(taps: tuple[int, int]) -> int:
    """How many of the frames that a guest sends at once come through."""
    for _ in range(COUNT):
        os.write(taps[0], FRAME)
    poll, count = select.poll(), 0
    poll.register(taps[1], select.POLLIN)
    while poll.poll(SECONDS * 1000):
        count += os.read(taps[1], 65536)[12:14] == FRAME[12:14]
    return count


def test_what_a_guest_sends_is_policed(taps: tuple[int, int]) -> None:
    assert arrived(taps) == COUNT
    shape("t0", None, Rate(average=10, burst=64))
    assert 50 <= arrived(taps) < COUNT / 2, "64 KiB at once, and 10 kB a second"
    shape("t0", None, None)
    assert arrived(taps) == COUNT


def test_a_rate_of_its_own_replaces_the_one_before(taps: tuple[int, int]) -> None:
    shape("t0", None, Rate(average=10))
    assert 20 <= arrived(taps) < COUNT / 4
    shape("t0", None, Rate(average=1_000_000, burst=4096))
    assert arrived(taps) == COUNT
