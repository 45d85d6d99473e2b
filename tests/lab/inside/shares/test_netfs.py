"""Pools of type netfs: the whole contract over the kernel's NFS server and client, over Samba, over a Gluster server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from contract.storage_contract import StorageContract, volume
from frontinus.api.errors import StorageFailed
from frontinus.mock.engine import ROOT
from frontinus.mock.store import MemoryStore
from support.lab_disks import glusterfs, mounted, run
from support.storage import LinuxRig, linux_engine

SMB = """[global]
map to guest = bad user
guest account = root
[share]
path = {folder}
guest ok = yes
read only = no
force user = root
"""


def nfs(folder: Path) -> str:
    Path("/etc/exports").write_text(f"{folder} 127.0.0.1(rw,no_root_squash,fsid=1,insecure)\n")
    run("systemctl", "start", "rpcbind", "nfs-server")
    run("exportfs", "-ra")
    return str(folder)


def cifs(folder: Path) -> str:
    Path("/etc/samba/smb.conf").write_text(SMB.format(folder=folder))
    run("systemctl", "reload-or-restart", "smbd")
    return "share"


SERVERS: Mapping[str, Callable[[Path], str]] = {"nfs": nfs, "cifs": cifs, "glusterfs": glusterfs}
"""By the format of the source: sharing a folder; the answer is the source's directory."""


OPTIONS = {"cifs": "nobrl"}
"""An SMB server would hold QEMU's locks on an image's bytes against QEMU's own writes."""


def document(kind: str, source: str, target: Path, name: str = "p") -> str:
    option = f"<fs:mount_opts><fs:option name='{OPTIONS[kind]}'/></fs:mount_opts>" if kind in OPTIONS else ""
    return (f"<pool type='netfs' xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'><name>{name}</name>"
            f"<source><host name='127.0.0.1'/><dir path='{source}'/><format type='{kind}'/></source>"
            f"<target><path>{target}</path></target>{option}</pool>")  # fmt: skip


@pytest.fixture(scope="module", params=SERVERS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A format, and the directory of a server of that sort."""
    folder = tmp_path_factory.mktemp(request.param)
    folder.chmod(0o755)
    return request.param, SERVERS[request.param](folder)


@pytest.fixture
async def rig(tmp_path: Path, shared: tuple[str, str]) -> AsyncIterator[LinuxRig]:
    engine = await linux_engine(tmp_path)
    session, place = engine.session(ROOT), tmp_path / "mnt"
    await session.define_pool(document(*shared, place))
    await session.start_pool("p", build=[])
    for left in place.iterdir():
        run("rm", "-r", str(left))
    await session.refresh_pool("p")
    yield LinuxRig(engine, session, place)
    run("umount", str(place), accept=(0, 32))  # the contract may have left it mounted, or not
    await engine.stop()


class TestNetfs(StorageContract):
    @pytest.fixture
    async def rig(self, rig: LinuxRig) -> LinuxRig:
        return rig


async def test_it_is_mounted_safely_and_found_again(shared: tuple[str, str], tmp_path: Path) -> None:
    store, place = MemoryStore(), tmp_path / "mnt"
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    await session.define_pool(document(*shared, place))
    with pytest.raises(StorageFailed):
        await session.start_pool("p")  # there is no such folder yet
    await session.start_pool("p", build=[])
    assert all(word in mounted(place) for word in ("nosuid", "nodev", "noexec"))
    await session.create_volume("p", volume("kept", "qcow2"))
    await engine.stop()
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    assert "kept" in [one.name for one in await session.volumes("p")]
    await session.delete_volume("p", "kept")
    await session.destroy_pool("p")
    assert not mounted(place)
    await session.delete_pool("p")
    assert not place.exists()
    await session.define_pool(document(shared[0], "/not/there", tmp_path / "other", "q"))
    with pytest.raises(StorageFailed):
        await session.start_pool("q", build=[])
    assert (await session.pool("q")).state == "inactive"
    await engine.stop()


async def test_exports_of_a_kernel_server_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    nfs(folder)
    engine = await linux_engine(tmp_path)
    found = await engine.session(ROOT).find_pool_sources("netfs", "<source><host name='127.0.0.1'/></source>")
    assert f"<dir path='{folder}'/>" in found and "<format type='nfs'/>" in found
    await engine.stop()
