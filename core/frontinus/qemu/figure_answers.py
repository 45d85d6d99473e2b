"""What QEMU answers when it is asked for a guest's figures, decoded straight into the members that are needed."""

from __future__ import annotations

import msgspec


class Histogram(msgspec.Struct):
    boundaries: list[int]
    bins: list[int]


class Counters(msgspec.Struct):
    rd_bytes: int = 0
    rd_operations: int = 0
    rd_total_time_ns: int = 0
    failed_rd_operations: int = 0
    wr_bytes: int = 0
    wr_operations: int = 0
    wr_total_time_ns: int = 0
    failed_wr_operations: int = 0
    flush_operations: int = 0
    flush_total_time_ns: int = 0
    wr_highest_offset: int | None = None
    rd_latency_histogram: Histogram | None = None
    wr_latency_histogram: Histogram | None = None
    flush_latency_histogram: Histogram | None = None


class Node(msgspec.Struct):
    stats: Counters


class Backend(msgspec.Struct, rename="kebab"):
    stats: Counters
    qdev: str = ""
    device: str = ""
    node_name: str = ""
    parent: Node | None = None


class Image(msgspec.Struct, rename="kebab"):
    virtual_size: int
    actual_size: int | None = None


class Medium(msgspec.Struct):
    image: Image
    node: str = msgspec.field(name="node-name", default="")
    write_threshold: int = 0


class Block(msgspec.Struct):
    qdev: str = ""
    device: str = ""
    inserted: Medium | None = None


class Balloon(msgspec.Struct):
    actual: int


class GuestStats(msgspec.Struct, rename="kebab"):
    stats: dict[str, int]
    last_update: int = 0


class Iothread(msgspec.Struct, rename="kebab"):
    id: str
    poll_max_ns: int = 0
    poll_grow: int = 0
    poll_shrink: int = 0


class Cpu(msgspec.Struct, rename="kebab"):
    """One of query-cpus-fast."""

    cpu_index: int
    thread_id: int
    qom_path: str = ""


class Child(msgspec.Struct):
    name: str
    type: str


class DirtyRate(msgspec.Struct, rename="kebab"):
    status: str
    start_time: int = 0
    calc_time: int = 0
    dirty_rate: int | None = None
    calc_time_unit: str = "second"


def counters(backend: Backend) -> dict[str, int]:
    c = backend.stats
    found = {
        "read_bytes": c.rd_bytes, "read_requests": c.rd_operations, "read_time": c.rd_total_time_ns,
        "read_errors": c.failed_rd_operations, "write_bytes": c.wr_bytes, "write_requests": c.wr_operations,
        "write_time": c.wr_total_time_ns, "write_errors": c.failed_wr_operations,
        "flush_requests": c.flush_operations, "flush_time": c.flush_total_time_ns,
    }  # fmt: skip
    written = backend.parent.stats.wr_highest_offset if backend.parent else None
    return found if written is None else {**found, "allocation": written}


def latencies(stats: Counters) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    found = {
        "read": stats.rd_latency_histogram,
        "write": stats.wr_latency_histogram,
        "flush": stats.flush_latency_histogram,
    }
    return {name: (tuple(kept.boundaries), tuple(kept.bins)) for name, kept in found.items() if kept is not None}
