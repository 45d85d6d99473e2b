"""What only a kernel with version 2 of control groups, PSI and scheduler statistics tells of a guest, through the exporter."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from support.exporter import beside, get
from trial import Daemon

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCHEDSTATS = Path("/proc/sys/kernel/sched_schedstats")
GUEST = """<domain type='qemu'><name>scraped</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<cputune><global_period>100000</global_period><global_quota>20000</global_quota></cputune>
<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"""

WANTED = {
    "frontinus_guest_cgroup_memory_bytes", "frontinus_guest_cgroup_memory_peak_bytes",
    "frontinus_guest_cgroup_cpu_periods_total", "frontinus_guest_cgroup_cpu_throttled_periods_total",
    "frontinus_guest_cgroup_cpu_throttled_seconds_total", "frontinus_guest_vcpu_wait_seconds_total",
    "frontinus_guest_vcpu_delay_seconds_total",
    "frontinus_guest_pressure_waiting_seconds_total cpu", "frontinus_guest_pressure_stalled_seconds_total cpu",
}  # fmt: skip
"""Figures, with the resource that they are of, that are above nothing once a guest was held up by its quota."""


async def test_a_guest_that_its_quota_holds_up(daemon: Daemon) -> None:
    """Its firmware finds nothing to boot and is busy with that: a fifth of a CPU is not enough."""
    SCHEDSTATS.write_text("1")
    async with daemon.engine() as engine, beside(daemon.monitor_socket) as (port, _):
        await engine.create(GUEST)
        found: dict[str, float] = {}
        async with asyncio.timeout(120):
            while missing := {name for name in WANTED if not found.get(name)}:
                await engine.reset("scraped")
                await asyncio.sleep(1)
                samples = [s for family in parse((await get(port, "/metrics")).body) for s in family.samples]
                found = {" ".join(filter(None, (s.name, s.labels.get("resource")))): s.value for s in samples
                         if s.labels.get("name") == "scraped"}  # fmt: skip
                print("missing:", missing)
        assert {
            f"frontinus_guest_pressure_waiting_seconds_total {what}" for what in ("cpu", "io", "memory")
        } <= found.keys()
        samples = [s.name for family in parse((await get(port, "/metrics")).body) for s in family.samples]
        assert "frontinus_host_pressure_waiting_seconds_total" in samples
        await engine.destroy("scraped")
    SCHEDSTATS.write_text("0")
