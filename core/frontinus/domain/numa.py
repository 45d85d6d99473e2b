"""Guest NUMA: the <numa> element of <cpu>."""

from __future__ import annotations

from frontinus.domain.scaled import Scaled
from frontinus.xml import Model, many, one, xml
from frontinus.xml.codecs import CpuSet, Int, UInt32, YesNo, integer, one_of

LINKS = ("access", "read", "write")


class Distance(Model, tag="sibling"):
    """Distance to another cell, 10 being local."""

    id: int = xml("@id", UInt32, required=True)
    value: int = xml("@value", integer(10, 255), required=True)


class CacheSize(Model, tag="size"):
    """Bytes of a cache, or of a line of it."""

    bytes: int | None = xml("", Scaled("value"))


class CacheLine(Model, tag="line"):
    """Bytes of a cache line."""

    bytes: int | None = xml("", Scaled("value", write_unit="B", read_unit="B"))


class NumaCache(Model, tag="cache"):
    """A memory-side cache of a cell."""

    level: int = xml("@level", UInt32, required=True)
    associativity: str = xml("@associativity", one_of("none", "direct", "full"), required=True)
    policy: str = xml("@policy", one_of("none", "writeback", "writethrough"), required=True)
    size: CacheSize | None = one("size", CacheSize)
    line: CacheLine | None = one("line", CacheLine)


class Cell(Model, tag="cell"):
    """One guest NUMA node. `memory` is bytes."""

    id: int | None = xml("@id", UInt32)
    cpus: tuple[int, ...] | None = xml("@cpus", CpuSet)
    memory: int | None = xml("", Scaled("memory"))
    access: str | None = xml("@memAccess", one_of("shared", "private"))
    discard: bool | None = xml("@discard", YesNo)
    distances: list[Distance] = many("distances/sibling", Distance)
    caches: list[NumaCache] = many("cache", NumaCache)


class Latency(Model, tag="latency"):
    """Nanoseconds from an initiator to a target."""

    initiator: int = xml("@initiator", UInt32, required=True)
    target: int = xml("@target", UInt32, required=True)
    cache: int | None = xml("@cache", UInt32)
    type: str = xml("@type", one_of(*LINKS), required=True)
    value: int = xml("@value", Int, required=True)


class Bandwidth(Model, tag="bandwidth"):
    """Bytes a second from an initiator to a target."""

    initiator: int = xml("@initiator", UInt32, required=True)
    target: int = xml("@target", UInt32, required=True)
    cache: int | None = xml("@cache", UInt32)
    type: str = xml("@type", one_of(*LINKS), required=True)
    value: int | None = xml("", Scaled("value"))


class Interconnects(Model, tag="interconnects"):
    """Performance of the links between cells."""

    latencies: list[Latency] = many("latency", Latency)
    bandwidths: list[Bandwidth] = many("bandwidth", Bandwidth)


class Numa(Model, tag="numa"):
    """The guest's NUMA nodes."""

    cells: list[Cell] = many("cell", Cell)
    interconnects: Interconnects | None = one("interconnects", Interconnects)
