"""Families that several of the other exporters have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from frontinus.api.views import JobView, MemoryStats
from frontinus_prometheus.compat_items import active_pools, jobs
from frontinus_prometheus.metric import NANO, Metric, Scope, Value, counter, flag, gauge, one
from frontinus_prometheus.model import Facts
from frontinus_prometheus.native_engine import POOL_STATES


def used_percent(stats: MemoryStats) -> Value:
    if not stats.available or stats.usable is None:
        return None
    return (stats.available - stats.usable) * 100 / stats.available


def info_metrics() -> tuple[Metric[Any], ...]:
    return (
        gauge("libvirt_domain_info_maximum_memory_bytes", "Memory that the guest can have.", "view.max_memory"),
        gauge("libvirt_domain_info_memory_usage_bytes", "Memory that the guest has.", "view.memory"),
        gauge("libvirt_domain_info_virtual_cpus", "Virtual CPUs that the guest has.", "view.vcpus"),
    )


CPU = Scope(one(lambda sample: sample.stats.cpu), (
    counter("libvirt_domain_info_cpu_time_seconds_total", "CPU time of the guest.", "time", NANO),
), {})  # fmt: skip

BLOCK = "libvirt_domain_block_stats_"
BLOCK_COUNTS = (
    counter(f"{BLOCK}read_bytes_total", "Bytes read from a disk.", "stats.read_bytes"),
    counter(f"{BLOCK}read_requests_total", "Reads that a disk completed.", "stats.read_requests"),
    counter(f"{BLOCK}write_bytes_total", "Bytes written to a disk.", "stats.write_bytes"),
    counter(f"{BLOCK}write_requests_total", "Writes that a disk completed.", "stats.write_requests"),
)


def block_times(word: str) -> tuple[Metric[Any], ...]:
    """Times of requests; the exporters differ in the middle of the name."""
    return (
        counter(f"{BLOCK}read_{word}_total", "Time of all reads together.", "stats.read_time", NANO),
        counter(f"{BLOCK}write_{word}_total", "Time of all writes together.", "stats.write_time", NANO),
        counter(f"{BLOCK}flush_requests_total", "Flushes that a disk completed.", "stats.flush_requests"),
        counter(f"{BLOCK}flush_{word}_total", "Time of all flushes together.", "stats.flush_time", NANO),
    )


CAPACITY = gauge(f"{BLOCK}capacity_bytes", "Size of a disk as the guest sees it.", "stats.capacity")

CARD = tuple(
    counter(f"libvirt_domain_interface_stats_{way}_{what}_total", f"{words} of an interface.", f"stats.{short}_{what}")
    for way, short in (("receive", "rx"), ("transmit", "tx"))
    for what, words in (("bytes", "Bytes"), ("packets", "Packets"), ("errors", "Errors"), ("drops", "Dropped packets"))
)

VCPU = (
    counter("libvirt_domain_vcpu_time_seconds_total", "Time that a virtual CPU ran.", "time", NANO),
    counter("libvirt_domain_vcpu_wait_seconds_total", "Time that other tasks kept a virtual CPU waiting.", "wait", NANO),
    counter("libvirt_domain_vcpu_delay_seconds_total", "Time that a virtual CPU waited for a CPU of the host.", "delay", NANO),
    gauge("libvirt_domain_vcpu_state", "0 offline, 1 running, 2 blocked.",
          lambda vcpu: ("offline", "running", "blocked").index(vcpu.state)),
)  # fmt: skip


def left(job: JobView) -> Value:
    return None if job.total is None or job.processed is None else job.total - job.processed


def since(job: JobView) -> float:
    return max(0.0, round(time.time() - job.started, 3))


def to_go(job: JobView) -> Value:
    """Seconds until the end, if it goes on as fast as so far."""
    rest = left(job)
    return None if rest is None or not job.processed else round(since(job) * max(0, rest) / job.processed, 3)


def part(source: str | Callable[[JobView], Value], kinds: frozenset[str]) -> Callable[[JobView], Value]:
    """A figure of the jobs of some kinds."""
    return lambda job: (source(job) if callable(source) else getattr(job, source)) if job.kind in kinds else None


JOB = "libvirt_domain_job_info_"
BOUNDED, UNBOUNDED = 1, 2
"""Numbers of jobs whose end is known and is not."""
MOVED: Mapping[str, frozenset[str]] = {
    "memory": frozenset({"save", "dump", "snapshot"}),
    "file": frozenset({"backup", "copy", "commit", "active-commit", "pull", "snapshot-delete"}),
}
"""What the data of a job is, by its kind."""
JOBS = Scope(jobs, (
    gauge(f"{JOB}type", "Number of the kind of job.", lambda job: UNBOUNDED if job.total is None else BOUNDED),
    gauge(f"{JOB}time_elapsed_seconds", "Time since the job began.", since),
    gauge(f"{JOB}time_remaining_seconds", "Time until its end, at the speed so far.", to_go),
    gauge(f"{JOB}data_total_bytes", "All that the job has to do.", "total"),
    gauge(f"{JOB}data_processed_bytes", "What the job has done.", "processed"),
    gauge(f"{JOB}data_remaining_bytes", "What the job has before it.", left),
    *(gauge(f"{JOB}{what}_{name}_bytes", f"The same of {what} alone.", part(source, kinds)) for what, kinds in MOVED.items()
      for name, source in (("total", "total"), ("processed", "processed"), ("remaining", left))),
), {})  # fmt: skip


def pools(prefix: str, label: str, *more: Metric[Any]) -> Scope[Any]:
    return Scope(active_pools, (
        *more,
        gauge(f"{prefix}capacity_bytes", "Size of the pool.", "capacity"),
        gauge(f"{prefix}allocation_bytes", "Space of the pool that is taken.", "allocation"),
        gauge(f"{prefix}available_bytes", "Space of the pool that is free.", "available"),
    ), {label: "name"})  # fmt: skip


POOL_STATE = gauge("libvirt_storage_pool_state", "Number of the pool's state.",
                   lambda pool: POOL_STATES.index(pool.state))  # fmt: skip


POOLS_LATE = Scope(lambda facts: [(pool.name, not facts.fresh) for pool in active_pools(facts)], (
    flag("libvirt_storage_pool_timed_out", "Whether the pool's figures are old.", lambda pair: pair[1]),
), {"storage_pool": lambda pair: pair[0]})  # fmt: skip


def vcpus(*more: Metric[Any]) -> Scope[Any]:
    return Scope(lambda sample: sample.stats.vcpus, (*VCPU, *more), {"vcpu": "index"})


def memory_metrics(prefix: str, **fields: str) -> tuple[Metric[Any], ...]:
    """Gauges and counters of memory: field of the facade by the rest of the name; _total is a counter where it is one."""
    faults = ("major_faults", "minor_faults")
    return tuple((counter if field in faults else gauge)(prefix + name, f"The guest's memory figure {field}.", field)
                 for name, field in fields.items())  # fmt: skip


MEMORY = "libvirt_domain_memory_stats_"
PERCENT = gauge(f"{MEMORY}used_percent", "Part of the memory that the guest uses, in percent.", used_percent)
UP = flag("libvirt_up", "Whether the engine is connected.", "up")


def domains(facts: Facts) -> int:
    return sum(count for _, count in facts.states)


def active(facts: Facts) -> int:
    return sum(count for state, count in facts.states if state not in ("shutoff", "crashed"))


def facts_of(facts: Facts) -> Iterable[Facts]:
    return (facts,)
