"""A guest's control group in a tree of version 2 that systemd rules: limits in it, parts for threads, what it counts."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from frontinus.api.engine import Engine
from frontinus.api.tuning import NO_LIMIT, BlkioDevice, BlkioParameters, MemoryParameters, SchedulerParameters
from trial import Daemon

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path("/sys/fs/cgroup")
MIB = 2**20
GUEST = """<domain type='qemu'><name>real</name><uuid>b1c2f0c8-50f3-4f6a-9a2d-7f2a0a5e9c11</uuid>
<memory unit='MiB'>64</memory><vcpu>2</vcpu><iothreads>1</iothreads>
<cputune><shares>512</shares><global_period>100000</global_period><global_quota>50000</global_quota>
<period>100000</period><quota>30000</quota><emulator_period>100000</emulator_period><emulator_quota>80000</emulator_quota>
</cputune><memtune><hard_limit unit='MiB'>700</hard_limit><soft_limit unit='MiB'>600</soft_limit></memtune>
<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"""


@pytest_asyncio.fixture(loop_scope="session")
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        await engine.define(GUEST)
        await engine.start("real")
        yield engine
        if (await engine.guest("real")).state != "shutoff":
            await engine.destroy("real")


@pytest.fixture
def disk() -> Iterator[str]:
    """A block device with a scheduler of its own: a loop over a file."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(4 * MIB)
        made = subprocess.run(["losetup", "--show", "-f", file.name], check=True, capture_output=True, text=True)
        yield made.stdout.strip()
        subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


def group() -> Path:
    (found,) = ROOT.glob("frontinus-*/domain-*-real")
    return found


def said(file: str) -> str:
    return (group() / file).read_text().strip()


async def test_the_kernel_keeps_what_the_definition_says(engine: Engine) -> None:
    assert (ROOT / "cgroup.controllers").exists(), "a tree of version 2"
    assert said("cpu.weight") == "512" and said("cpu.max") == "50000 100000"
    assert said("memory.max") == str(700 * MIB) and said("memory.high") == str(600 * MIB)
    for part, quota in (("vcpu0", "30000"), ("vcpu1", "30000"), ("emulator", "80000")):
        assert said(f"{part}/cpu.max") == f"{quota} 100000" and said(f"{part}/cgroup.type") == "threaded"
        assert said(f"{part}/cgroup.threads")
    place = group()
    await engine.destroy("real")
    assert not place.exists() and not list(ROOT.glob("frontinus-*")), "the partition went with its last guest"


async def test_limits_change_while_the_guest_runs(engine: Engine, disk: str) -> None:
    await engine.set_memory_parameters("real", MemoryParameters(hard_limit=500 * MIB, soft_limit=NO_LIMIT))
    assert said("memory.max") == str(500 * MIB) and said("memory.high") == "max"
    await engine.set_scheduler_parameters("real", SchedulerParameters(shares=1024, global_quota=NO_LIMIT))
    assert said("cpu.weight") == "1024" and said("cpu.max").split()[0] == "max"
    number = Path(disk.replace("/dev/", "/sys/block/"), "dev").read_text().strip()
    await engine.set_blkio_parameters(
        "real", BlkioParameters(devices=(BlkioDevice(path=disk, read_bytes=MIB, write_iops=50),))
    )
    assert f"{number} rbps={MIB} wbps=max riops=max wiops=50" in said("io.max")
    await engine.set_blkio_parameters("real", BlkioParameters(devices=(BlkioDevice(path=disk, read_bytes=0),)))
    assert "rbps=max" in said("io.max")


async def test_a_quota_is_felt_and_counted(engine: Engine) -> None:
    """The firmware of a guest without a disk is busy for a while: a quota of a tenth holds it back, and its figures say so."""
    await engine.set_scheduler_parameters("real", SchedulerParameters(global_quota=5000))
    await engine.reset("real")
    async with asyncio.timeout(60):
        while True:
            (figures,) = await engine.stats(["real"], ["cgroup"])
            assert figures.group is not None
            if figures.group.throttled:
                break
            await asyncio.sleep(0.5)
    told = figures.group
    assert told.memory and told.memory_peak and told.memory_peak >= told.memory > MIB
    assert told.periods and told.throttled_time
    assert Path("/proc/pressure/cpu").exists(), "the kernel was asked for PSI"
    assert told.waited["cpu"][0] > 0, "who is throttled waits"
