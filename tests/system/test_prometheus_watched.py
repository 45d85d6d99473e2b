"""Debian's Prometheus at a real guest under load, with the rules and dashboards that are shipped: all of them get data."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from frontinus.api.engine import Engine
from frontinus_prometheus.dashboards import DASHBOARDS
from guest_image import GuestImage
from support import traces
from support.console import Console
from support.exporter import beside, get, values
from support.namespaces import own_network
from support.ports import free_port
from support.waiting import until
from trial import Daemon

RULES = Path(__file__).resolve().parents[2] / "adapters/prometheus/rules/frontinus.rules.yml"
MIB = 2**20
NETWORK = """<network><name>office</name><bridge name='virbr7' stp='off'/>
<ip address='10.7.7.1' prefix='24'><dhcp><range start='10.7.7.100' end='10.7.7.199'/></dhcp></ip></network>"""
GUEST = """<domain type='qemu'><name>shop</name><title>The "shop" \\ of 100%</title><memory unit='MiB'>128</memory>
<vcpu>2</vcpu><iothreads>1</iothreads>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{place}/kernel</kernel><initrd>{place}/initrd</initrd>
<cmdline>{cmdline}</cmdline></os><features><acpi/></features><cpu mode='maximum'/><devices>
<disk type='file'><driver name='qemu' type='raw'/><source file='{place}/work.img'/><target dev='vda' bus='virtio'/></disk>
<disk type='file'><driver name='qemu' type='raw'/><source file='{place}/data.img'/><target dev='vdb' bus='virtio'/></disk>
<interface type='network'><source network='office'/><model type='virtio'/></interface>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<serial type='pty'/><memballoon model='virtio'><stats period='1'/></memballoon></devices></domain>"""
BARE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""

UNKNOWN: Mapping[str, str] = (
    {} if Path("/proc/pressure").exists() else {"Pressure on the host": "the kernel counts none"}
)
"""Panels that are empty here, and why."""

THEIRS = """domain_info_cpu_time_seconds_total domain_info_state domain_block_stats_info domain_block_stats_read_bytes_total
domain_block_stats_read_requests_total domain_interface_stats_info domain_interface_stats_receive_bytes_total
domain_interface_stats_transmit_packets_total domain_memory_stats_maximum_bytes domain_memory_stats_swap_in_bytes
domain_memory_stats_used_percent domain_vcpu_current domain_vcpu_delay_seconds_total domain_vcpu_state up domains"""
"""What the published dashboard of the profile inovex asks for."""

STALE = "frontinus_guest_stats_stale"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """Debian's, with our rules, scraping all guests and the profile inovex; the address of its API."""
    port, here = free_port(), [f"127.0.0.1:{target}"]
    jobs = [{"job_name": path.strip("/"), "metrics_path": path, "static_configs": [{"targets": here}]}
            for path in ("/metrics", "/metrics/inovex")]  # fmt: skip
    times = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    (folder / "p.yml").write_text(json.dumps({"global": times, "scrape_configs": jobs, "rule_files": [str(RULES)]}))
    process = subprocess.Popen(
        ["prometheus", f"--config.file={folder / 'p.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=(folder / "p.log").open("wb"), env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.kill()
        process.wait()


def ask(api: str, query: str) -> list[float]:
    """The values that a query has now; none of a bad query, or while the server is not up yet."""
    try:
        with urlopen(f"{api}/query?{urlencode({'query': query})}", timeout=60) as answer:
            return [float(one["value"][1]) for one in json.load(answer)["data"]["result"]]
    except OSError:
        return []


async def unanswered(api: str, queries: Mapping[str, str], seconds: float = 120) -> list[str]:
    """The names of the queries that get no data within some time."""
    left, end = dict(queries), time.monotonic() + seconds
    while left and time.monotonic() < end:
        for name, query in list(left.items()):
            if await asyncio.to_thread(ask, api, query):
                del left[name]
        await asyncio.sleep(0.5)
    return sorted(left)


def panels(target: int) -> dict[str, str]:
    """Every query of the dashboards that are shipped, with Grafana's variables filled in."""
    filled = {"$instance": f"127.0.0.1:{target}", "$guest": "shop", "$__rate_interval": "10s"}
    found = {}
    for file, board in DASHBOARDS.items():
        for panel in board["panels"]:  # type: ignore[attr-defined]
            for row in panel["targets"]:
                query = row["expr"]
                for variable, value in filled.items():
                    query = query.replace(variable, value)
                found[f"{file}: {panel['title']}, {row['refId']}"] = query
    return {name: query for name, query in found.items() if not any(title in name for title in UNKNOWN)}


def prepared(place: Path, image: GuestImage) -> str:
    """The guest's document; its files beside it."""
    for name, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        shutil.copy(source, place / name)
    for name in ("work.img", "data.img"):
        (place / name).write_bytes(bytes(4 * MIB))
    subprocess.run(["mke2fs", "-q", "-t", "ext2", place / "data.img"], check=True)
    for file in place.iterdir():
        if file.is_file():
            file.chmod(0o644)
    return GUEST.format(place=place, cmdline=image.cmdline("load", net="dhcp"))


@asynccontextmanager
async def busy(daemon: Daemon, engine: Engine, place: Path, image: GuestImage) -> AsyncIterator[None]:
    """A guest under load with an address, an agent and a file system; a network and a pool."""
    await engine.create_network(NETWORK)
    (place / "pool").mkdir()
    await engine.create_pool(f"<pool type='dir'><name>p</name><target><path>{place}/pool</path></target></pool>")
    await engine.create(prepared(place, image))
    try:
        async with Console(engine, "shop") as console:
            await console.ready()
            status, said = await console.run("mount -t ext2 /dev/vdb /mnt")
            assert status == 0, said
        yield
    finally:
        await engine.destroy("shop")
        await engine.destroy_pool("p")
        await engine.destroy_network("office")


@pytest.mark.needs("root", "qemu-system-x86_64", "prometheus", "promtool", "ip", "nft", "dnsmasq", "mke2fs")
@own_network
async def test_every_rule_and_panel_has_data_of_a_real_guest(place: Path, agent_image: GuestImage) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    daemon = Daemon(place)
    await daemon.start()
    try:
        async with (
            daemon.engine() as engine,
            busy(daemon, engine, place, agent_image),
            beside(daemon.monitor_socket, agent=True) as (port, _),
        ):
            await engine.suspend("shop")  # an event to count
            await engine.resume("shop")
            with prometheus(place, port) as api:
                await judge_queries(api, port)
            await judge_all(port)
            await judge_agent(engine, port)
    finally:
        await daemon.stop()


async def judge_queries(api: str, port: int) -> None:
    """Panels, recorded figures and the names of another exporter's dashboard have data; no alert goes off."""
    assert await unanswered(api, panels(port)) == []
    recorded = ("cpu_cores:rate5m", "vcpu_delay_ratio:rate5m", "memory_used_ratio")
    assert await unanswered(api, {name: f"guest:frontinus_guest_{name}" for name in recorded}) == []
    theirs = {name: f'libvirt_{name}{{job="metrics/inovex"}}' for name in THEIRS.split()}
    assert await unanswered(api, theirs) == []
    assert await asyncio.to_thread(ask, api, 'ALERTS{alertstate="firing"}') == []


async def judge_all(port: int) -> None:
    """What is shown of a real guest is clean to promtool and parses in both formats, under each name once."""
    for path in ("/metrics", "/metrics/inovex", "/metrics/tinkoff", "/metrics/kumina", "/metrics/zhang"):
        body = (await get(port, path)).body
        keys = [(s.name, tuple(sorted(s.labels.items()))) for family in parse(body) for s in family.samples]
        assert len(keys) == len(set(keys)) > 20
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=body, capture_output=True, text=True, check=False
        )
        if path == "/metrics":  # the names of others are not what promtool advises
            assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
        assert "error while linting" not in checked.stderr
    families = list(parse_openmetrics((await get(port, "/metrics", OPENMETRICS)).body))
    began = {
        s.labels["name"]: s.value
        for f in families
        for s in f.samples
        if s.name == "frontinus_guest_cpu_seconds_created"
    }
    assert 0 < time.time() - began["shop"] < 3600
    (title,) = {s.labels["title"] for f in families for s in f.samples if s.name == "frontinus_guest_info"}
    assert title == 'The "shop" \\ of 100%'


async def judge_agent(engine: Engine, port: int) -> None:
    """File systems, users and system are what the real agent says."""
    samples = [s for family in parse((await get(port, "/metrics")).body) for s in family.samples]
    (told,) = [one for one in await engine.guest_filesystems("shop") if one.mountpoint == "/mnt"]
    found = {s.name: s.value for s in samples if s.labels.get("mountpoint") == "/mnt" and s.labels["disks"] == "vdb"}
    assert told.total and found["frontinus_guest_filesystem_size_bytes"] == told.total > MIB
    assert 0 < found["frontinus_guest_filesystem_used_bytes"] < told.total
    (info,) = [s.labels for s in samples if s.name == "frontinus_guest_agent_info"]
    assert info["hostname"] == await engine.guest_hostname("shop")
    assert info["kernel"] == (await engine.guest_os("shop")).kernel_release
    assert [s.value for s in samples if s.name == "frontinus_guest_agent_users"] == [0]


@pytest.mark.needs("root", "qemu-system-x86_64")
async def test_a_hypervisor_that_is_stopped_delays_nobody(daemon: Daemon, place: Path) -> None:
    cpu = "frontinus_guest_cpu_seconds_total"
    async with daemon.engine() as engine, beside(daemon.monitor_socket) as (port, _):
        await engine.create(BARE.format(name="well"))
        before = set(qemus(place))
        await engine.create(BARE.format(name="hung"))
        (pid,) = set(qemus(place)) - before
        assert set(values((await get(port, "/metrics")).body, cpu)) == {"well", "hung"}
        os.kill(pid, signal.SIGSTOP)
        try:
            body = await says(port, {"well": 0, "hung": 1})
            assert set(values(body, cpu)) == {"well", "hung"}, "the last figures stay, and say how old they are"
            for answer in await asyncio.gather(*[get(port, "/metrics") for _ in range(5)]):
                ages = values(answer.body, "frontinus_guest_stats_age_seconds")
                assert ages["hung"] > ages["well"] and values(answer.body, STALE)["hung"] == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        await says(port, {"well": 0, "hung": 0})
        await engine.destroy("hung")
        async with asyncio.timeout(60):
            while "hung" in (await get(port, "/metrics")).body:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def says(port: int, stale: Mapping[str, float]) -> str:
    """The first scrape in which just these guests are stale: a loaded machine may keep a healthy one waiting as well."""
    async with asyncio.timeout(60):
        while values(body := (await get(port, "/metrics")).body, STALE) != stale:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return body


def qemus(place: Path) -> list[int]:
    return [pid for pid, words in traces.processes(str(place)).items() if "qemu-system" in words]


@pytest.mark.needs("root", "qemu-system-x86_64")
async def test_the_engine_dies_amid_scrapes(daemon: Daemon) -> None:
    """Every scrape is whole, with guests or without; counters go on where they were, from the same beginning."""
    async with daemon.engine() as engine:
        await engine.create(BARE.format(name="well"))
    counted: list[float] = []
    began: set[float] = set()
    async with beside(daemon.monitor_socket) as (port, link):

        async def scrape() -> bool:
            answer = await get(port, "/metrics", OPENMETRICS)
            samples = {
                s.name: s.value
                for f in parse_openmetrics(answer.body)
                for s in f.samples
                if s.labels.get("name") == "well"
            }
            assert answer.status == 200 and answer.body.endswith("# EOF\n")
            if "frontinus_guest_cpu_seconds_total" in samples:
                counted.append(samples["frontinus_guest_cpu_seconds_total"])
                began.add(samples["frontinus_guest_cpu_seconds_created"])
            return bool(samples)

        async def for_ever() -> None:
            while True:
                await scrape()

        scraping = [asyncio.create_task(for_ever()) for _ in range(3)]
        await until(lambda: len(counted) > 5)
        await daemon.kill()
        await until(lambda: link.model.generation is None)
        assert not await scrape(), "without an engine there are no guests"
        seen = len(counted)
        await daemon.start()
        await until(lambda: len(counted) > seen + 5 or any(task.done() for task in scraping))
        for task in scraping:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*scraping, return_exceptions=True)
    assert max(began) - min(began) < 0.5
    assert counted[-1] >= counted[0] > 0
