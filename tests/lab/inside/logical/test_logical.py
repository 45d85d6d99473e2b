"""Pools of type logical, by LVM on two disks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.block_pools_contract import BlockRig, MadeDevices
from contract.storage_contract import MIB, put, take, volume
from frontinus.api.errors import AlreadyExists, StorageFailed
from support.lab_disks import block_rig, run, scsi_disks


def document(*devices: str, name: str = "p") -> str:
    source = "".join(f"<device path='{device}'/>" for device in devices)
    return f"<pool type='logical'><name>{name}</name><source>{source}<name>lab</name></source></pool>"


def listed() -> list[str]:
    """All logical volumes, hidden ones too."""
    report = json.loads(run("lvs", "--all", "--reportformat", "json", "-o", "lv_name", "lab"))
    return [row["lv_name"] for row in report["report"][0]["lv"]]


@pytest.fixture
async def devices() -> AsyncIterator[list[str]]:
    async with scsi_disks(2) as found:
        yield found


@pytest.fixture
async def rig(tmp_path: Path, devices: list[str]) -> AsyncIterator[BlockRig]:
    async with block_rig(tmp_path, document(*devices), listed, {}, build=True) as rig:
        yield rig


class TestLogical(MadeDevices):
    @pytest.fixture
    async def rig(self, rig: BlockRig) -> BlockRig:
        return rig


async def test_it_is_built_of_free_disks_only_and_leaves_them_free(tmp_path: Path, devices: list[str]) -> None:
    run("mkfs.ext4", "-q", devices[1])
    async with block_rig(tmp_path, document(devices[0]), listed, {}, build=True) as rig:
        both = document(*devices, name="q").replace("<name>lab</name>", "<name>other</name>")
        await rig.session.define_pool(both)
        with pytest.raises(StorageFailed, match="holds"):
            await rig.session.build_pool("q", ["no-overwrite"])
        assert "other" not in run("vgs")
        found = await rig.session.find_pool_sources("logical")
        assert "<name>lab</name>" in found and f"<device path='{devices[0]}'/>" in found and devices[1] not in found
    assert run("vgs", "--noheadings") == "" and run("pvs", "--noheadings") == ""


async def test_a_name_is_given_once(rig: BlockRig) -> None:
    await rig.session.create_volume("p", volume("a", size=4 * MIB, allocation=None))
    with pytest.raises(AlreadyExists):
        await rig.session.create_volume("p", volume("a", size=4 * MIB, allocation=None))
    assert listed() == ["a"]


async def test_volumes_grow_and_shrink(rig: BlockRig) -> None:
    path = (await rig.session.create_volume("p", volume("a", size=4 * MIB, allocation=None))).path
    await rig.session.resize_volume("p", "a", 12 * MIB)
    assert (await rig.session.volume("p", "a")).capacity == size(path) == 12 * MIB
    await rig.session.resize_volume("p", "a", 8 * MIB, ["shrink"])
    assert (await rig.session.volume("p", "a")).capacity == size(path) == 8 * MIB


async def test_a_volume_over_another_is_a_snapshot(rig: BlockRig) -> None:
    below = await rig.session.create_volume("p", volume("below", size=8 * MIB, allocation=None))
    assert await put(await rig.session.upload_volume("p", "below"), b"first") == b"\0"
    xml = volume("snap", size=4 * MIB, allocation=None)
    backing = f"</target><backingStore><path>{below.path}</path></backingStore>"
    made = await rig.session.create_volume("p", xml.replace("</target>", backing))
    assert (made.backing, made.capacity, made.allocation) == (below.path, size(made.path), 4 * MIB)
    assert await put(await rig.session.upload_volume("p", "below"), b"other") == b"\0"
    assert await take(await rig.session.download_volume("p", "snap", 0, 5)) == b"first"
    await rig.session.resize_volume("p", "snap", 12 * MIB)  # room for what differs
    assert (await rig.session.volume("p", "snap")).allocation == 12 * MIB
    await rig.session.delete_volume("p", "snap")
    assert listed() == ["below"]


async def test_a_sparse_volume_is_as_big_as_it_says(rig: BlockRig) -> None:
    made = await rig.session.create_volume("p", volume("thin", size=200 * MIB, allocation=8 * MIB))
    assert (made.capacity, made.allocation, made.backing) == (200 * MIB, 8 * MIB, None)
    assert size(made.path) == 200 * MIB
    assert await put(await rig.session.upload_volume("p", "thin", 150 * MIB), b"far") == b"\0"
    assert await take(await rig.session.download_volume("p", "thin", 150 * MIB, 3)) == b"far"
    await rig.session.delete_volume("p", "thin")
    assert listed() == []


async def test_volumes_that_others_made_are_shown(rig: BlockRig) -> None:
    run("lvcreate", "--yes", "--stripes", "2", "--size", "16m", "--name", "striped", "lab")
    run("lvcreate", "--type", "thin-pool", "--size", "16m", "--name", "pool", "lab")
    run("lvcreate", "--virtualsize", "64m", "--thin", "--name", "thin", "lab/pool")
    await rig.session.refresh_pool("p")
    found = {one.name: one.capacity for one in await rig.session.volumes("p")}
    assert found == {"striped": 16 * MIB, "thin": 64 * MIB}
    assert (await rig.session.volume_xml("p", "striped")).count("<extent ") == 2


def size(path: str) -> int:
    return int(run("blockdev", "--getsize64", path))
