"""Placement, limits, rates, dumps and looks of a real guest on this host's kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from frontinus.api.tuning import (
    NO_LIMIT,
    BlkioDevice,
    BlkioParameters,
    BlockIoTune,
    MemoryParameters,
    SchedulerParameters,
)
from frontinus.api.views import GuestStats
from frontinus.domain.host import Paths
from frontinus.linux.cgroups import Cgroups
from guest_image import GuestImage
from support.waiting import eventually
from system.test_guest_life import Watcher, guest_xml
from trial import Daemon

MIB = 2**20
T = TypeVar("T")
TUNED = """<iothreads>1</iothreads><cputune><shares>512</shares><quota>50000</quota><period>100000</period>
<vcpupin vcpu='0' cpuset='0'/><emulatorpin cpuset='0'/><vcpusched vcpus='0' scheduler='batch'/>
<iothreadsched iothreads='1' scheduler='idle'/></cputune>
<memtune><hard_limit unit='MiB'>512</hard_limit></memtune>"""
pytestmark = pytest.mark.needs("root")


def tuned(place: Path, image: GuestImage) -> str:
    return guest_xml(place, image).replace("<vcpu current='1'>2</vcpu>", "<vcpu current='1'>2</vcpu>" + TUNED)


@pytest.fixture
async def engine(daemon: Daemon, guest_image: GuestImage) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        await engine.define(tuned(daemon.folder, guest_image))
        yield engine


def groups(daemon: Daemon) -> Cgroups:
    return Cgroups(Paths(state=str(daemon.folder / "state")))


def values(daemon: Daemon, file: str) -> list[str]:
    """What a file of the guest's groups holds, wherever it is."""
    found = [path for place in groups(daemon)._places() for path in place.glob(f"domain-*/**/{file}")]
    return [path.read_text().strip() for path in sorted(found)]


def affinity(pid: int) -> set[int]:
    return os.sched_getaffinity(pid)


def of_threads(pid: int, ask: Callable[[int], T]) -> dict[str, T]:
    """Something of each thread of a process, by its name; those that work for a disk come and go meanwhile."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[(task / "comm").read_text().strip()] = ask(int(task.name))
    return found


async def test_the_kernel_keeps_what_the_definition_says(daemon: Daemon, engine: Engine) -> None:
    here = groups(daemon).controllers()
    if not {"cpu", "memory"} <= here:
        pytest.skip(f"the kernel gives groups of {sorted(here)} only")
    await engine.start("real")
    version1 = bool(values(daemon, "cpu.shares"))
    assert "512" in values(daemon, "cpu.shares" if version1 else "cpu.weight")
    assert str(512 * MIB) in values(daemon, "memory.limit_in_bytes" if version1 else "memory.max")
    assert any("50000" in v for v in values(daemon, "cpu.cfs_quota_us" if version1 else "cpu.max"))
    await engine.set_memory_parameters("real", MemoryParameters(hard_limit=384 * MIB, soft_limit=256 * MIB))
    assert str(384 * MIB) in values(daemon, "memory.limit_in_bytes" if version1 else "memory.max")
    await engine.set_scheduler_parameters(
        "real", SchedulerParameters(shares=1024, quota=NO_LIMIT, emulator_quota=60000)
    )
    assert any("60000" in v for v in values(daemon, "cpu.cfs_quota_us" if version1 else "cpu.max"))
    with pytest.raises(FrontinusError):
        await engine.set_blkio_parameters(
            "real", BlkioParameters(devices=(BlkioDevice(path="/etc/passwd", read_bytes=1),))
        )
    await engine.destroy("real")
    assert not values(daemon, "cgroup.procs")
    assert not [place for place in groups(daemon)._places() if place.exists()], "the partition went with its last guest"


async def test_groups_outlive_the_engine_and_go_with_the_guest(daemon: Daemon, engine: Engine) -> None:
    if "memory" not in groups(daemon).controllers():
        pytest.skip("the kernel gives no groups of memory")
    await engine.start("real")
    await daemon.kill()
    assert values(daemon, "cgroup.procs")
    await daemon.start()
    async with daemon.engine() as again:
        await again.set_scheduler_parameters("real", SchedulerParameters(shares=300))
        assert "300" in values(daemon, "cpu.shares") + values(daemon, "cpu.weight")
        await again.destroy("real")
    assert not values(daemon, "cgroup.procs")


async def test_threads_run_where_they_are_pinned(daemon: Daemon, engine: Engine) -> None:
    await engine.start("real")
    (folder,) = (daemon.folder / "state").glob("domain-*-real")
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _belongs(entry, folder)]
    assert len(pids) == 1
    assert affinity(pids[0]) == {0}
    scheduled = of_threads(pids[0], os.sched_getscheduler)
    assert scheduled["IO iothread1"] == os.SCHED_IDLE and scheduled["CPU 0/TCG"] == os.SCHED_BATCH
    last = max(os.sched_getaffinity(0))
    await engine.pin_emulator("real", [last])
    assert affinity(pids[0]) == {last}
    await engine.add_iothread("real", 3)
    assert [thread.id for thread in await engine.iothreads("real")] == [1, 3]
    await engine.pin_iothread("real", 3, [0])
    await engine.del_iothread("real", 3)
    await engine.set_vcpus("real", 2)
    await engine.pin_vcpu("real", 1, [0], live=True, config=True)
    names = of_threads(pids[0], affinity)
    assert names.get("CPU 0/TCG", {0}) == {0} and names.get("CPU 1/TCG", {0}) == {0}


def _belongs(entry: Path, folder: Path) -> bool:
    try:
        line = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    return b"qemu-system" in line.split(b"\0")[0] and os.fsencode(folder) in line


async def test_a_disk_is_throttled_live(engine: Engine) -> None:
    await engine.start("real")
    await engine.set_block_io_tune("real", "vda", BlockIoTune(total_bytes_sec=MIB, total_iops_sec=50))
    told = await engine.monitor_command("real", "info block", hmp=True)
    assert "bps=1048576" in told and "iops=50" in told
    await engine.set_block_io_tune("real", "vda", BlockIoTune(total_bytes_sec=0, total_iops_sec=0))
    assert "bps=1048576" not in await engine.monitor_command("real", "info block", hmp=True)
    await engine.set_memory_stats_period("real", 2)
    assert await engine.disk_errors("real") == []


async def test_memory_is_dumped_and_looked_at(daemon: Daemon, engine: Engine, place: Path) -> None:
    await engine.start("real")
    target = place / "core"
    await engine.core_dump("real", str(target), memory_only=True)
    assert target.read_bytes()[:4] == b"\x7fELF" and target.stat().st_size > 192 * MIB
    assert (await engine.guest("real")).state == "running"
    await engine.core_dump("real", str(target), memory_only=True, format="kdump-zlib", live=True)
    assert target.stat().st_size < 192 * MIB and target.read_bytes()[:12] == b"makedumpfile"
    with pytest.raises(FrontinusError):  # it is no Windows, or this QEMU cannot
        await engine.core_dump("real", str(target), memory_only=True, format="win-dmp")
    assert not target.exists()
    bios = await engine.memory_peek("real", 0xFFFF0, 16, physical=True)
    assert len(bios) == 16 and bios[5:] != bytes(11)
    (place / "real.img").write_bytes(b"boot" + bytes(MIB))
    assert await engine.block_peek("real", "vda", 0, 4) == b"boot"


async def test_the_whole_state_is_dumped_and_the_guest_runs_on(engine: Engine, place: Path) -> None:
    await engine.start("real")
    await engine.core_dump("real", str(place / "stream"))
    assert (place / "stream").read_bytes()[:4] == b"QEVM"
    assert (await engine.guest("real")).state == "running"
    assert '"running"' in await engine.monitor_command("real", "query-status")
    await engine.core_dump("real", str(place / "stream"), crash=True)
    assert (await engine.guest("real")).reason == "crashed"


async def test_a_display_takes_a_client_without_a_password(engine: Engine) -> None:
    await engine.start("real")
    fd = await engine.open_graphics("real")
    try:
        os.set_blocking(fd, True)
        assert (await asyncio.to_thread(os.read, fd, 12)).startswith(b"RFB 003")
    finally:
        os.close(fd)


async def test_a_process_is_confined(engine: Engine) -> None:
    await engine.start("real")
    labels = await engine.security_labels("real")
    assert labels[0].model == "dac" and labels[0].label.startswith("+")
    assert (await engine.control_info("real")).state == "ok"


async def test_figures_of_this_host(engine: Engine) -> None:
    whole = await engine.node_cpu_stats()
    parts = [await engine.node_cpu_stats(cpu) for cpu in (await engine.node_cpu_map()).online]
    assert whole.idle > 0 and abs(sum(part.idle for part in parts) - whole.idle) < whole.idle // 10 + 10**9
    memory = await engine.node_memory_stats()
    assert memory.total > memory.free > 0 and memory.cached is not None
    assert "qemu64" in await engine.cpu_models()
    assert await engine.compare_cpu("<cpu><model>486</model></cpu>") in ("superset", "incompatible")
    assert "<model" in await engine.baseline_cpu(
        ["<cpu><model>Nehalem</model></cpu>", "<cpu><model>Penryn</model></cpu>"]
    )


async def test_what_the_guests_agent_tells_and_does(daemon: Daemon, agent_image: GuestImage) -> None:
    async with daemon.engine() as engine:
        await engine.define(guest_xml(daemon.folder, agent_image))
        watcher = await Watcher(engine).ready()
        await engine.start("real")
        await watcher.until("AgentEvent")
        watcher.close()
        await engine.set_agent_timeout("real", 60)
        assert await engine.guest_hostname("real")
        assert (await engine.guest_time("real")).seconds > 1_600_000_000
        with pytest.raises(FrontinusError, match="not currently supported"):  # the small guest has no hwclock
            await engine.set_guest_time("real", 1_600_000_000)
        assert (await engine.guest_os("real")).kernel_release
        vcpus = await engine.guest_vcpus("real")
        assert vcpus.online == (0,)
        assert await engine.guest_users("real") == []
        assert isinstance(await engine.guest_filesystems("real"), list)

        async def with_agent() -> GuestStats | None:
            (stats,) = await engine.stats(["real"], ["agent", "cgroup"])
            return stats if stats.agent is not None else None

        told = await eventually(with_agent, "the figures have none of the agent")  # a slow one is not waited for
        assert told is not None and told.agent is not None
        assert told.agent.hostname == await engine.guest_hostname("real")
        assert told.agent.os == await engine.guest_os("real") and told.agent.users == 0
        assert told.group is not None and (told.group.memory or 0) > 2**20
        (later,) = await engine.stats(["real"], ["agent"])
        assert later.agent == told.agent  # nobody asks a guest at every poll
        await engine.destroy("real")
        assert (await engine.stats(["real"], ["agent", "cgroup"]))[0].agent is None
