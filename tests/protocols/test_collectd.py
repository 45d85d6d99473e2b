"""Debian's collectd, munin-run and the check, at one real guest: their figures are the engine's."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from frontinus.api.engine import Engine
from frontinus.api.views import GuestStats
from frontinus_collectd.munin import install
from support import real
from support.ports import free_port
from support.waiting import until
from trial import Daemon

daemon, place = real.daemon, real.place

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(msgspec.__file__).parents[1]
COLLECTD = shutil.which("collectd") or "/usr/sbin/collectd"
TAP = "frtcollectd0"

DISK = (
    "<disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>"
)
XML = f"""<domain type='qemu'>
  <name>measured</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    {DISK}
    <interface type='ethernet'><target dev='{TAP}'/><model type='virtio'/></interface>
    <memballoon model='virtio'/>
  </devices>
</domain>"""

CONFIG = """
Hostname "here"
FQDNLookup false
Interval 1
BaseDir "{folder}"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{folder}/collectd.log"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
</Plugin>
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "{port}"
</Plugin>
<LoadPlugin python>
  Globals true
</LoadPlugin>
<Plugin python>
{paths}
  LogTraces true
  Import "frontinus_collectd.plugin"
  <Module frontinus>
    Socket "{socket}"
    MaxAge 0
    ExtraStats "cpu_util disk disk_err domain_state memory pcpu vcpu vcpupin disk_allocation disk_capacity disk_physical"
  </Module>
</Plugin>
"""


@pytest.fixture
async def engine(daemon: Daemon, place: Path) -> AsyncIterator[Engine]:
    """With one guest that has read its disk and then was paused, so that its counters stand still."""
    (place / "disk.img").write_bytes(bytes(2**22))
    async with daemon.engine() as engine:
        await engine.create(XML.format(disk=place / "disk.img"))
        async with asyncio.timeout(60):
            while True:  # until the BIOS has read the disk's first sector
                if (await engine.stats(["measured"]))[0].blocks[0].read_requests:
                    break
                await asyncio.sleep(0.1)
        await engine.suspend("measured")
        yield engine


@contextmanager
def collectd(folder: Path, monitor: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """In the foreground, with nothing of the machine's own configuration."""
    paths = "\n".join(f'  ModulePath "{path}"' for path in (SITE, ROOT / "core", ROOT / "adapters/collectd"))
    (folder / "collectd.conf").write_text(CONFIG.format(folder=folder, socket=monitor, port=port, paths=paths))
    process = subprocess.Popen(
        [COLLECTD, "-f", "-C", str(folder / "collectd.conf")],
        env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=(folder / "collectd.err").open("wb"))  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        print(*(file.read_text() for file in folder.glob("collectd.[el]*")))  # shown where a test fails


def written(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    """All lines of the CSV files by host/plugin/type: the time, then the values."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for file in (folder / "csv").glob("*/*/*"):
        name = str(file.relative_to(folder / "csv"))[: -len("-2000-01-01")]
        rows = [line.split(",") for line in file.read_text().splitlines()[1:] if line.count(",")]
        found.setdefault(name, []).extend(tuple(map(float, row)) for row in rows)
    return found


def expected(stats: GuestStats) -> dict[str, tuple[float, ...]]:
    """The values of a paused guest, as plugin virt names them, in the units that collectd's own plugins have."""
    cpu, memory, disk, nic = stats.cpu, stats.memory, stats.blocks[0], stats.interfaces[0]
    assert cpu and memory
    values: dict[str, tuple[int | None, ...]] = {
        "virt_cpu_total": (cpu.time,), "ps_cputime": ((cpu.user or 0) // 1000, (cpu.system or 0) // 1000),
        "memory-total": (memory.current,), "memory-actual_balloon": (memory.current,), "domain_state": (3, 1),
        "virt_vcpu-0": (stats.vcpus[0].time,), "virt_vcpu-1": (stats.vcpus[1].time,),
        "disk_ops-vda": (disk.read_requests, disk.write_requests),
        "disk_octets-vda": (disk.read_bytes, disk.write_bytes),
        "disk_time-vda": ((disk.read_time or 0) // 10**6, (disk.write_time or 0) // 10**6),
        "total_requests-flush-vda": (disk.flush_requests,),
        "total_time_in_ms-flush-vda": ((disk.flush_time or 0) // 10**6,),
        "disk_error-vda": (0,), "disk_capacity-vda": (2**22,), "disk_physical-vda": (disk.physical,),
        f"if_octets-{TAP}": (nic.rx_bytes, nic.tx_bytes), f"if_packets-{TAP}": (nic.rx_packets, nic.tx_packets),
        f"if_errors-{TAP}": (nic.rx_errors, nic.tx_errors), f"if_dropped-{TAP}": (nic.rx_drops, nic.tx_drops),
    }  # fmt: skip
    assert not [name for name, row in values.items() if None in row]
    return {f"measured/virt/{name}": tuple(float(v or 0) for v in row) for name, row in values.items()}


MOVING = ("virt_cpu_total", "ps_cputime", "if_", "virt_vcpu", "memory-rss")
"""Of a paused guest: its process still answers us, and the host's own packets still come."""


def differing(found: Mapping[str, list[tuple[float, ...]]], before: GuestStats, after: GuestStats) -> list[str]:
    """Values of the last reading that are outside what the engine said before and after it."""
    low, high = expected(before), expected(after)
    wrong = []
    for name in low:
        row = found.get(name, [(0.0,)])[-1][1:]
        if len(row) != len(low[name]) or not all(
            a <= v <= b for a, v, b in zip(low[name], row, high[name], strict=True)
        ):
            wrong.append(f"{name}: {low[name]} <= {row} <= {high[name]}")
        if low[name] != high[name] and not name.removeprefix("measured/virt/").startswith(MOVING):
            wrong.append(f"{name} moved: {low[name]} {high[name]}")
    return wrong


def readings(folder: Path) -> int:
    return len(written(folder).get("measured/virt/virt_cpu_total", []))


@pytest.mark.needs("root", "qemu-system-x86_64", COLLECTD)
async def test_collectd(daemon: Daemon, engine: Engine, place: Path) -> None:
    port = free_port()
    with collectd(place, daemon.monitor_socket, port) as process:
        await until(lambda: readings(place) >= 2)
        (before,) = await engine.stats(["measured"])
        seen = readings(place)
        await until(lambda: readings(place) >= seen + 2)
        found = written(place)  # before the engine is asked again: collectd reads on
        (after,) = await engine.stats(["measured"])
        assert differing(found, before, after) == []
        scraped = await asyncio.to_thread(scrape, port)
        assert scraped["collectd_virt_disk_octets_read_total", "vda"] == after.blocks[0].read_bytes
        assert scraped["collectd_virt_memory", "total"] == 2**26
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None)
        assert process.returncode == 0
    log = (place / "collectd.log").read_text()
    assert "Traceback" not in log and log.count("frontinus:") == 1, log
    percent = written(place)["measured/virt/percent-virt_cpu_total"]
    assert percent and all(0 <= value <= 100 for _, value in percent)


def scrape(port: int) -> dict[tuple[str, str], float]:
    """What write_prometheus shows, by name and type instance."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {(s.name, s.labels.get("virt") or s.labels.get("type") or ""): s.value
            for family in text_string_to_metric_families(text) for s in family.samples}  # fmt: skip


@pytest.mark.needs("root", "qemu-system-x86_64", COLLECTD)
async def test_collectd_and_an_engine_that_restarts(daemon: Daemon, place: Path) -> None:
    async with daemon.engine() as engine:
        await engine.create(XML.replace(DISK, ""))
    with collectd(place, daemon.monitor_socket, free_port()) as process:
        await until(lambda: readings(place) >= 2)
        await daemon.stop()
        await daemon.start()
        seen = readings(place)
        await until(lambda: readings(place) >= seen + 3)
        async with daemon.engine() as engine:
            await engine.suspend("measured")
        log = place / "collectd.log"
        await until(lambda: "Domain state: paused. Reason: user" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    lines = [line for line in log.read_text().splitlines() if "frontinus:" in line]
    assert len(lines) <= 3 and "error" not in " ".join(lines), lines
    assert "Will suspend" not in log.read_text(), "collectd lets intervals pass by after a reading that failed"


@pytest.mark.needs("root", "qemu-system-x86_64")
async def test_munin_and_the_check(daemon: Daemon, engine: Engine, place: Path) -> None:
    install(place)
    (place / "frontinus_block").symlink_to(place / "frontinus_")
    environment = {**os.environ, "FRONTINUS_SOCKET": str(daemon.monitor_socket), "FRONTINUS_MAX_AGE": "0"}
    done = await run(place / "frontinus_block", env=environment)
    (stats,) = await engine.stats(["measured"])
    short = stats.uuid[:8]
    assert done.stdout.splitlines() == [f"measured_{short}_read.value {stats.blocks[0].read_bytes}",
                                        f"measured_{short}_written.value {stats.blocks[0].write_bytes}"]  # fmt: skip
    check = Path(sys.executable).with_name("check_frontinus")
    done = await run(check, "guests", "-S", daemon.monitor_socket, "-g", "measured")
    assert done.returncode == 1 and "measured is paused (user)" in done.stdout
    async with asyncio.timeout(120):
        while (done := await run(check, "stats", "-S", daemon.monitor_socket)).returncode:
            pass  # a hypervisor on a loaded machine may be late
    assert "'stale'=0" in done.stdout
    await daemon.stop()
    done = await run(check, "engine", "-S", daemon.monitor_socket)
    assert done.returncode == 2
    await daemon.start()


async def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    argv = [str(word) for word in words]
    return await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, check=False, env=env, timeout=120
    )


@asynccontextmanager
async def munin_folder(place: Path, daemon: Daemon) -> AsyncIterator[Path]:
    """A configuration for munin-run alone: the plugin, its link, and where the engine is."""
    folder = place / "munin"
    for name in ("plugins", "plugin-conf.d", "state", "log"):
        (folder / name).mkdir(parents=True)
    install(folder / "plugins")
    (folder / "plugins/frontinus_").rename(folder / "frontinus_")
    (folder / "plugins/frontinus_state").symlink_to(folder / "frontinus_")
    (folder / "plugin-conf.d/frontinus").write_text(
        f"[frontinus_*]\nuser root\nenv.FRONTINUS_SOCKET {daemon.monitor_socket}\n"
    )
    yield folder


@pytest.mark.needs("root", "qemu-system-x86_64", "munin-run")
async def test_munin_run(daemon: Daemon, engine: Engine, place: Path) -> None:
    async with munin_folder(place, daemon) as folder:
        words = ["munin-run", "--servicedir", folder / "plugins", "--sconfdir", folder / "plugin-conf.d",
                 "--config", "/etc/munin/munin-node.conf"]  # fmt: skip
        done = await run(*words, "frontinus_state")
        assert "paused.value 1" in done.stdout.splitlines(), done.stderr
        done = await run(*words, "frontinus_state", "config")
        assert "graph_title States of guests" in done.stdout.splitlines(), done.stderr
        done = await run(*words, "frontinus_state", "autoconf")
        assert done.stdout.strip() == "yes", done.stderr
