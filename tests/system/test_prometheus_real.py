"""A real guest through the exporter: its figures are QEMU's and the kernel's own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from frontinus.api.engine import Engine
from support import traces
from support.exporter import beside, get
from trial import Daemon

NIC = "<interface type='user'><model type='virtio'/></interface>"
XML = f"""<domain type='qemu'>
  <name>measured</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <iothreads>1</iothreads>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{{disk}}'/><target dev='vda' bus='virtio'/></disk>
    {NIC}<memballoon model='virtio'/>
  </devices>
</domain>"""

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, as the kernel counts it."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


@pytest.fixture
async def port(daemon: Daemon) -> AsyncIterator[int]:
    """An exporter at the daemon's monitor socket."""
    async with beside(daemon.monitor_socket) as (taken, _):
        yield taken


async def reads(engine: Engine, beyond: int) -> int:
    """How often the guest has read its disk, once that is more than so often: no event tells of reads."""
    async with asyncio.timeout(60):
        while True:
            (stats,) = await engine.stats(["measured"])
            if (count := sum(block.read_requests or 0 for block in stats.blocks)) > beyond:
                return count
            await asyncio.sleep(0.1)


def judge_disk(body: str, found: Mapping[tuple[str, str | None], float], stats: Mapping[str, Any]) -> None:
    """What is shown of the disk is what QEMU counts."""
    for name, key in (("read_bytes_total", "rd_bytes"), ("read_requests_total", "rd_operations"),
                      ("written_bytes_total", "wr_bytes"), ("flush_requests_total", "flush_operations")):  # fmt: skip
        assert found[f"frontinus_guest_block_{name}", "vda"] == stats[key]
    buckets = "frontinus_guest_block_read_latency_seconds_bucket"
    counted = [s.value for f in parse(body) for s in f.samples if s.name == buckets]
    assert counted == list(itertools.accumulate(stats["rd_latency_histogram"]["bins"])) and counted[-1] > 0


@pytest.mark.needs("promtool")
async def test_figures_are_qemus_and_the_kernels(daemon: Daemon, port: int, place: Path) -> None:
    (place / "disk.img").write_bytes(bytes(2**22))
    async with daemon.engine() as engine:
        await engine.create(XML.format(disk=place / "disk.img"))
        seen = await reads(engine, 0)  # the BIOS has read the disk's first sector
        await engine.reset("measured")  # and reads again, with the histograms that the first look began
        await reads(engine, seen)
        await engine.suspend("measured")
        (pid,) = [pid for pid, words in traces.processes(str(place)).items() if "qemu-system" in words]
        said = json.loads(await engine.monitor_command("measured", '{"execute": "query-blockstats"}'))["return"]
        before = cpu_seconds(pid)
        body = (await get(port, "/metrics")).body
        after = cpu_seconds(pid)
        await engine.destroy("measured")
    found = {(s.name, s.labels.get("device")): s.value for f in parse(body) for s in f.samples}
    assert before - 1 / TICKS <= found["frontinus_guest_cpu_seconds_total", None] <= after + 1 / TICKS and before > 0
    (stats,) = [block["stats"] for block in said if "virtio-disk0" in json.dumps(block)]
    judge_disk(body, found, stats)
    assert found["frontinus_engine_monitor_commands_total", None] > 10
    assert found["frontinus_host_memory_available_bytes", None] > 0
    assert found["frontinus_guest_block_capacity_bytes", "vda"] == 2**22
    assert found["frontinus_guest_memory_balloon_bytes", None] == 2**26
    assert re.search(r'frontinus_guest_status_info\{.*state="paused",reason="user"\} 1', body)
    assert (
        "frontinus_guest_iothread_poll_maximum_seconds{" in body and "frontinus_guest_vcpu_delay_seconds_total{" in body
    )
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
