"""The native table: base units, one name for one thing, labels that only identify; descriptions are infos to join with."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from frontinus.api.agent import GuestFilesystem
from frontinus.api.views import STATES, GuestStats, JobView
from frontinus_prometheus.metric import (
    LE,
    NANO,
    Profile,
    Sample,
    Scope,
    counter,
    flag,
    gauge,
    histogram,
    info,
    one,
)
from frontinus_prometheus.model import Entry, Facts
from frontinus_prometheus.native_engine import ENGINE


def _identity(entry: Entry, facts: Facts) -> Mapping[str, object]:
    return {"name": entry.view.name, "uuid": entry.view.uuid}


def _age(stats: GuestStats) -> float | None:
    return max(0.0, round(time.time() - stats.taken, 3)) if stats.taken else None


def _remaining(job: JobView) -> int | None:
    return None if job.total is None or job.processed is None else max(0, job.total - job.processed)


def _stalls(sample: Sample) -> Iterable[tuple[str, int, int]]:
    """What the guest's control group waited for, by resource."""
    group = sample.stats.group
    return [(name, some, full) for name, (some, full) in group.waited.items()] if group else []


def _filesystems(sample: Sample) -> Iterable[GuestFilesystem]:
    """Each once: a guest that tells one twice would spoil the whole scrape."""
    told = sample.stats.agent.filesystems if sample.stats.agent else ()
    return {(one.mountpoint, one.type, one.name, one.disks): one for one in told}.values()


def _states(entry: Entry) -> Iterable[tuple[str, int]]:
    return [(state, int(state == entry.view.state)) for state in STATES]


def _latency(what: str) -> Scope[Any]:
    """The histograms of all disks of a guest."""
    field = f"{what}_latency"

    def items(sample: Sample) -> Iterable[object]:
        return [disk for disk in sample.stats.blocks if getattr(disk, field) is not None]

    return Scope(items, (histogram(f"frontinus_guest_block_{what}_latency_seconds",
                                   f"How long each {what} took, since the engine first looked.", f"{field}.counts"),),
                 {LE: f"{field}.bounds", "device": "name"})  # fmt: skip


GUESTS = (
    Scope(one(lambda entry: entry.view), (info("frontinus_guest_info", "What a guest is."),), {
        "id": "id", "title": "title", "arch": "arch", "machine": "machine", "virt_type": "virt_type", "os_type": "os_type"}),
    Scope(one(lambda entry: entry.view), (info("frontinus_guest_status_info", "A guest's state and the reason for it."),), {
        "state": "state", "reason": "reason"}),
    Scope(_states, (flag("frontinus_guest_state", "Whether a guest is in a state: 1 for one of all states.",
                          lambda pair: pair[1]),), {"state": lambda pair: pair[0]}),
    Scope(one(lambda entry: entry.view), (
        gauge("frontinus_guest_state_change_timestamp_seconds", "When the state last changed.", "since"),
        flag("frontinus_guest_active", "Whether the guest has a process.", "active"),
        flag("frontinus_guest_persistent", "Whether the guest has a stored definition.", "persistent"),
        flag("frontinus_guest_autostart", "Whether the guest starts with the engine.", "autostart"),
        flag("frontinus_guest_managed_save", "Whether the next start restores a saved state.", "managed_save"),
        flag("frontinus_guest_definition_changed", "Whether the stored definition differs from the running guest.", "updated"),
        flag("frontinus_guest_tainted", "Whether something was done to the guest that nobody answers for.",
              lambda view: bool(view.tainted)),
        gauge("frontinus_guest_vcpus", "Virtual CPUs that the guest has.", "vcpus"),
        gauge("frontinus_guest_vcpus_maximum", "Virtual CPUs that the guest can have.", "max_vcpus"),
        gauge("frontinus_guest_memory_bytes", "Memory that the guest has.", "memory"),
        gauge("frontinus_guest_memory_maximum_bytes", "Memory that the guest can have.", "max_memory"),
    ), {}),
    Scope(one(lambda entry: entry.view if entry.view.job else None), (
        gauge("frontinus_guest_job", "A long piece of work that is under way on the guest.", lambda view: 1),
    ), {"kind": "job"}),
    Scope(lambda entry: sorted(entry.events.items()), (
        counter("frontinus_guest_events_total", "Events of the guest since the exporter knows it.", lambda pair: pair[1]),
    ), {"event": lambda pair: pair[0]}, since=lambda entry: entry.since),
)  # fmt: skip

FIGURES = (
    Scope(lambda sample: (sample.stats,), (
        gauge("frontinus_guest_stats_age_seconds", "Age of the guest's figures.", _age),
        flag("frontinus_guest_stats_stale", "Whether the hypervisor failed to answer in time, so that the figures are old.",
              "stale"),
    ), {}),
    Scope(one(lambda sample: sample.stats.cpu), (
        counter("frontinus_guest_cpu_seconds_total", "CPU time of the guest's process.", "time", NANO),
        counter("frontinus_guest_cpu_user_seconds_total", "CPU time of the guest's process in user mode.", "user", NANO),
        counter("frontinus_guest_cpu_system_seconds_total", "CPU time of the guest's process in the kernel.", "system", NANO),
    ), {}),
    Scope(lambda sample: sample.stats.vcpus, (
        counter("frontinus_guest_vcpu_seconds_total", "Time that a virtual CPU ran.", "time", NANO),
        counter("frontinus_guest_vcpu_wait_seconds_total",
                "Time that other tasks kept a virtual CPU waiting; counted while the host's kernel.sched_schedstats is 1.",
                "wait", NANO),
        counter("frontinus_guest_vcpu_delay_seconds_total",
                "Time that a virtual CPU was ready but waited for a CPU of the host: what the guest sees as stolen.",
                "delay", NANO),
        flag("frontinus_guest_vcpu_halted", "Whether a virtual CPU is halted.", "halted"),
        gauge("frontinus_guest_vcpu_host_cpu", "CPU of the host that a virtual CPU was last on.", "cpu"),
    ), {"vcpu": "index"}),
    Scope(one(lambda sample: sample.stats.memory), (
        gauge("frontinus_guest_memory_balloon_bytes", "Memory that the balloon leaves to the guest.", "current"),
        gauge("frontinus_guest_memory_rss_bytes", "Memory of the host that the guest's process holds.", "rss"),
        gauge("frontinus_guest_memory_unused_bytes", "Memory that the guest leaves wholly unused.", "unused"),
        gauge("frontinus_guest_memory_available_bytes", "Memory that the guest's system sees in all.", "available"),
        gauge("frontinus_guest_memory_usable_bytes", "Memory that the guest could use without swapping.", "usable"),
        gauge("frontinus_guest_memory_disk_cache_bytes", "Memory that the guest could take back from its disk caches.",
              "disk_caches"),
        counter("frontinus_guest_memory_swap_in_bytes_total", "Memory that the guest read back from swap.", "swap_in"),
        counter("frontinus_guest_memory_swap_out_bytes_total", "Memory that the guest wrote to swap.", "swap_out"),
        counter("frontinus_guest_memory_major_faults_total", "Page faults in the guest that needed its disk.", "major_faults"),
        counter("frontinus_guest_memory_minor_faults_total", "Page faults in the guest that needed no disk.", "minor_faults"),
        counter("frontinus_guest_memory_huge_page_allocations_total", "Huge pages that the guest allocated.", "hugetlb_pgalloc"),
        counter("frontinus_guest_memory_huge_page_failures_total", "Huge pages that the guest failed to allocate.",
                "hugetlb_pgfail"),
        gauge("frontinus_guest_memory_balloon_update_timestamp_seconds", "When the guest last told its balloon figures.",
              "last_update"),
    ), {}),
    Scope(lambda sample: sample.stats.blocks, (info("frontinus_guest_block_info", "What a disk is."),), {
        "device": "name", "alias": "alias", "path": "path"}),
    Scope(lambda sample: sample.stats.blocks, (
        counter("frontinus_guest_block_read_bytes_total", "Bytes read from a disk.", "read_bytes"),
        counter("frontinus_guest_block_read_requests_total", "Reads that a disk completed.", "read_requests"),
        counter("frontinus_guest_block_read_errors_total", "Reads that failed.", "read_errors"),
        counter("frontinus_guest_block_read_seconds_total", "Time of all reads together.", "read_time", NANO),
        counter("frontinus_guest_block_written_bytes_total", "Bytes written to a disk.", "write_bytes"),
        counter("frontinus_guest_block_write_requests_total", "Writes that a disk completed.", "write_requests"),
        counter("frontinus_guest_block_write_errors_total", "Writes that failed.", "write_errors"),
        counter("frontinus_guest_block_write_seconds_total", "Time of all writes together.", "write_time", NANO),
        counter("frontinus_guest_block_flush_requests_total", "Flushes that a disk completed.", "flush_requests"),
        counter("frontinus_guest_block_flush_seconds_total", "Time of all flushes together.", "flush_time", NANO),
        gauge("frontinus_guest_block_capacity_bytes", "Size of a disk as the guest sees it.", "capacity"),
        gauge("frontinus_guest_block_allocation_bytes", "End of the highest byte written to a disk's file.", "allocation"),
        gauge("frontinus_guest_block_physical_bytes", "Space that a disk takes on the host.", "physical"),
        gauge("frontinus_guest_block_write_threshold_bytes", "Offset whose first write is told as an event.", "threshold"),
    ), {"device": "name"}),
    _latency("read"),
    _latency("write"),
    _latency("flush"),
    Scope(lambda sample: sample.stats.interfaces, (info("frontinus_guest_network_info", "What a network card is."),), {
        "device": "name", "alias": "alias", "mac": "mac"}),
    Scope(lambda sample: sample.stats.interfaces, (
        counter("frontinus_guest_network_receive_bytes_total", "Bytes that the guest received.", "rx_bytes"),
        counter("frontinus_guest_network_receive_packets_total", "Packets that the guest received.", "rx_packets"),
        counter("frontinus_guest_network_receive_errors_total", "Errors in receiving.", "rx_errors"),
        counter("frontinus_guest_network_receive_drops_total", "Packets to the guest that were dropped.", "rx_drops"),
        counter("frontinus_guest_network_transmit_bytes_total", "Bytes that the guest sent.", "tx_bytes"),
        counter("frontinus_guest_network_transmit_packets_total", "Packets that the guest sent.", "tx_packets"),
        counter("frontinus_guest_network_transmit_errors_total", "Errors in sending.", "tx_errors"),
        counter("frontinus_guest_network_transmit_drops_total", "Packets of the guest that were dropped.", "tx_drops"),
    ), {"device": "name"}),
    Scope(lambda sample: sample.stats.iothreads, (
        gauge("frontinus_guest_iothread_poll_maximum_seconds", "Longest time that an I/O thread polls before it sleeps.",
              "poll_max", NANO),
        gauge("frontinus_guest_iothread_poll_growth", "Factor by which polling grows; 0 is the hypervisor's default.",
              "poll_grow"),
        gauge("frontinus_guest_iothread_poll_shrinkage", "Divisor by which polling shrinks; 0 ends it at once.", "poll_shrink"),
    ), {"iothread": "id"}),
    Scope(lambda sample: sample.stats.jobs, (
        gauge("frontinus_guest_job_start_timestamp_seconds", "When a piece of work on the guest began.", "started"),
        gauge("frontinus_guest_job_progress_ratio", "How much of the work is done.", "progress"),
        gauge("frontinus_guest_job_processed_bytes", "What the work has been through.", "processed"),
        gauge("frontinus_guest_job_remaining_bytes", "What the work has before it.", _remaining),
    ), {"job": "id", "kind": "kind"}),
    Scope(one(lambda sample: sample.stats.group), (
        gauge("frontinus_guest_cgroup_memory_bytes", "Memory that the guest's control group is charged for.", "memory"),
        gauge("frontinus_guest_cgroup_memory_peak_bytes", "The most that it was charged for.", "memory_peak"),
        counter("frontinus_guest_cgroup_memory_limit_hits_total", "Times that the group came to its limit of memory.",
                "memory_limit_hits"),
        counter("frontinus_guest_cgroup_oom_kills_total", "Processes of the group that were killed for want of memory.",
                "oom_kills"),
        counter("frontinus_guest_cgroup_cpu_periods_total", "Periods of the group's quota of CPU time.", "periods"),
        counter("frontinus_guest_cgroup_cpu_throttled_periods_total", "Periods in which the quota was used up.", "throttled"),
        counter("frontinus_guest_cgroup_cpu_throttled_seconds_total", "Time that the group was kept from running by its quota.",
                "throttled_time", NANO),
    ), {}),
    Scope(_stalls, (
        counter("frontinus_guest_pressure_waiting_seconds_total", "Time in which some thread of the guest waited for the resource.",
                lambda stall: stall[1], NANO),
        counter("frontinus_guest_pressure_stalled_seconds_total", "Time in which all threads of the guest waited for it.",
                lambda stall: stall[2], NANO),
    ), {"resource": lambda stall: stall[0]}),
    Scope(one(lambda sample: sample.stats.agent), (info("frontinus_guest_agent_info", "What the guest's agent tells of it."),), {
        "hostname": "hostname", "os": lambda told: told.os and told.os.pretty_name, "os_id": lambda told: told.os and told.os.id,
        "os_version": lambda told: told.os and told.os.version_id, "kernel": lambda told: told.os and told.os.kernel_release}),
    Scope(one(lambda sample: sample.stats.agent), (
        gauge("frontinus_guest_agent_users", "Users that are logged in.", "users"),
        gauge("frontinus_guest_agent_timestamp_seconds", "When the agent told that.", "taken"),
    ), {}),
    Scope(_filesystems, (
        gauge("frontinus_guest_filesystem_size_bytes", "Size of a file system that the guest has mounted.", "total"),
        gauge("frontinus_guest_filesystem_used_bytes", "What is in use of it.", "used"),
    ), {"mountpoint": "mountpoint", "fstype": "type", "device": "name", "disks": lambda one: ",".join(one.disks)}),
    Scope(one(lambda sample: sample.stats.dirty_rate), (
        gauge("frontinus_guest_dirty_rate_bytes_per_second", "How fast the guest changed its memory, when last measured.", "rate"),
        gauge("frontinus_guest_dirty_rate_timestamp_seconds", "When that measurement began.", "began"),
        gauge("frontinus_guest_dirty_rate_duration_seconds", "How long that measurement took.", "seconds"),
    ), {}),
)  # fmt: skip

NATIVE = Profile("native", _identity, ENGINE, GUESTS,
                 tuple(replace(scope, since=lambda sample: sample.stats.started) for scope in FIGURES))  # fmt: skip


def with_labels(names: Iterable[str]) -> Profile:
    """The native profile with an info metric of the labels that an operator chose from the guests' metadata."""
    chosen = {name: partial(lambda name, found: found.get(name), name) for name in names}
    if not chosen:
        return NATIVE
    shown = Scope(one(lambda entry: entry.details.labels or None if entry.details else None), (
        info("frontinus_guest_labels_info", "What the guest's metadata says under the labels of the exporter's settings."),
    ), chosen)  # fmt: skip
    return replace(NATIVE, guests=(*NATIVE.guests, shown), details=True)
