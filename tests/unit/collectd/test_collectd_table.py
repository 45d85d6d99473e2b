"""The table of values: units, what is left out, and that every row is of a type that collectd knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from frontinus.api.views import (
    BlockStats,
    CpuStats,
    GuestStats,
    InterfaceStats,
    JobView,
    MemoryStats,
    VcpuStats,
)
from frontinus_collectd.reference import rows
from frontinus_collectd.selection import Selection, pattern
from frontinus_collectd.settings import EXTRA, Settings
from frontinus_collectd.table import SCOPES, Reading, groups, samples
from support.collectd import TYPES

ALL = frozenset(EXTRA) - {"job_stats_completed"}
MEMORY = MemoryStats(current=100, unused=1, available=2, usable=3, disk_caches=4, rss=5, swap_in=6, swap_out=7,
                     major_faults=8, minor_faults=9, hugetlb_pgalloc=10, hugetlb_pgfail=11)  # fmt: skip
DISK = BlockStats(index=0, name="vda", path="/pool/a.img", read_requests=1, write_requests=2, read_bytes=3, write_bytes=4,
                  read_time=5_000_000, write_time=6_999_999, flush_requests=7, flush_time=8_000_000, read_errors=0,
                  write_errors=1, allocation=9, capacity=10, physical=11)  # fmt: skip
NIC = InterfaceStats(index=0, name="vnet0", mac="52:54:00:00:00:01", rx_bytes=1, tx_bytes=2, rx_packets=3, tx_packets=4,
                     rx_errors=5, tx_errors=6, rx_drops=7, tx_drops=8)  # fmt: skip
GUEST = GuestStats(uuid="u", name="web", id=1, state="running", reason="booted", taken=100.0,
                   cpu=CpuStats(time=3_000_000_000, user=2_000_000, system=1_000_000),
                   vcpus=(VcpuStats(index=0, time=77),), memory=MEMORY, blocks=(DISK,), interfaces=(NIC,))  # fmt: skip
JOB = JobView(id="1", kind="save", state="running", started=90.0, guest="u", processed=30, total=100)
EVERYTHING = Reading(GUEST, Settings(extra=ALL), None, 4, {0: frozenset({1})}, (JOB,))


def shown(reading: Reading) -> dict[str, tuple[int | float, ...]]:
    return {"-".join(filter(None, (s.type, s.instance))): s.values for s in samples(reading)}


def earlier(**changes: object) -> GuestStats:
    """The same guest ten seconds before, one CPU second younger."""
    return msgspec.structs.replace(GUEST, taken=90.0, cpu=CpuStats(time=2_000_000_000), **changes)


def test_every_value_in_its_unit() -> None:
    assert shown(replace(EVERYTHING, last=earlier())) == {
        "virt_cpu_total": (3_000_000_000,), "ps_cputime": (2000, 1000), "percent-virt_cpu_total": (2.5,),
        "domain_state": (1, 1), "memory-total": (100,), "memory-actual_balloon": (100,), "memory-unused": (1,),
        "memory-available": (2,), "memory-usable": (3,), "memory-disk_caches": (4,), "memory-rss": (5,),
        "swap_io-in": (6,), "swap_io-out": (7,), "ps_pagefaults": (9, 8), "memory-hugetlb_pgalloc": (10,),
        "memory-hugetlb_pgfail": (11,), "virt_vcpu-0": (77,), "cpu_affinity-vcpu_0-cpu_0": (0,),
        "cpu_affinity-vcpu_0-cpu_1": (1,), "cpu_affinity-vcpu_0-cpu_2": (0,), "cpu_affinity-vcpu_0-cpu_3": (0,),
        "disk_ops-vda": (1, 2), "disk_octets-vda": (3, 4), "disk_time-vda": (5, 6), "total_requests-flush-vda": (7,),
        "total_time_in_ms-flush-vda": (8,), "disk_error-vda": (0,), "disk_allocation-vda": (9,),
        "disk_capacity-vda": (10,), "disk_physical-vda": (11,), "if_octets-vnet0": (1, 2), "if_packets-vnet0": (3, 4),
        "if_errors-vnet0": (5, 6), "if_dropped-vnet0": (7, 8), "job_stats-time_elapsed": (10_000,),
        "job_stats-data_total": (100,), "job_stats-data_processed": (30,), "job_stats-data_remaining": (70,),
    }  # fmt: skip


def test_without_extra_stats() -> None:
    usual = shown(replace(EVERYTHING, settings=Settings()))
    assert set(usual) == {"virt_cpu_total", "memory-total", "disk_ops-vda", "disk_octets-vda", "if_octets-vnet0",
                          "if_packets-vnet0", "if_errors-vnet0", "if_dropped-vnet0"}  # fmt: skip
    none = Settings(report_blocks=False, report_interfaces=False)
    assert set(shown(replace(EVERYTHING, settings=none))) == {"virt_cpu_total", "memory-total"}


def test_only_the_figures_that_are_needed_are_asked_for() -> None:
    assert groups(Settings(report_blocks=False, report_interfaces=False)) == ["balloon", "cpu"]
    assert groups(Settings(extra=ALL)) == ["agent", "balloon", "block", "cpu", "interface", "job", "state", "vcpu"]


def test_figures_are_dispatched_once_and_carry_their_own_time() -> None:
    found = list(samples(EVERYTHING))
    assert {s.time for s in found if s.type != "domain_state"} == {100.0}
    assert [s.time for s in found if s.type == "domain_state"] == [0.0]
    assert set(shown(replace(EVERYTHING, last=GUEST))) == {"domain_state"}


def test_a_guest_that_is_off_has_a_state_and_nothing_else() -> None:
    off = GuestStats(uuid="u", name="web", state="shutoff", reason="crashed", memory=MemoryStats(current=1))
    assert shown(replace(EVERYTHING, stats=off)) == {"domain_state": (5, 3)}


def test_what_is_not_known_is_left_out() -> None:
    bare = GuestStats(uuid="u", name="web", id=1, taken=1.0, state="paused", memory=MemoryStats(current=5),
                      blocks=(BlockStats(index=0, name="sda", read_bytes=1),),
                      interfaces=(InterfaceStats(index=0, name="net0"),))  # fmt: skip
    assert shown(Reading(bare, Settings(extra=ALL))) == {
        "domain_state": (3, 0), "memory-total": (5,), "memory-actual_balloon": (5,),
    }  # fmt: skip


def test_percent_follows_the_clock_of_the_figures() -> None:
    settings = Settings(extra=frozenset({"cpu_util"}))
    assert shown(Reading(GUEST, settings, earlier(), 1))["percent-virt_cpu_total"] == (10.0,)
    restarted = GuestStats(uuid="u", name="web", id=2, taken=200.0, cpu=CpuStats(time=5))
    assert "percent-virt_cpu_total" not in shown(Reading(restarted, settings, GUEST, 1))
    assert "percent-virt_cpu_total" not in shown(Reading(GUEST, settings, None, 1))


def test_failing_disks() -> None:
    settings = Settings(extra=frozenset({"disk_err"}))
    before = earlier(blocks=(BlockStats(index=0, name="vda", read_errors=0, write_errors=0),))
    assert shown(Reading(GUEST, settings, before))["disk_error-vda"] == (1,)
    assert shown(Reading(GUEST, settings, earlier()))["disk_error-vda"] == (0,)
    assert shown(Reading(GUEST, settings, None))["disk_error-vda"] == (0,)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(), "disk_ops-vda"),
        (Settings(block_format="source"), "disk_ops-/pool/a.img"),
        (Settings(block_format="source", basename=True), "disk_ops-a.img"),
        (Settings(basename=True), "disk_ops-vda"),
        (Settings(interface_format="address"), "if_octets-52:54:00:00:00:01"),
        (Settings(interface_format="number"), "if_octets-1"),
    ],
)
def test_formats(settings: Settings, name: str) -> None:
    assert name in shown(replace(EVERYTHING, settings=settings))


@pytest.mark.parametrize(
    ("entries", "ignore", "is_shown"),
    [
        (["web:vda"], False, True),
        (["web:vda"], True, False),
        (["vda"], False, False),
        (["/:vd/"], True, False),
        (["/:hd/"], True, True),
        (["/^db:/", "/:vda$/"], False, True),
    ],
)
def test_selected_devices(entries: list[str], ignore: bool, is_shown: bool) -> None:
    chosen = Selection(tuple(map(pattern, entries)), ignore)
    assert ("disk_ops-vda" in shown(replace(EVERYTHING, settings=Settings(blocks=chosen)))) == is_shown
    by_name = Selection(
        tuple(pattern(entry.replace("vd", "vnet").replace("vneta", "vnet0")) for entry in entries), ignore
    )
    assert ("if_octets-vnet0" in shown(replace(EVERYTHING, settings=Settings(interfaces=by_name)))) == is_shown


def test_every_row_is_a_type_of_collectd_and_every_selector_has_rows() -> None:
    metrics = [metric for scope in SCOPES for metric in scope.metrics]
    assert {metric.type for metric in metrics} == set(TYPES)
    for metric in metrics:
        assert len(metric.sources) == len(TYPES[metric.type]), metric
        assert metric.help.endswith(".")
    assert {metric.extra for metric in metrics if metric.extra} == set(EXTRA) - {"fs_info"}  # which is a notification


def test_types_are_those_of_the_installed_collectd() -> None:
    db = Path("/usr/share/collectd/types.db")
    if not db.exists():
        pytest.skip("no collectd here")
    known = {}
    for line in db.read_text().splitlines():
        if line and not line.startswith("#"):
            name, *sources = line.replace(",", " ").split()
            known[name] = "".join(source.split(":")[1][0].lower() for source in sources)
    assert {name: known[name] for name in TYPES} == TYPES


def test_documentation_has_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/collectd.md").read_text()
    for row in rows():
        assert row in page, "run python -m frontinus_collectd.reference and put its table into docs/collectd.md"
