"""The tables of other exporters, name for name and label for label, so that dashboards and rules made for them go on.

Each profile has its own path: their names clash. What they would show as 0 without knowing it is left out here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from frontinus.api.storage import PoolView
from frontinus.api.views import STATES, JobView, MemoryStats
from frontinus.client.details import Device
from frontinus_prometheus.details import EMPTY, Details
from frontinus_prometheus.metric import NANO, Metric, Profile, Sample, Scope, Value, counter, flag, gauge, one
from frontinus_prometheus.model import Entry, Facts
from frontinus_prometheus.native_engine import POOL_STATES

Labels = Mapping[str, str | Callable[[Any], object]]

NOTHING = Device("disk", {})
"""A disk that no definition tells of, yet or any more."""

STATE_WORDS = ("no state", "the domain is running", "the domain is blocked on resource", "the domain is paused by user",
               "the domain is being shut down", "the domain is shut off", "the domain is crashed",
               "the domain is suspended by guest power management")  # fmt: skip
"""Values of the label that tells the state, which rules compare with; by the state's number."""


class Part(NamedTuple):
    """A disk's or an interface's figures, and what the definition says of it."""

    stats: Any
    device: Device


def said(path: str) -> Callable[[Part], str]:
    """A fact of the definition."""
    return lambda part: part.device[path]


def known(entry: Entry) -> Details:
    return entry.details or EMPTY


def state_code(entry: Entry) -> int:
    return STATES.index(entry.view.state)


def state_words(entry: Entry) -> str:
    return STATE_WORDS[state_code(entry)]


def nova(name: str) -> Callable[[Entry], str]:
    return lambda entry: known(entry).nova.get(name, "")


# --- items


def blocks(skipped: Callable[[Part], bool]) -> Callable[[Sample], Iterable[Part]]:
    def items(sample: Sample) -> Iterable[Part]:
        disks = known(sample.entry).disks
        found = [Part(stats, disks.get(stats.name, NOTHING)) for stats in sample.stats.blocks]
        return [part for part in found if not skipped(part)]

    return items


def removable(part: Part) -> bool:
    return part.device["@device"] in ("cdrom", "floppy")


def old_cdrom(part: Part) -> bool:
    return part.stats.name in ("hda", "hdc")


def source(part: Part) -> str:
    """The file, the block device, or the name of a network source."""
    return part.device["source/@file"] or part.device["source/@dev"] or part.device["source/@name"]


def cards(sample: Sample) -> Iterable[Part]:
    """Interfaces that have a device on the host."""
    nics = known(sample.entry).nics
    return [Part(stats, nics[stats.name]) for stats in sample.stats.interfaces if stats.name in nics]


def jobs(sample: Sample) -> Iterable[JobView]:
    """What is under way; the exporters know of one job a guest."""
    return sample.stats.jobs[:1]


def active_pools(facts: Facts) -> Iterable[PoolView]:
    return [pool for pool in facts.pools if pool.active]


def memory(sample: Sample) -> Iterable[MemoryStats]:
    return () if sample.stats.memory is None else (sample.stats.memory,)


def each(entry: Entry) -> Iterable[Entry]:
    return (entry,)


# --- families that several have


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


# --- the profiles

INOVEX = Profile(
    "inovex", lambda entry, facts: {"domain": entry.view.name},
    engine=(
        Scope(facts_of, (UP, gauge("libvirt_domains", "Guests.", domains)), {}),
        pools("libvirt_storage_pool_", "storage_pool", POOL_STATE),
        POOLS_LATE,
    ),
    guests=(
        Scope(each, (gauge("libvirt_domain_info", "What a guest boots, always 1.", lambda _: 1),), {
            "os_type": "view.os_type", "os_type_arch": "view.arch", "os_type_machine": "view.machine"}),
        Scope(each, (gauge("libvirt_domain_openstack_info", "What OpenStack calls a guest, always 1.", lambda _: 1),), {
            "instance_name": nova("name"), "instance_id": "view.uuid", "flavor_name": nova("flavor"), "user_name": nova("user"),
            "user_id": nova("user_id"), "project_name": nova("project"), "project_id": nova("project_id")}),
        Scope(each, (gauge("libvirt_domain_info_state", "Number of the guest's state.", state_code),), {
            "state_desc": state_words}),
        Scope(each, info_metrics(), {}),
    ),
    figures=(
        CPU,
        Scope(lambda sample: (sample.stats,), (
            flag("libvirt_domain_timed_out", "Whether the guest's figures are old.", "stale"),
            gauge("libvirt_domain_vcpu_current", "Virtual CPUs that the guest has.", "vcpus_current"),
            gauge("libvirt_domain_vcpu_maximum", "Virtual CPUs that the guest can have.", "vcpus_maximum"),
        ), {}),
        vcpus(),
        Scope(memory, (*memory_metrics(
            MEMORY, current_balloon_bytes="current", maximum_bytes="maximum", swap_in_bytes="swap_in", swap_out_bytes="swap_out",
            major_fault_total="major_faults", minor_fault_total="minor_faults", unused_bytes="unused",
            available_bytes="available", usable_bytes="usable", last_update_timestamp_seconds="last_update",
            disk_caches_bytes="disk_caches", hugetlb_pgalloc_total="hugetlb_pgalloc", hugetlb_pgfail_total="hugetlb_pgfail",
            rss_bytes="rss"), PERCENT), {}),
        Scope(blocks(removable), (gauge(f"{BLOCK}info", "What a disk is, always 1.", lambda _: 1),), {
            "disk_type": said("@type"), "target_bus": said("target/@bus"), "driver_name": said("driver/@name"),
            "driver_type": said("driver/@type"), "driver_cache": said("driver/@cache"),
            "driver_discard": said("driver/@discard"), "source_file": said("source/@file"),
            "source_protocol": said("source/@protocol"), "target_device": "stats.name", "serial": said("serial")}),
        Scope(blocks(removable), (*BLOCK_COUNTS, *block_times("time_seconds"), CAPACITY), {"target_device": "stats.name"}),
        Scope(cards, (gauge("libvirt_domain_interface_stats_info", "What an interface is, always 1.", lambda _: 1),), {
            "interface_type": said("@type"), "source_bridge": said("source/@bridge"), "target_device": "stats.name",
            "mac_address": said("mac/@address"),
            "model_type": said("model/@type"), "mtu_size": said("mtu/@size")}),
        Scope(cards, CARD, {"target_device": "stats.name"}),
        JOBS,
    ),
    openmetrics=False, details=True,
)  # fmt: skip

LIMITS: Mapping[str, str] = {
    **{f"limit_{way}_bytes": f"{way}_bytes_sec" for way in ("total", "write", "read")},
    **{f"limit_{way}_requests": f"{way}_iops_sec" for way in ("total", "write", "read")},
    **{f"limit_burst_{way}_bytes": f"{way}_bytes_sec_max" for way in ("total", "write", "read")},
    **{f"limit_burst_{way}_requests": f"{way}_iops_sec_max" for way in ("total", "write", "read")},
    **{f"limit_burst_{way}_bytes_length_seconds": f"{way}_bytes_sec_max_length" for way in ("total", "write", "read")},
    **{
        f"limit_burst_length_{way}_requests_seconds": f"{way}_iops_sec_max_length" for way in ("total", "write", "read")
    },
    "size_iops_bytes": "size_iops_sec",
}
"""Limits of a disk: the rest of the metric's name, and the element of <iotune>; a limit that is not set is 0."""


def limit(element: str) -> Callable[[Part], Value]:
    def value(part: Part) -> Value:
        told = part.device[f"iotune/{element}"]
        return int(told) if told.isdecimal() else 0

    return value


PORT = "virtualport/parameters/@interfaceid"
"""The identity of an interface's port on a virtual switch."""


TINKOFF = Profile(
    "tinkoff", lambda entry, facts: {"domain": entry.view.name},
    engine=(
        Scope(facts_of, (UP,), {}),
        Scope(one(lambda facts: facts.version), (gauge("libvirt_versions_info", "Versions, always 1.", lambda _: 1),), {
            "hypervisor_running": lambda version: ".".join(map(str, version.hypervisor_version)),
            "libvirtd_running": "frontinus", "libvirt_library": "frontinus"}),
        pools("libvirt_pool_info_", "pool"),
    ),
    guests=(
        Scope(each, (gauge("libvirt_domain_info_meta", "What a guest is, always 1.", lambda _: 1),), {
            "uuid": "view.uuid", "instance_name": nova("name"), "flavor": nova("flavor"), "user_name": nova("user"),
            "user_uuid": nova("user_id"), "project_name": nova("project"), "project_uuid": nova("project_id"),
            "root_type": nova("root_type"), "root_uuid": nova("root_id")}),
        Scope(each, (*info_metrics(), gauge("libvirt_domain_info_vstate", "Number of the guest's state.", state_code)), {}),
    ),
    figures=(
        CPU,
        vcpus(gauge("libvirt_domain_vcpu_cpu", "CPU of the host that a virtual CPU was last on.", "cpu")),
        Scope(blocks(old_cdrom), (gauge("libvirt_domain_block_meta", "What a disk is, always 1.", lambda _: 1),), {
            "target_device": "stats.name", "source_file": source, "serial": said("serial"), "bus": said("target/@bus"),
            "disk_type": said("@type"), "driver_type": said("driver/@type"),
            "cache": said("driver/@cache"), "discard": said("driver/@discard")}),
        Scope(blocks(old_cdrom), (
            *BLOCK_COUNTS, *block_times("time_seconds"), CAPACITY,
            gauge(f"{BLOCK}allocation", "End of the highest byte written to a disk's file.", "stats.allocation"),
            gauge(f"{BLOCK}physicalsize_bytes", "Space that a disk takes on the host.", "stats.physical"),
            *(gauge(BLOCK + name, f"The limit {element} of a disk.", limit(element)) for name, element in LIMITS.items()),
        ), {"target_device": "stats.name"}),
        Scope(lambda sample: [c for c in cards(sample) if c.device["source/@bridge"] or c.device[PORT]], (
            gauge("libvirt_domain_interface_meta", "What an interface is, always 1.", lambda _: 1),
        ), {"source_bridge": said("source/@bridge"), "target_device": "stats.name", "virtual_interface": said(PORT)}),
        Scope(cards, CARD, {"target_device": "stats.name"}),
        Scope(memory, (*memory_metrics(
            MEMORY, major_fault_total="major_faults", minor_fault_total="minor_faults", unused_bytes="unused",
            available_bytes="available", actual_balloon_bytes="current", rss_bytes="rss", usable_bytes="usable",
            disk_cache_bytes="disk_caches"), PERCENT), {}),
    ),
    openmetrics=False, details=True,
)  # fmt: skip


def running(entry: Entry) -> Iterable[Entry]:
    return (entry,) if entry.view.active else ()


KUMINA = Profile(
    "kumina", lambda entry, facts: {"domain": entry.view.name, "uuid": entry.view.uuid},
    engine=(Scope(facts_of, (UP, gauge("libvirt_domains_number", "Guests that are active.", active)), {}),),
    guests=(
        Scope(running, (gauge("libvirt_domain_state_code", "Number of the guest's state.", state_code), *info_metrics()), {}),
    ),
    figures=(
        CPU,
        Scope(blocks(removable), (*BLOCK_COUNTS, *block_times("seconds")), {
            "source_file": said("source/@file"), "target_device": "stats.name"}),
        Scope(cards, CARD, {"source_bridge": said("source/@bridge"), "target_device": "stats.name"}),
    ),
    openmetrics=False, details=True,
)  # fmt: skip


def _zhang(entry: Entry, facts: Facts) -> Mapping[str, object]:
    written = known(entry).nova
    return {"domain": entry.view.name, "instanceName": written.get("name"), "instanceId": entry.view.uuid,
            "flavorName": written.get("flavor"), "userName": written.get("user"), "userId": written.get("user_id"),
            "projectName": written.get("project"), "projectId": written.get("project_id"),
            "host": facts.host.hostname if facts.host else None}  # fmt: skip


def _host(facts: Facts) -> object:
    return facts.host.hostname if facts.host else None


ZHANG = Profile(
    "zhang", _zhang,
    engine=(Scope(facts_of, (UP, gauge("libvirt_domains_number", "Guests.", domains)), {"host": _host}),),
    guests=(
        Scope(each, (gauge("libvirt_domain_state_code", "Number of the guest's state.", state_code),), {
            "stateDesc": state_words}),
        Scope(each, info_metrics(), {}),
    ),
    figures=(
        CPU,
        Scope(memory, memory_metrics(
            "libvirt_domain_stat_memory_", swap_in_bytes="swap_in", swap_out_bytes="swap_out", unused_bytes="unused",
            available_bytes="available", usable_bytes="usable", rss_bytes="rss"), {}),
        Scope(blocks(removable), BLOCK_COUNTS, {"source_file": source, "target_device": "stats.name"}),
        Scope(cards, CARD, {"source_bridge": said("source/@bridge"), "target_device": "stats.name"}),
    ),
    openmetrics=False, details=True,
)  # fmt: skip

COMPAT = (INOVEX, TINKOFF, KUMINA, ZHANG)
