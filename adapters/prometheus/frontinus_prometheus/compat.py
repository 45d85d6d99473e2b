"""The tables of other exporters, name for name and label for label, so that dashboards and rules made for them go on.

Each profile has its own path: their names clash. What they would show as 0 without knowing it is left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from frontinus_prometheus.compat_families import (
    BLOCK,
    BLOCK_COUNTS,
    CAPACITY,
    CARD,
    CPU,
    JOBS,
    MEMORY,
    PERCENT,
    POOL_STATE,
    POOLS_LATE,
    UP,
    active,
    block_times,
    domains,
    facts_of,
    info_metrics,
    memory_metrics,
    pools,
    vcpus,
)
from frontinus_prometheus.compat_items import (
    Part,
    blocks,
    cards,
    each,
    known,
    memory,
    nova,
    old_cdrom,
    removable,
    said,
    source,
    state_code,
    state_words,
)
from frontinus_prometheus.metric import Profile, Scope, Value, flag, gauge, one
from frontinus_prometheus.model import Entry, Facts

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
