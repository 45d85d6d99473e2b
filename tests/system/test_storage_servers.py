"""Pools on servers that run in user space, in a network of the test's own: iSCSI through QEMU's libiscsi, NFS as far as a
kernel without NFS client lets it go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.storage_contract import volume
from frontinus.api.engine import Engine
from frontinus.api.errors import StorageFailed, Unsupported, WrongState
from frontinus.mock.engine import ROOT
from support.namespaces import own_network
from support.storage import linux_engine

MIB = 2**20
TARGET = "iqn.2026-11.test:disks"
POOL = f"""<pool type='iscsi-direct'><name>i</name><source><host name='127.0.0.1'/><device path='{TARGET}'/>
<initiator><iqn name='iqn.2026-11.test:initiator'/></initiator>
<auth type='chap' username='user'><secret usage='chap of disks'/></auth></source></pool>"""
SECRET = "<secret><usage type='iscsi'><target>chap of disks</target></usage></secret>"
PASSWORD = "sekret-of-twelve"
SECONDS = 60.0


def run(*argv: str, **environment: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout


def answered(*argv: str, **environment: str) -> None:
    """Ask until a server answers well."""
    deadline = time.monotonic() + SECONDS
    while subprocess.run(argv, capture_output=True, check=False, env={**os.environ, **environment}).returncode:
        assert time.monotonic() < deadline, f"no answer to {argv[0]}"
        time.sleep(0.05)


@contextlib.contextmanager
def server(*argv: str, ready: str, **environment: str) -> Iterator[None]:
    """A server in the foreground until the block ends; `ready` is the port that it listens on, in hexadecimal."""
    process = subprocess.Popen(
        argv, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + SECONDS
        while f":{ready} " not in Path("/proc/self/net/tcp").read_text() + Path("/proc/self/net/tcp6").read_text():
            assert process.poll() is None, f"{argv[0]} ended"
            assert time.monotonic() < deadline, f"{argv[0]} does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.kill()  # tgtd takes no other hint
        process.wait(SECONDS)


@contextlib.contextmanager
def iscsi_target(folder: Path) -> Iterator[None]:
    """tgtd with two LUNs behind CHAP."""
    own = {"TGT_IPC_SOCKET": str(folder / "tgt")}
    with server("tgtd", "-f", "--iscsi", "portal=127.0.0.1:3260", ready="0CBC", **own):
        admin = ("tgtadm", "--lld", "iscsi")
        answered("tgtadm", "--op", "show", "--mode", "sys", **own)
        run(*admin, "--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET, **own)
        for lun in (1, 2):
            disk = folder / f"lun{lun}"
            disk.write_bytes(bytes(lun * 4 * MIB))
            run(*admin, "--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", str(lun), "-b", str(disk), **own)
        run(*admin, "--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL", **own)
        run(*admin, "--op", "new", "--mode", "account", "--user", "user", "--password", PASSWORD, **own)
        run(*admin, "--op", "bind", "--mode", "account", "--tid", "1", "--user", "user", **own)
        yield


@pytest.mark.needs("root", "qemu-img", "tgtd")
@own_network
async def test_a_pool_of_type_iscsi_direct(tmp_path: Path) -> None:
    run("ip", "link", "set", "lo", "up")
    engine = await linux_engine(tmp_path)
    session = engine.session(ROOT)
    secret = await session.define_secret(SECRET)
    await session.define_pool(POOL)
    with iscsi_target(tmp_path):
        with pytest.raises(WrongState):  # the secret has no value yet
            await session.start_pool("i")
        await session.set_secret_value(secret.uuid, b"not the password")
        with pytest.raises(StorageFailed, match="[Aa]uthentication|513|authorization"):
            await session.start_pool("i")
        await session.set_secret_value(secret.uuid, PASSWORD.encode())
        pool = await session.start_pool("i")
        assert pool.capacity == 12 * MIB
        assert [(one.name, one.kind, one.capacity) for one in await session.volumes("i")] == [
            ("unit:0:0:1", "network", 4 * MIB), ("unit:0:0:2", "network", 8 * MIB)]  # fmt: skip
        facts = engine.world.host.pools["i"]
        assert (facts.device, facts.auth_user, facts.auth_usage) == (TARGET, "user", "chap of disks")
        await cloned_from_it(session, tmp_path)
        await session.destroy_pool("i")
    with pytest.raises(StorageFailed):  # nobody listens any more
        await session.start_pool("i")
    assert (await session.pool("i")).state == "inactive"
    await engine.stop()


async def cloned_from_it(session: Engine, folder: Path) -> None:
    """A LUN becomes a volume of this host; nothing of the LUN itself is changed from here, and that is said."""
    content = os.urandom(3 * MIB)
    with (folder / "lun1").open("r+b") as file:
        file.write(content)
    (folder / "files").mkdir()
    await session.create_pool(f"<pool type='dir'><name>f</name><target><path>{folder}/files</path></target></pool>")
    for kind in ("raw", "qcow2"):
        made = await session.clone_volume("f", volume(kind, kind, size=MIB), "i", "unit:0:0:1")
        assert (made.format, made.capacity) == (kind, 4 * MIB)
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(folder / "files/qcow2"), str(folder / "back"))
    for copy in (folder / "files/raw", folder / "back"):
        assert copy.read_bytes() == content + bytes(MIB)
    await wiped(session, folder / "lun1")
    for change in (session.resize_volume("i", "unit:0:0:1", 8 * MIB), session.delete_volume("i", "unit:0:0:1"),
                   session.clone_volume("i", volume("new"), "f", "raw")):  # fmt: skip
        with pytest.raises(Unsupported, match="LUNs of an iSCSI target are made, resized and deleted at the target"):
            await change
    assert sorted(one.name for one in (folder / "files").iterdir()) == ["qcow2", "raw"]


async def wiped(session: Engine, lun: Path) -> None:
    """All of a LUN is overwritten, or given back to its target; ways that its driver has not are refused."""
    for algorithm in ("zero", "trim"):
        lun.write_bytes(os.urandom(4 * MIB))
        await session.wipe_volume("i", "unit:0:0:1", algorithm)  # type: ignore[arg-type]
        assert lun.read_bytes() == bytes(4 * MIB), algorithm
    with pytest.raises(Unsupported, match="by zero or trim"):
        await session.wipe_volume("i", "unit:0:0:1", "nnsa")


GANESHA = """
NFS_CORE_PARAM {{ NFS_Port = 2049; MNT_Port = 20048; Enable_NLM = false; Enable_RQUOTA = false; Protocols = 3, 4; }}
NFSv4 {{ Graceless = true; RecoveryBackend = fs; }}
EXPORT {{ Export_Id = 1; Path = "{path}"; Pseudo = "/e"; Access_Type = RW; Squash = None; SecType = sys; FSAL {{ Name = VFS; }} }}
LOG {{ Default_Log_Level = WARN; }}
"""


@pytest.mark.needs("root", "ganesha.nfsd", "rpcbind", "showmount")
@own_network
async def test_sources_of_a_pool_of_type_netfs(tmp_path: Path) -> None:
    run("ip", "link", "set", "lo", "up")
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "none", "/run")
    run("mount", "-t", "tmpfs", "none", "/var/lib/nfs")
    Path("/var/lib/nfs/ganesha").mkdir()
    export = tmp_path / "export"
    export.mkdir()
    (tmp_path / "conf").write_text(GANESHA.format(path=export))
    with contextlib.ExitStack() as stack:
        stack.enter_context(server("rpcbind", "-f", "-w", ready="006F"))
        words = (
            "ganesha.nfsd",
            "-F",
            "-f",
            str(tmp_path / "conf"),
            "-L",
            str(tmp_path / "log"),
            "-p",
            str(tmp_path / "pid"),
        )
        stack.enter_context(server(*words, ready="4E50"))
        engine = await linux_engine(tmp_path)
        session = engine.session(ROOT)
        answered("showmount", "--exports", "127.0.0.1")  # its port is open before rpcbind knows of it
        async with asyncio.timeout(SECONDS):
            found = await session.find_pool_sources("netfs", "<source><host name='127.0.0.1'/></source>")
        assert f"<dir path='{export}'/>" in found and "<format type='nfs'/>" in found
        source = f"<source><host name='127.0.0.1'/><dir path='{export}'/><format type='nfs'/></source>"
        mounted = f"<target><path>{tmp_path}/mnt</path></target>"
        await session.define_pool(f"<pool type='netfs'><name>n</name>{source}{mounted}</pool>")
        await session.build_pool("n")
        if "nfs" in Path("/proc/filesystems").read_text().split():
            await session.start_pool("n")
            await session.create_volume("n", "<volume><name>v</name><capacity>4096</capacity></volume>")
            assert (export / "v").exists()
            await session.destroy_pool("n")
        else:
            with pytest.raises(Unsupported, match="does not know the file system 'nfs'"):
                await session.start_pool("n")
        await engine.stop()
