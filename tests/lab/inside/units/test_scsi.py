"""Pools of type scsi and mpath, on hosts of the kernel's SCSI simulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.block_pools_contract import BlockRig, FoundDevices
from support.lab_disks import SIZE, block_rig, run, scsi_disks
from support.waiting import until

BY_ID = "/dev/disk/by-id"


def host_of(device: str) -> int:
    return int(Path("/sys/block", Path(device).name, "device").resolve().name.split(":")[0])


def document(host: str) -> str:
    return (f"<pool type='scsi'><name>p</name><source><adapter type='scsi_host' name='{host}'/></source>"
            f"<target><path>{BY_ID}</path></target></pool>")  # fmt: skip


@pytest.fixture
async def devices() -> AsyncIterator[list[str]]:
    async with scsi_disks(max_luns=2) as found:
        yield found


@pytest.fixture
async def rig(tmp_path: Path, devices: list[str]) -> AsyncIterator[BlockRig]:
    expected = {"unit:0:0:0": SIZE, "unit:0:0:1": SIZE}
    async with block_rig(tmp_path, document(f"scsi_host{host_of(devices[0])}"), lambda: [], expected) as rig:
        yield rig


class TestScsi(FoundDevices):
    @pytest.fixture
    async def rig(self, rig: BlockRig) -> BlockRig:
        return rig


async def test_units_that_come_later_are_found_at_once(rig: BlockRig, devices: list[str]) -> None:
    """The host is scanned at a refresh; and a disk that the kernel has only just found is waited for."""
    assert all(one.path.startswith(f"{BY_ID}/") for one in await rig.session.volumes("p"))
    Path("/sys/block", Path(devices[1]).name, "device/delete").write_text("1")
    assert not Path(devices[1]).exists()
    await rig.session.refresh_pool("p")
    found = await rig.session.volumes("p")
    assert {one.name: one.capacity for one in found} == rig.expected
    assert all(one.path.startswith(f"{BY_ID}/") for one in found)
    assert len({Path(one.path).resolve() for one in found}) == 2


# --- multipath

MAPS = """<pool type='mpath'><name>p</name><target><path>/dev/mapper</path></target></pool>"""
CONF = "defaults {\n  find_multipaths no\n  user_friendly_names yes\n}\nblacklist {\n  devnode vda\n}\n"


@pytest.fixture
async def maps(tmp_path: Path) -> AsyncIterator[BlockRig]:
    """One disk that is reached through two hosts."""
    Path("/etc/multipath.conf").write_text(CONF)
    Path("/etc/multipath/bindings").unlink(missing_ok=True)
    async with scsi_disks(2, max_luns=1, per_host_store=0, vpd_use_hostno=0):
        run("systemctl", "start", "multipathd")
        try:
            await until(lambda: len(paths()) == 2)
            async with block_rig(tmp_path, MAPS, lambda: [], {"mpatha": SIZE}) as rig:
                yield rig
        finally:
            run("systemctl", "stop", "multipathd.socket", "multipathd")  # it would make the maps again
            await until(
                lambda: run("multipath", "-F", accept=(0, 1)) is not None and "mpath" not in run("dmsetup", "ls")
            )


def paths() -> list[str]:
    """The paths of all maps, as multipathd tells."""
    told = json.loads(run("multipathd", "show", "maps", "json"))["maps"]
    return [path["dev"] for one in told for group in one["path_groups"] for path in group["paths"]]


class TestMultipath(FoundDevices):
    @pytest.fixture
    async def rig(self, maps: BlockRig) -> BlockRig:
        return maps


async def test_a_map_lives_on_one_path(maps: BlockRig) -> None:
    before = (await maps.session.volumes("p"))[0]
    first = paths()[0]
    Path("/sys/block", first, "device/state").write_text("offline\n")
    await until(lambda: "failed" in run("multipathd", "show", "paths", "format", "%d %t"), 60)
    await maps.session.refresh_pool("p")
    assert await maps.session.volumes("p") == [before]
    run("dd", f"if={before.path}", "of=/dev/null", "bs=1M", "count=1", "iflag=direct")
    Path("/sys/block", first, "device/state").write_text("running\n")
