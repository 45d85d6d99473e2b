"""Pools of type gluster: the whole contract over a Gluster server, and that QEMU opens what a volume's path says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.storage_contract import MIB, StorageContract, volume
from frontinus.api.errors import StorageFailed
from frontinus.mock.engine import ROOT
from frontinus.mock.store import MemoryStore
from support.lab_disks import glusterfs, mounted, run
from support.storage import LinuxRig, linux_engine

POOL = "<pool type='gluster'><name>{}</name><source><host name='127.0.0.1'/><name>{}</name>{}</source></pool>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The brick of a volume `lab`."""
    folder = tmp_path_factory.mktemp("gluster")
    folder.chmod(0o755)
    glusterfs(folder)
    return folder / "brick"


@pytest.fixture
async def rig(tmp_path: Path, server: Path) -> AsyncIterator[LinuxRig]:
    engine = await linux_engine(tmp_path)
    session = engine.session(ROOT)
    await session.define_pool(POOL.format("p", "lab", ""))
    view = await session.start_pool("p")
    place = tmp_path / "run" / f"gluster-{view.uuid}"
    for left in place.iterdir():
        run("rm", "-r", str(left))
    await session.refresh_pool("p")
    yield LinuxRig(engine, session, place)
    run("umount", str(place), accept=(0, 32))  # the contract may have left it mounted, or not
    await engine.stop()


class TestGluster(StorageContract):
    folder = "netdir"

    @pytest.fixture
    async def rig(self, rig: LinuxRig) -> LinuxRig:
        return rig


async def test_qemu_opens_what_a_volumes_path_says(rig: LinuxRig) -> None:
    made = await rig.session.create_volume("p", volume("disk", "qcow2", size=3 * MIB))
    assert (made.kind, made.path) == ("network", "gluster://127.0.0.1/lab/disk")
    told = json.loads(run("qemu-img", "info", "--output=json", made.path))
    assert (told["format"], told["virtual-size"]) == ("qcow2", 3 * MIB)
    await rig.session.resize_volume("p", "disk", 5 * MIB)
    assert json.loads(run("qemu-img", "info", "--output=json", made.path))["virtual-size"] == 5 * MIB


async def test_a_folder_of_a_volume_is_a_pool_that_another_engine_finds(server: Path, tmp_path: Path) -> None:
    store, folder = MemoryStore(), "<dir path='/deep/'/>"
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    await session.define_pool(POOL.format("p", "lab", folder))
    with pytest.raises(StorageFailed):
        await session.start_pool("p")  # there is no such folder yet
    assert list((tmp_path / "run").glob("gluster-*")) == []
    (server / "deep").mkdir()
    view = await session.start_pool("p")
    mount = tmp_path / "run" / f"gluster-{view.uuid}"
    assert all(word in mounted(mount) for word in ("nosuid", "nodev", "noexec"))
    made = await session.create_volume("p", volume("kept"))
    assert made.path == "gluster://127.0.0.1/lab/deep/kept" and (server / "deep/kept").stat().st_size == MIB
    await engine.stop()
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    assert [one.name for one in await session.volumes("p")] == ["kept"]
    await session.delete_volume("p", "kept")
    await session.destroy_pool("p")
    assert not mounted(mount) and not mount.exists() and list((server / "deep").iterdir()) == []
    await session.define_pool(POOL.format("q", "nothing", ""))
    with pytest.raises(StorageFailed):
        await session.start_pool("q")
    assert (await session.pool("q")).state == "inactive"
    await engine.stop()
