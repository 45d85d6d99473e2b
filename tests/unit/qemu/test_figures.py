"""Figures from recorded answers of QEMU and from this very process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import pytest

from frontinus import procfs
from frontinus.api.errors import Unresponsive
from frontinus.procfs import ProcessFigures, tap_name
from frontinus.qemu.figures import OLDEST, SLOW_AGE, UNKNOWN, Sampler
from frontinus.qemu.links import LinkCounters
from frontinus.qemu.monitor.client import Answer, Command, Fault, Monitor, disconnected

DISK = "/machine/peripheral/virtio-disk0/virtio-backend"
ANSWERS: dict[str, object] = {
    "qom-list": [{"name": "type", "type": "string"}, {"name": "balloon0", "type": "child<virtio-balloon-pci>"}],
    "query-cpus-fast": [{"cpu-index": 0, "thread-id": os.getpid(), "target": "x86_64"},
                        {"cpu-index": 1, "thread-id": 2**22 + 1, "target": "x86_64"}],
    "query-block": [
        {"qdev": DISK, "device": "", "inserted": {"node-name": "format1", "write_threshold": 9,
                                                  "image": {"virtual-size": 100, "actual-size": 60}}},
        {"qdev": "sata0-0-1", "device": ""}],
    "query-blockstats": [
        {"qdev": DISK, "device": "", "node-name": "format1", "stats": {
            "rd_bytes": 1, "rd_operations": 2, "rd_total_time_ns": 3, "failed_rd_operations": 4, "wr_bytes": 5,
            "wr_operations": 6, "wr_total_time_ns": 7, "failed_wr_operations": 8, "flush_operations": 9,
            "flush_total_time_ns": 10, "wr_highest_offset": 0}, "parent": {"stats": {"wr_highest_offset": 11}}},
        {"device": "", "stats": {"rd_bytes": 99}}],
    "query-balloon": {"actual": 128},
    "qom-get": {"stats": {"stat-free-memory": 5, "stat-swap-in": UNKNOWN, "stat-new": 1}, "last-update": 77},
    "block-latency-histogram-set": {},
    "query-dirty-rate": {"status": "measured", "start-time": 1, "calc-time": 2, "dirty-rate": 7},
    "query-iothreads": [{"id": "iothread3", "thread-id": 1, "poll-max-ns": 32768, "poll-grow": 1, "poll-shrink": 2},
                        {"id": "other", "thread-id": 2}],
}  # fmt: skip


class Recorded:
    """A monitor that answers from ANSWERS and counts its writes."""

    def __init__(self, **failing: Fault) -> None:
        self.failing = failing
        self.gone = False
        self.behind = False
        self.batches: list[list[str]] = []

    def begin(self, commands: Sequence[Command], *, deadline: float) -> asyncio.Future[list[Answer]]:
        self.batches.append([c.execute for c in commands])
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        if self.gone:
            future.set_exception(disconnected("it was closed"))
            return future
        future.set_result([Answer(c.execute, msgspec.Raw(msgspec.json.encode(ANSWERS[c.execute])), self.failing.get(c.execute))
                           for c in commands])  # fmt: skip
        return future


def sampler(monitor: Recorded, interfaces: dict[str, str] | None = None) -> Sampler:
    process = ProcessFigures(os.getpid())
    return Sampler(cast("Monitor", monitor), process, LinkCounters(), interfaces or {}, {})


async def test_a_round_is_one_write() -> None:
    monitor = Recorded()
    taker = sampler(monitor)
    groups = ["cpu", "vcpu", "memory", "block", "interface", "iothread"]
    await taker.take(groups, 1)
    figures = await taker.take(groups, 1)
    asked = ["query-balloon", "qom-get", "query-blockstats", "query-block", "query-iothreads"]
    assert monitor.batches[1] == asked
    assert monitor.batches[2] == [
        "qom-get",
        "block-latency-histogram-set",
        "query-blockstats",
    ]  # for the disk that has none
    again = await taker.take(groups, 1)
    assert monitor.batches[3] == ["qom-get", "query-blockstats"]  # all else changes by events, by us, or slowly
    assert (again.blocks, again.iothreads) == (figures.blocks, figures.iothreads)
    taker.ballooned(99)
    assert (await taker.take(groups, 1)).memory["current"] == 99
    taker.forget()
    await taker.take(groups, 1)
    assert monitor.batches[5:] == [["qom-list", "query-cpus-fast", "query-block"], asked]
    assert figures.blocks == {"virtio-disk0": {
        "read_bytes": 1, "read_requests": 2, "read_time": 3, "read_errors": 4, "write_bytes": 5, "write_requests": 6,
        "write_time": 7, "write_errors": 8, "flush_requests": 9, "flush_time": 10, "allocation": 11, "capacity": 100,
        "physical": 60, "threshold": 9}}  # fmt: skip
    assert figures.memory == {"current": 128, "unused": 5, "last_update": 77, "rss": figures.memory["rss"]}
    assert figures.iothreads == {3: {"poll_max": 32768, "poll_grow": 1, "poll_shrink": 2}}
    assert list(figures.vcpus) == [0]  # the other's thread is gone
    assert taker.nodes == {"format1": "virtio-disk0"}


async def test_a_kept_histogram_is_shown_and_not_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"boundaries": [10, 20], "bins": [1, 2, 3]}
    told = [{"qdev": DISK, "stats": {"rd_latency_histogram": kept, "flush_latency_histogram": kept}}]
    monkeypatch.setitem(ANSWERS, "query-blockstats", told)
    monitor = Recorded()
    taker = sampler(monitor)
    await taker.take(["block"], 1)
    figures = await taker.take(["block"], 1)
    assert figures.latencies == {"virtio-disk0": {"read": ((10, 20), (1, 2, 3)), "flush": ((10, 20), (1, 2, 3))}}
    assert "block-latency-histogram-set" not in {name for batch in monitor.batches for name in batch}


async def test_the_dirty_rate_is_asked_for_while_there_may_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Recorded()
    taker = sampler(monitor)
    figures = await taker.take(["dirtyrate"], 1)
    assert figures.dirty_rate is not None and figures.dirty_rate[1:] == (2.0, 7 << 20)
    assert figures.dirty_rate[0] == pytest.approx(time.time() - time.monotonic() + 1, abs=5)
    monkeypatch.setitem(ANSWERS, "query-dirty-rate", {"status": "unstarted", "start-time": 0, "calc-time": 0})
    assert (await taker.take(["dirtyrate"], 1)).dirty_rate is None
    await taker.take(["dirtyrate"], 1)
    assert monitor.batches[-1] == []
    taker.dirty.measured = True  # one was begun just now
    for _ in range(2):
        await taker.take(["dirtyrate"], 1)
        assert monitor.batches[-1] == ["query-dirty-rate"]


async def test_sizes_and_silent_balloons_are_asked_for_after_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed)
    monkeypatch.setattr("frontinus.qemu.figures.PAUSE", 0)
    monkeypatch.setitem(ANSWERS, "qom-get", {"stats": {}, "last-update": 0})
    monitor = Recorded()
    taker = sampler(monitor)

    async def asked(*, gone: bool = False) -> list[list[str]]:
        """By a round, and after it; without what begins histograms."""
        monitor.batches.clear()
        await taker.take(["block", "memory"], 1)
        monitor.gone = gone
        for _ in range(3):
            await asyncio.sleep(0)
        monitor.gone = False
        return [[name for name in batch if "latency" not in name] for batch in monitor.batches]

    await asked()
    assert await asked() == [["query-blockstats"]]
    passed += SLOW_AGE + 1
    assert await asked() == [["query-blockstats"], ["query-block", "qom-get"]]
    assert await asked() == [["query-blockstats"]]
    passed += OLDEST + 1
    assert await asked() == [["query-blockstats", "query-block", "qom-get"]], "nothing is so old that it is shown still"
    passed += SLOW_AGE + 1
    monkeypatch.setitem(ANSWERS, "qom-get", {"stats": {"stat-free-memory": 5}, "last-update": 77})
    assert await asked() == [["query-blockstats"], ["query-block", "qom-get"]]
    assert await asked() == [["query-blockstats", "qom-get"]], "its guest tells now"
    passed += SLOW_AGE + 1
    assert await asked(gone=True) == [["query-blockstats", "qom-get"], ["query-block"]], (
        "a monitor that is gone is no error"
    )


async def test_one_that_owes_answers_is_not_asked_for_more() -> None:
    monitor = Recorded()
    taker = sampler(monitor)
    await taker.take(["block"], 1)
    asked = len(monitor.batches)
    monitor.behind = True
    with pytest.raises(Unresponsive):
        await taker.take(["block"], 1)
    assert len(monitor.batches) == asked
    monitor.behind = False
    assert (await taker.take(["block"], 1)).blocks


async def test_nothing_is_asked_for_groups_of_proc() -> None:
    monitor = Recorded()
    taker = sampler(monitor)
    await taker.take(["cpu"], 1)
    await taker.take(["cpu", "vcpu", "interface"], 1)
    assert monitor.batches[1:] == [[], []]
    taker.forget()
    await taker.take(["cpu"], 1)
    assert monitor.batches[3] == ["qom-list", "query-cpus-fast", "query-block"]


async def test_what_fails_is_absent() -> None:
    monitor = Recorded(**{"query-blockstats": Fault("GenericError", "no"), "qom-get": Fault("GenericError", "no")})
    figures = await sampler(monitor).take(["block", "memory"], 1)
    assert figures.blocks == {"virtio-disk0": {"capacity": 100, "physical": 60, "threshold": 9}}
    assert set(figures.memory) == {"current", "rss"}


def test_process_figures_grow() -> None:
    taken = ProcessFigures(os.getpid())
    before, thread = taken.cpu(), taken.thread(os.getpid())
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    after = taken.cpu()
    assert after["time"] - before["time"] >= 30_000_000 and after["time"] == after["user"] + after["system"]
    assert taken.thread(os.getpid())["time"] - thread["time"] >= 40_000_000
    assert (taken.rss() or 0) > 1 << 20
    taken.forget_threads()
    assert taken.thread(os.getpid())["time"] > 0
    taken.close()


def test_a_thread_is_on_a_cpu_and_may_be_kept_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken = ProcessFigures(os.getpid())
    assert taken.thread(os.getpid())["cpu"] in range(os.cpu_count() or 1)
    switch = tmp_path / "sched_schedstats"
    real = ProcessFigures._read

    def read(self: ProcessFigures, name: str) -> bytes:
        return b"x (1, #threads: 1)\nwait_max : 9.000000\nwait_sum   :      12.003400\n" if name.endswith("/sched") else real(
            self, name)  # fmt: skip

    monkeypatch.setattr(ProcessFigures, "_read", read)
    for said, waited in (("0\n", None), ("1\n", 12_003_400)):
        switch.write_text(said)
        monkeypatch.setattr(procfs, "SCHEDSTATS", procfs.Switch(switch))
        assert taken.thread(os.getpid()).get("wait") == waited
    taken.close()


def test_a_switch_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    switch = procfs.Switch(tmp_path / "switch")
    assert not switch.is_on(), "not every kernel has it"
    (tmp_path / "switch").write_text("1\n")
    assert not switch.is_on()
    now += 1
    assert switch.is_on()
    (tmp_path / "switch").unlink()
    (tmp_path / "switch").mkdir()
    now += 1
    assert not switch.is_on(), "it cannot be read"


def test_when_a_process_started() -> None:
    before = time.time()
    with subprocess.Popen(["sleep", "60"]) as child:
        began = procfs.unix_time(procfs.start_time(child.pid) or 0)
        assert before - 1 <= began <= time.time() + 1
        child.kill()


def test_process_that_is_gone() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    taken = ProcessFigures(pid)
    taken.rss()
    os.waitpid(pid, 0)
    assert taken.cpu() == {} and taken.rss() is None and taken.thread(pid) == {}
    taken.close()


def test_link_counters() -> None:
    links = LinkCounters()
    before = links.read("lo", guest_side=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a:
        a.bind(("127.0.0.1", 0))
        a.sendto(bytes(1000), a.getsockname())
    after = links.read("lo", guest_side=False)
    if after["tx_packets"] == 0:
        pytest.skip("loopback is down")
    assert after["tx_bytes"] - before["tx_bytes"] >= 1000 and after["rx_packets"] > before["rx_packets"]
    assert links.read("lo")["rx_bytes"] == links.read("lo", guest_side=False)["tx_bytes"]
    assert links.read("no-such-device") == {}
    links.close()


def test_tap_of_a_descriptor_that_is_none() -> None:
    assert tap_name("self", 0) is None and tap_name("self", 99_999) is None
