"""Control groups against folders that stand for the kernel's: version 1, version 2, and both at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed, InvalidValue, Unsupported
from frontinus.domain.host import Paths
from frontinus.linux.cgroups import Cgroups, hierarchies
from frontinus.ports.limits import NO_LIMIT, Setting, Threads

GUEST = "/var/lib/frontinus/domain-1-g"
THREADS = Threads(1, {0: 11, 1: 12}, {1: 21})
FILES = {
    1: {"cpu": ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"), "memory": (
        "memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes")},
    2: {"": ("cpu.weight", "cpu.max", "memory.max", "memory.high", "memory.swap.max", "io.max", "cgroup.subtree_control",
             "cgroup.type", "cgroup.threads")},
}  # fmt: skip


def kernel(root: Path, version: int, controllers: str = "cpu memory io cpuset") -> str:
    """A tree in which the group of one guest has its files already, and /proc/mounts for it."""
    lines = []
    for controller, files in FILES[version].items():
        mount = root / controller
        for folder in ("", "frontinus", "frontinus/domain-1-g", *(f"frontinus/domain-1-g/{p}" for p in PARTS)):
            (mount / folder).mkdir(parents=True, exist_ok=True)
            for file in (*files, "cgroup.procs", "tasks"):
                (mount / folder / file).write_text("")
        if version == 2:
            (mount / "cgroup.controllers").write_text(controllers)
        kind = "cgroup2" if version == 2 else "cgroup"
        lines.append(f"cgroup {mount} {kind} rw,relatime,{controller} 0 0")
    return "\n".join(lines)


PARTS = ("vcpu0", "vcpu1", "iothread1", "emulator")


def test_a_controller_of_version_1_is_not_in_version_2(tmp_path: Path) -> None:
    mounts = kernel(tmp_path / "one", 1) + "\n" + kernel(tmp_path / "two", 2)
    found = hierarchies(mounts)
    assert {name: where.version for name, where in found.items()} == {"cpu": 1, "memory": 1, "blkio": 2, "cpuset": 2}


async def test_version_1(tmp_path: Path) -> None:
    groups = Cgroups(Paths(), kernel(tmp_path, 1))
    await groups.apply(GUEST, [
        Setting("cpu", "shares", 512), Setting("cpu", "quota", 20000, "vcpu1"), Setting("memory", "hard_limit", NO_LIMIT),
    ], THREADS)  # fmt: skip
    mine = tmp_path / "cpu/frontinus/domain-1-g"
    assert (mine / "cpu.shares").read_text() == "512" and (mine / "cgroup.procs").read_text() == "1"
    assert (mine / "vcpu1/cpu.cfs_quota_us").read_text() == "20000" and (mine / "vcpu1/tasks").read_text() == "12"
    assert (tmp_path / "memory/frontinus/domain-1-g/memory.limit_in_bytes").read_text() == "-1"
    with pytest.raises(Unsupported, match="control groups of 'blkio'"):
        await groups.apply(GUEST, [Setting("blkio", "weight", 500)], THREADS)


async def test_version_2(tmp_path: Path) -> None:
    groups = Cgroups(Paths(), kernel(tmp_path, 2))
    mine = tmp_path / "frontinus/domain-1-g"
    (mine / "vcpu0/cpu.max").write_text("max 50000")
    await groups.apply(GUEST, [
        Setting("cpu", "shares", 20000), Setting("cpu", "quota", 1000, "vcpu0"), Setting("memory", "hard_limit", 2**20),
        Setting("memory", "swap_hard_limit", 3 * 2**20), Setting("memory", "soft_limit", NO_LIMIT),
    ], THREADS)  # fmt: skip
    found = {str(file.relative_to(mine)): file.read_text() for file in mine.rglob("*") if file.is_file()}
    assert found["cpu.weight"] == "10000" and found["vcpu0/cpu.max"] == "1000 50000"
    assert found["vcpu0/cgroup.threads"] == "11"
    assert (found["memory.max"], found["memory.swap.max"], found["memory.high"]) == (str(2**20), str(2 * 2**20), "max")


async def test_in_version_2_a_group_gets_each_controller_from_those_above(tmp_path: Path) -> None:
    """The group is there since its guest entered it for the CPU: that is not to say that it has memory."""
    groups = Cgroups(Paths(), kernel(tmp_path, 2))
    for folder in (tmp_path, tmp_path / "frontinus"):
        (folder / "cgroup.subtree_control").write_text("cpu")
    await groups.apply(GUEST, [Setting("cpu", "shares", 5)], THREADS)
    assert (tmp_path / "frontinus/cgroup.subtree_control").read_text() == "cpu", "it has that"
    await groups.apply(GUEST, [Setting("memory", "hard_limit", 2**20)], THREADS)
    assert [(tmp_path / place / "cgroup.subtree_control").read_text() for place in ("", "frontinus")] == ["+memory"] * 2


async def test_a_limit_of_a_disk_needs_a_disk(tmp_path: Path) -> None:
    groups = Cgroups(Paths(), kernel(tmp_path, 2))
    with pytest.raises(InvalidValue, match="no block device"):
        await groups.apply(GUEST, [Setting("blkio", "read_bytes", 5, device="/dev/null")], THREADS)


async def test_engines_of_different_folders_do_not_meet(tmp_path: Path) -> None:
    mounts = kernel(tmp_path, 1)
    other = Cgroups(Paths(state="/elsewhere"), mounts)
    await other.sweep([])
    await other.remove(GUEST)
    assert (tmp_path / "cpu/frontinus/domain-1-g").is_dir()


async def test_a_group_that_cannot_be_made_stops_no_start(tmp_path: Path) -> None:
    groups = Cgroups(Paths(), "cgroup /proc/nowhere cgroup rw,cpu,memory 0 0")
    groups.enter(GUEST, 1)
    with pytest.raises(HostFailed, match="cannot make the control group"):
        await groups.apply(GUEST, [Setting("cpu", "shares", 5)], THREADS)


async def test_cpus_that_are_not_here_are_refused() -> None:
    with pytest.raises(InvalidValue):
        await Cgroups(Paths(), "").pin([1], [60000])
