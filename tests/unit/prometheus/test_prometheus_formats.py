"""OpenMetrics' units and beginnings, and the names that dashboards of other exporters ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from frontinus.api.events import LifecycleEvent, WatchdogEvent
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestStats, JobView
from frontinus_prometheus.compat import COMPAT
from frontinus_prometheus.details import details
from frontinus_prometheus.metric import Profile
from frontinus_prometheus.model import facts
from frontinus_prometheus.native import NATIVE
from frontinus_prometheus.render import Renderer
from support.metrics import UUID, model, render, samples, stats, text, view

PROFILES = {profile.name: profile for profile in COMPAT}


def created(body: str) -> Mapping[tuple[str, str], float]:
    """When things began, by the name of the family and the guest."""
    return {(s.name, s.labels.get("name", "")): s.value for family in parse_openmetrics(body + "# EOF\n")
            for s in family.samples if s.name.endswith("_created")}  # fmt: skip


def test_openmetrics_tells_since_when_all_is_counted() -> None:
    known = model(view())
    known.take(WatchdogEvent(uuid=UUID, name="web", action="reset"))
    began = created(render(known, [stats()], openmetrics=True))
    assert began["frontinus_guest_cpu_seconds_created", "web"] == 900.25, "since its process is there"
    assert began["frontinus_guest_block_read_latency_seconds_created", "web"] == 900.25
    assert began["frontinus_engine_monitor_commands_created", ""] == 5.0, "since the engine is there"
    assert began["frontinus_guest_events_created", "web"] == known.guests[UUID].since, "since it is known"
    counted = {m.family for m in NATIVE.metrics() if m.kind in ("counter", "histogram")}
    unknown = {name for name in counted if name.startswith("frontinus_host_")}  # since the host's boot, or later
    assert {name.removesuffix("_created") for name, _ in began} == counted - unknown
    assert "_created" not in render(known, [stats()])


def test_beginnings_can_be_left_out() -> None:
    known = model(view())
    shown = facts(known, [stats()], fresh=True, version=None, host=None)
    for wanted in (True, False):
        body = text(Renderer(NATIVE, openmetrics=True, created=wanted).render(shown, known.guests))
        assert bool(created(body)) is wanted


def test_a_guest_that_started_anew_counts_from_then() -> None:
    known, renderer = model(view()), Renderer(NATIVE, openmetrics=True)

    def began(figures: GuestStats) -> float:
        shown = facts(known, [figures], fresh=True, version=None, host=None)
        return created(text(renderer.render(shown, known.guests)))["frontinus_guest_cpu_seconds_created", "web"]

    assert began(stats()) == 900.25
    known.take(LifecycleEvent(uuid=UUID, name="web", kind="started", detail="booted", guest=view(), generation=9))
    assert began(stats()) == 900.25, "the figures are still of the process before"
    assert began(stats(started=1000.5)) == 1000.5


# What published dashboards and the exporters' own tables name, after libvirt_ or libvirt_domain_; {a,b} is a or b.
NIC = "interface_stats_{receive,transmit}_{bytes,packets,errors,drops}_total"
BLOCK = "block_stats_{read,write}_{bytes,requests}_total"
INFO = "info_{maximum_memory_bytes,memory_usage_bytes,virtual_cpus,cpu_time_seconds_total}"
TIMES = "block_stats_{read_time_seconds,write_time_seconds,flush_time_seconds,flush_requests}_total"
VCPU = "vcpu_{{time,wait,delay}_seconds_total,state}"
SERVED: Mapping[str, tuple[str, ...]] = {
    "inovex": (
        "!{up,domains}", "!storage_pool_{state,capacity_bytes,allocation_bytes,available_bytes,timed_out}", INFO, NIC, BLOCK,
        TIMES, VCPU, "info", "openstack_info", "info_state", "timed_out", "vcpu_{current,maximum}", "block_stats_info",
        "block_stats_capacity_bytes", "interface_stats_info", "memory_stats_{current_balloon,maximum,swap_in,swap_out,unused,"
        "available,usable,rss,disk_caches}_bytes", "memory_stats_{major,minor}_fault_total", "memory_stats_used_percent",
        "memory_stats_{last_update_timestamp_seconds,hugetlb_pgalloc_total,hugetlb_pgfail_total}",
        "job_info_{type,time_elapsed_seconds,time_remaining_seconds}",
        "job_info_{data,memory,file}_{total,processed,remaining}_bytes",
    ),
    "tinkoff": (
        "!up", "!versions_info", "!pool_info_{capacity,allocation,available}_bytes", INFO, NIC, BLOCK, TIMES, VCPU, "vcpu_cpu",
        "info_meta", "info_vstate", "block_meta", "interface_meta", "block_stats_{capacity_bytes,allocation,physicalsize_bytes}",
        "block_stats_limit_{total,write,read}_{bytes,requests}", "block_stats_limit_burst_{total,write,read}_{bytes,requests}",
        "block_stats_limit_burst_{total,write,read}_bytes_length_seconds",
        "block_stats_limit_burst_length_{total,write,read}_requests_seconds", "block_stats_size_iops_bytes",
        "memory_stats_{unused,available,usable,rss,actual_balloon,disk_cache}_bytes", "memory_stats_{major,minor}_fault_total",
        "memory_stats_used_percent",
    ),
    "kumina": ("!{up,domains_number}", "state_code", INFO, NIC, BLOCK, "block_stats_{read,write,flush}_seconds_total",
               "block_stats_flush_requests_total"),
    "zhang": ("!{up,domains_number}", "state_code", INFO, NIC, BLOCK,
              "stat_memory_{swap_in,swap_out,unused,available,usable,rss}_bytes"),
}  # fmt: skip

XML = """<domain><metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'><n:name>shop</n:name>
</n:instance></metadata><devices><disk><target dev='vda'/></disk>
<interface type='bridge'><source bridge='br0'/><target dev='vnet0'/></interface></devices></domain>"""


def expand(pattern: str) -> list[str]:
    """All names of a pattern."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    return [n for word in found[1].split(",") for n in expand(pattern[: found.start()] + word + pattern[found.end() :])]


def of_everything(profile: Profile) -> set[str]:
    """The names that a profile shows of a guest of which all is known: saving its memory, then copying a disk."""
    known = model(view())
    known.pools["p-1"] = PoolView(uuid="p-1", name="images", kind="dir", state="running", active=True, capacity=9, allocation=4,
                                  available=5)  # fmt: skip
    known.guests[UUID].details = details(XML)
    names: set[str] = set()
    for kind in ("save", "copy"):
        job = JobView(id="4", kind=kind, state="running", started=9.5, progress=0.25, processed=10, total=40)
        given = stats()
        assert given.memory is not None
        given = replace(given, jobs=(job,), memory=replace(given.memory, available=2000, usable=500), vcpus_current=1,
                        vcpus_maximum=2)  # fmt: skip
        names |= {name for name, _ in samples(render(known, [given], profile=profile))}
    return names


@pytest.mark.parametrize("name", list(SERVED))
def test_a_profile_serves_all_that_its_exporter_does(name: str) -> None:
    wanted = {
        f"libvirt_{n[1:]}" if n[0] == "!" else f"libvirt_domain_{n}"
        for pattern in SERVED[name]
        for n in expand(pattern)
    }
    shown = of_everything(PROFILES[name])
    assert shown == wanted
    assert {metric.name for metric in PROFILES[name].metrics()} == wanted, "and nothing that it never shows"


def test_a_job_of_memory_is_not_one_of_a_file() -> None:
    known = model(view())
    found = {name: value for (name, _), value in samples(render(known, [stats()], profile=PROFILES["inovex"])).items()}
    prefix = "libvirt_domain_job_info_"
    assert found[f"{prefix}memory_remaining_bytes"] == found[f"{prefix}data_remaining_bytes"] == 30
    assert f"{prefix}file_total_bytes" not in found
    left, spent = found[f"{prefix}time_remaining_seconds"], found[f"{prefix}time_elapsed_seconds"]
    assert left == pytest.approx(spent * 3, abs=5)
