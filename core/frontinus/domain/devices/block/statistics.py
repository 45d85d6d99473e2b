"""What QEMU counts of a disk beyond sums: averages over intervals, and how long requests took, in histograms."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import Int, integer, one_of

REQUESTS = ("read", "write", "zone", "flush")
"""Kinds of requests that a histogram can be of."""


class Interval(Model, tag="statistic"):
    """Seconds over which QEMU averages the disk's latencies."""

    interval: int = xml("@interval", integer(1, 2**32 - 1), required=True)


class Bin(Model, tag="bin"):
    """The shortest time, in nanoseconds, of the requests in a bin; it ends where the next one starts."""

    start: int = xml("@start", Int, required=True)


class Histogram(Model, tag="latency-histogram"):
    """How many requests took how long; without a type, requests of every kind, each in a histogram of its own."""

    type: str | None = xml("@type", one_of(*REQUESTS))
    bins: list[Bin] = many("bin", Bin)

    @property
    def boundaries(self) -> list[int]:
        """Where one bin ends and the next begins: QEMU's first bin starts at 0 by itself."""
        return [one.start for one in self.bins if one.start]


def check_histograms(histograms: list[Histogram]) -> Iterator[str]:
    """Reasons why the histograms of a disk cannot be."""
    types = [one.type for one in histograms]
    if len(set(types)) != len(types) or (None in types and len(types) > 1):
        yield "<latency-histogram>: there are two for the same requests"
    for one in histograms:
        if not one.boundaries:
            yield "<latency-histogram>: a <bin> that starts above 0 is missing"
        if one.boundaries != sorted(set(one.boundaries)) or any(not bin.start for bin in one.bins[1:]):
            yield "<latency-histogram>: each <bin> starts above the one before"
