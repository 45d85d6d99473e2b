"""Pools of type disk and fs on a disk whose partitions are devices of the kernel's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.block_pools_contract import BlockRig, MadeDevices, blank
from contract.storage_contract import MIB, StorageContract, put, volume
from frontinus.api.errors import StorageFailed
from frontinus.mock.engine import ROOT
from frontinus.mock.store import MemoryStore
from support.lab_disks import block_rig, run, scsi_disks
from support.storage import LinuxRig, linux_engine, pool


def partitions(device: str) -> list[str]:
    """What the kernel has, not what the table says."""
    found = Path("/sys/block", Path(device).name).glob("sd*")
    return sorted(path.name for path in found)


@pytest.fixture
async def device() -> AsyncIterator[str]:
    async with scsi_disks() as found:
        yield found[0]


@pytest.fixture(params=["gpt", "dos"])
async def rig(tmp_path: Path, device: str, request: pytest.FixtureRequest) -> AsyncIterator[BlockRig]:
    xml = pool(Path("/dev"), "p", "disk", f"<device path='{device}'/><format type='{request.param}'/>")
    async with block_rig(tmp_path, xml, lambda: partitions(device), {}, build=True) as rig:
        yield rig
    assert partitions(device) == []


class TestDisk(MadeDevices):
    @pytest.fixture
    async def rig(self, rig: BlockRig) -> BlockRig:
        return rig


async def test_a_partition_is_made_while_another_is_in_use(rig: BlockRig, tmp_path: Path, device: str) -> None:
    first = await rig.session.create_volume("p", blank("any", 8 * MIB))
    assert first.path == f"{device}1"
    run("mkfs.ext4", "-q", first.path)
    (tmp_path / "mnt").mkdir()
    run("mount", first.path, str(tmp_path / "mnt"))
    try:
        second = await rig.session.create_volume("p", blank("any", 8 * MIB))
        assert second.path == f"{device}2" and len(partitions(device)) == 2
        with pytest.raises(StorageFailed, match="is in use"):
            await rig.session.delete_volume("p", first.name)
        assert len(await rig.session.volumes("p")) == 2
        await rig.session.delete_volume("p", second.name)
        assert partitions(device) == [first.name]
    finally:
        run("umount", str(tmp_path / "mnt"))


class TestFsOnAPartition(StorageContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path, device: str) -> AsyncIterator[LinuxRig]:
        run("sfdisk", "--quiet", device, text="label: gpt\nsize=32MiB\n")
        run("udevadm", "settle")
        link = next(path for path in Path("/dev/disk/by-id").glob("wwn-*-part1"))
        store = MemoryStore()
        engine = await linux_engine(tmp_path, store)
        session = engine.session(ROOT)
        await session.define_pool(pool(tmp_path / "mnt", "p", "fs", f"<device path='{link}'/><format type='ext4'/>"))
        await session.start_pool("p", build=["overwrite"])
        (tmp_path / "mnt/lost+found").rmdir()
        yield LinuxRig(engine, session, tmp_path / "mnt")
        run("umount", str(tmp_path / "mnt"), accept=(0, 32))  # the contract may have left it mounted
        await engine.stop()


async def test_a_pool_of_type_fs_is_found_by_the_name_of_its_device(tmp_path: Path, device: str) -> None:
    """What is mounted is told by the kernel's name, sdb; the pool says /dev/disk/by-id."""
    link = next(path for path in Path("/dev/disk/by-id").glob("wwn-*"))
    store = MemoryStore()
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    await session.define_pool(pool(tmp_path / "mnt", "p", "fs", f"<device path='{link}'/><format type='xfs'/>"))
    with pytest.raises(StorageFailed):
        await session.start_pool("p")
    run("mkfs.ext4", "-q", device)
    await session.define_pool((await session.pool_xml("p", inactive=True)).replace("type='xfs'", "type='ext4'"))
    await session.start_pool("p", build=[])
    await session.create_volume("p", volume("a"))
    assert await put(await session.upload_volume("p", "a"), b"x") == b"\0"
    await engine.stop()
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    assert [one.name for one in await session.volumes("p")] == ["a"]
    await session.destroy_pool("p")
    await engine.stop()
    assert str(tmp_path / "mnt") not in Path("/proc/self/mountinfo").read_text()
