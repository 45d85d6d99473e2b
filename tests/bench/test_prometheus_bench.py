"""What a scrape costs, beside Debian's exporter for libvirt in the same run. Printed, never asserted: machines differ.

FRONTINUS_LIBVIRT names a folder with a Debian system in it (mmdebstrap) that has libvirt-daemon-system, libvirt-clients,
qemu-system-x86 and prometheus-libvirt-exporter, with /proc, /sys and /dev mounted in it; without it there is no reference.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from trial import Daemon

GUESTS = int(os.environ.get("FRONTINUS_GUESTS", "50"))
ROUNDS = 15
CROWD = 1000
SCRAPES = int(os.environ.get("FRONTINUS_SCRAPES", "10000"))
REFERENCE = os.environ.get("FRONTINUS_LIBVIRT")
THEIRS = "127.0.0.1:19178"
AS_OPENMETRICS = "#openmetrics"
"""At the end of a path: to be asked for in that format."""
TICKS = os.sysconf("SC_CLK_TCK")

XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>{emulator}<disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<memballoon model='virtio'/></devices></domain>"""


def say(what: str, value: float, unit: str, reference: float | None = None) -> None:
    beside = f"   theirs {reference:8.1f}   ratio {value / reference:5.2f}" if reference else ""
    print(f"\n{what:<58} {value:8.2f} {unit}{beside}", end="", flush=True)


def cpu(pid: int) -> float:
    """Seconds of CPU time of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def request(address: str, path: str) -> Request:
    kind = "application/openmetrics-text;version=1.0.0" if path.endswith(AS_OPENMETRICS) else "text/plain"
    return Request(f"http://{address}{path.removesuffix(AS_OPENMETRICS)}", headers={"Accept": kind})


def scrape(address: str, path: str = "/metrics") -> float:
    """Seconds of one scrape."""
    began = time.perf_counter()
    with urlopen(request(address, path)) as answer:  # our own
        answer.read()
    return time.perf_counter() - began


async def answering(address: str, path: str = "/metrics") -> None:
    """Wait for a server, a minute at most."""
    async with asyncio.timeout(60):
        while True:
            try:
                await asyncio.to_thread(scrape, address, path)
                return
            except OSError:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def exporter(daemon: Daemon, port: int, *options: str) -> AsyncIterator[tuple[str, int]]:
    """Our exporter as the process that users run; its address and pid."""
    address = f"127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "frontinus_prometheus.main", "--monitor-socket", str(daemon.monitor_socket), "--listen", address,
        *options, stderr=asyncio.subprocess.DEVNULL)  # fmt: skip
    try:
        await answering(address, "/-/ready")
        yield address, process.pid
    finally:
        process.terminate()
        await process.wait()


@contextmanager
def libvirt(root: str) -> Iterator[None]:
    """libvirtd with as many guests of the same kind, and Debian's exporter."""
    conf = Path(root, "etc/libvirt/qemu.conf")
    conf.write_text("\n".join(['user = "root"', 'group = "root"', 'security_driver = "none"', "namespaces = []",
                               "cgroup_controllers = []", 'stdio_handler = "file"', ""]))  # fmt: skip
    started = [subprocess.Popen(["chroot", root, "/usr/sbin/libvirtd"], stderr=subprocess.DEVNULL)]

    def virsh(*words: str) -> int:
        return subprocess.run(["chroot", root, "virsh", "-q", *words], capture_output=True, check=False).returncode

    try:
        deadline = time.monotonic() + 30
        while virsh("version") and time.monotonic() < deadline:
            time.sleep(0.2)
        for number in range(GUESTS):
            Path(root, f"tmp/{number}.img").write_bytes(bytes(2**20))
            document = XML.format(name=f"ref{number}", disk=f"/tmp/{number}.img", emulator="")
            Path(root, "tmp/guest.xml").write_text(document)
            assert virsh("create", "--paused", "/tmp/guest.xml") == 0
        words = ["prometheus-libvirt-exporter", f"--web.listen-address={THEIRS}"]
        started.append(subprocess.Popen(["chroot", root, *words], stderr=subprocess.DEVNULL))
        yield
    finally:
        for number in range(GUESTS):
            virsh("destroy", f"ref{number}")
        for process in reversed(started):
            process.terminate()
            process.wait(20)


async def interleaved(*calls: Callable[[], Awaitable[float]]) -> list[float]:
    """Medians, measured in turn so that a slow minute hits all."""
    rounds = [[await call() for call in calls] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


@pytest.mark.timeout(900)
async def test_scrape_of_real_guests(daemon: Daemon, place: Path) -> None:
    assert daemon.process is not None
    async with daemon.engine() as engine:
        for number in range(GUESTS):
            disk = place / f"{number}.img"
            disk.write_bytes(bytes(2**20))
            await engine.create(XML.format(name=f"bench{number}", disk=disk, emulator=""), paused=True)
        async with exporter(daemon, 19177, "--max-age", "0", "--no-agent") as (ours, pid):
            if REFERENCE is None:
                (took,) = await interleaved(lambda: asyncio.to_thread(scrape, ours))
                say(f"fresh scrape of {GUESTS} real guests (target 25 ms)", took * 1e3, "ms")
                return
            with libvirt(REFERENCE):
                await answering(THEIRS)
                with urlopen(f"http://{THEIRS}/metrics") as answer:  # noqa: ASYNC210
                    body = answer.read().decode()
                assert f"libvirt_domains_number {GUESTS}\n" in body, [
                    line for line in body.splitlines() if "libvirt" in line
                ][-20:]
                before = cpu(daemon.process.pid) + cpu(pid)
                took, theirs = await interleaved(
                    lambda: asyncio.to_thread(scrape, ours), lambda: asyncio.to_thread(scrape, THEIRS)
                )
                spent = cpu(daemon.process.pid) + cpu(pid) - before
        say(f"fresh scrape of {GUESTS} real guests (target 25 ms and 1/4)", took * 1e3, "ms", theirs * 1e3)
        say("CPU of engine and exporter a guest and scrape", spent / ROUNDS / GUESTS * 1e3, "ms")


@pytest.mark.timeout(900)
async def test_scrape_of_a_crowd(place: Path) -> None:
    """The goal is for 40 series a guest, chosen by name[]; the native profile has more. All in turn, of the same engine."""
    config = place / "frontinus.toml"
    config.write_text(f'hypervisor = "mock"\nmock_guests = {CROWD}\nadapters = []\n')
    daemon = Daemon(place, "--config", str(config))
    await daemon.start()
    try:
        assert daemon.process is not None
        async with exporter(daemon, 19177) as (ours, pid):
            chosen = await asyncio.to_thread(some, ours, 40)
            asked = {"40 chosen": chosen, "native": "/metrics", "tinkoff": "/metrics/tinkoff", "inovex": "/metrics/inovex",
                     "native, OpenMetrics": f"/metrics{AS_OPENMETRICS}"}  # fmt: skip
            series = {name: await asyncio.to_thread(count, ours, path) for name, path in asked.items()}
            took: dict[str, list[float]] = {name: [] for name in asked}
            spent = dict.fromkeys(asked, 0.0)
            for _ in range(ROUNDS):
                for name, path in asked.items():
                    before = cpu(daemon.process.pid) + cpu(pid)
                    took[name].append(await _paced(ours, path))
                    spent[name] += cpu(daemon.process.pid) + cpu(pid) - before
        for name in asked:
            say(
                f"{CROWD} mock guests, {name}: {series[name]} series each (80 ms)",
                statistics.median(took[name]) * 1e3,
                "ms",
            )
            say("  CPU of engine and exporter a guest and scrape (0.2 ms)", spent[name] / ROUNDS / CROWD * 1e3, "ms")
    finally:
        await daemon.stop()


async def _paced(address: str, path: str) -> float:
    """A scrape whose figures are not those of the last."""
    await asyncio.sleep(1.1)
    return await asyncio.to_thread(scrape, address, path)


def text(address: str, path: str) -> list[str]:
    with urlopen(request(address, path)) as answer:  # our own
        return str(answer.read().decode()).splitlines()


def of_guests(lines: list[str]) -> Counter[str]:
    """Samples of a guest by name: all are of the same kind, but for the mock's own."""
    return Counter(line.partition("{")[0] for line in lines if line[0] != "#" and "guest-00007" in line)


def count(address: str, path: str) -> int:
    return sum(of_guests(text(address, path)).values())


def some(address: str, wanted: int) -> str:
    """A path that shows so many series of each guest: whole families, in their order."""
    names, left = [], wanted
    for name, size in of_guests(text(address, "/metrics")).items():
        if size <= left:
            names.append(name)
            left -= size
    assert not left
    return "/metrics?" + "&".join(f"name[]={name}" for name in names)


@pytest.mark.timeout(3600)
async def test_memory_stays_flat(place: Path) -> None:
    config = place / "frontinus.toml"
    config.write_text('hypervisor = "mock"\nmock_guests = 20\nadapters = []\n')
    daemon = Daemon(place, "--config", str(config))
    await daemon.start()
    try:
        assert daemon.process is not None
        async with exporter(daemon, 19177, "--max-age", "0") as (ours, pid):
            seen = [(rss(pid), rss(daemon.process.pid))]
            for scrapes in (SCRAPES // 20, SCRAPES - SCRAPES // 20):
                await asyncio.to_thread(lambda count: [scrape(ours) for _ in range(count)], scrapes)
                seen.append((rss(pid), rss(daemon.process.pid)))
        for name, (first, warm, last) in zip(("exporter", "engine"), zip(*seen, strict=True), strict=True):
            say(
                f"the {name}, of {first >> 20} MiB: growth over the first {SCRAPES // 20} scrapes",
                (warm - first) / 1024,
                "KiB",
            )
            say(f"  and over {SCRAPES - SCRAPES // 20} more", (last - warm) / 1024, "KiB")
    finally:
        await daemon.stop()
