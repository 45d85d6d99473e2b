"""What the host's side of a start costs, without QEMU. Printed, never asserted: machines differ."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from frontinus.domain.host import Paths
from frontinus.domain.plan import Folder, Label, Listener, Resource, SecretFile, Tap
from frontinus.linux.resources import LinuxResources
from frontinus.ports import Prepared
from frontinus.qemu.links import LinkCounters
from frontinus.state.store import FileStore
from support.namespaces import in_own_network

ROUNDS = 50
TOGETHER = 20
MANY = 50


def say(what: str, seconds: float) -> None:
    print(f"\n{what:<60} {seconds * 1e3:8.2f} ms", end="", flush=True)


class Host:
    """An engine's store and resources, and what a small guest needs of them."""

    def __init__(self, place: Path, run: str = "/nowhere") -> None:
        self.place = place
        self.paths = Paths(config=f"{place}/config", state=f"{place}/state", run=run)
        self.store = FileStore(self.paths)
        self.resources = LinuxResources(self.paths, (70000, 79999))

    def plan(self, number: int) -> list[Resource]:
        home = f"{self.paths.state}/domain-{number}-bench"
        disk = self.place / f"{number}.img"
        disk.touch()
        return [Folder(home), SecretFile(f"{home}/key"), Listener(f"{home}/monitor.sock", 3), Label(str(disk)),
                Tap(f"52:54:00:00:00:{number % 256:02x}", (4,), bridge="br0", vnet_hdr=True, alias="net0")]  # fmt: skip

    async def start(self, number: int, plan: Sequence[Resource], *, journalled: bool = True) -> Prepared:
        async def journal(undo: Sequence[dict[str, object]]) -> None:
            if journalled:
                await self.store.save("running", str(number), repr(undo) + "x" * 3000)

        who = await self.resources.credentials(str(number))
        return await self.resources.set_up(plan, who, journal)

    async def end(self, prepared: Prepared) -> None:
        await self.resources.tear_down(prepared.undo)


def let_go(prepared: Prepared) -> None:
    """Close the descriptors, as the guest's end does: the last one of a tap takes the kernel some 15 ms."""
    for fd in prepared.fds.values():
        os.close(fd)


async def timed(host: Host, *only: type[Resource], journalled: bool) -> tuple[float, float]:
    """Medians of a start and of an end, of these kinds of resources or all."""
    starts, ends = [], []
    for number in range(ROUNDS):
        plan = [r for r in host.plan(number) if not only or isinstance(r, only)]
        began = time.perf_counter()
        prepared = await host.start(number, plan, journalled=journalled)
        starts.append(time.perf_counter() - began)
        let_go(prepared)
        began = time.perf_counter()
        await host.end(prepared)
        ends.append(time.perf_counter() - began)
    return statistics.median(starts), statistics.median(ends)


def test_one_disk_and_one_nic(place: Path) -> None:
    async def work() -> None:
        subprocess.run(["ip", "link", "add", "br0", "up", "type", "bridge"], check=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as run:  # in memory, as /run is
            await measure(Host(place, run))

    async def measure(host: Host) -> None:
        started, ended = await timed(host, journalled=True)
        say("set up one disk, one NIC, home, key, monitor, journal", started)
        say("take it back", ended)
        for kinds in ((Folder,), (Folder, SecretFile), (Folder, Listener), (Label,), (Tap,)):
            say(
                f"  {' and '.join(kind.__name__ for kind in kinds)} alone",
                (await timed(host, *kinds, journalled=False))[0],
            )
        plans = [host.plan(number) for number in range(TOGETHER)]
        began = time.perf_counter()
        prepared = await asyncio.gather(*(host.start(number, plan) for number, plan in enumerate(plans)))
        say(f"{TOGETHER} at once, all together", time.perf_counter() - began)
        for one in prepared:
            let_go(one)
            await host.end(one)

    in_own_network(work)


def test_counters_of_many_links(place: Path) -> None:
    async def work() -> None:
        host, links = Host(place), LinkCounters()
        prepared = await host.resources.set_up(
            [Tap("52:54:00:00:00:01", (n,), alias=f"{n}") for n in range(MANY)], None, _no_journal
        )
        names = list(prepared.names.values())
        kept = os.open("/proc/self/net/dev", os.O_RDONLY)
        for what, read in (
            (f"counters of {MANY} taps, one question each", lambda: [links.read(name) for name in names]),
            (f"counters of {MANY} taps: /proc/net/dev kept open, not parsed", lambda: os.pread(kept, 1 << 17, 0)),
        ):
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                read()
                times.append(time.perf_counter() - began)
            say(what, statistics.median(times))
        os.close(kept)

    in_own_network(work)


async def _no_journal(undo: Sequence[dict[str, object]]) -> None:
    pass


async def test_durable_writes(place: Path) -> None:
    host = Host(place)
    times = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        await host.store.save("definitions", str(number), "x" * 3000)
        times.append(time.perf_counter() - began)
    say("one durable definition", statistics.median(times))
