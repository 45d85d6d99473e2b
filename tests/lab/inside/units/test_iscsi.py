"""Pools of type iscsi: tgtd, and the kernel's own initiator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contract.block_pools_contract import BlockRig, FoundDevices
from contract.storage_contract import MIB
from frontinus.api.errors import StorageFailed
from frontinus.mock.engine import ROOT
from support.lab_disks import block_rig, run
from support.storage import linux_engine

TARGET = "iqn.2026-11.test:disks"
UNITS = {"unit:0:0:1": 16 * MIB, "unit:0:0:2": 8 * MIB}
ADMIN = ("tgtadm", "--lld", "iscsi", "--mode")
PASSWORD = "sekret-of-twelve"
SECRET = "<secret><usage type='iscsi'><target>chap of disks</target></usage></secret>"


def document(more: str = "") -> str:
    return (f"<pool type='iscsi'><name>p</name><source><host name='127.0.0.1'/><device path='{TARGET}'/>{more}</source>"
            "<target><path>/dev/disk/by-path</path></target></pool>")  # fmt: skip


def sessions() -> list[str]:
    return run("iscsiadm", "--mode", "session", accept=(0, 21)).splitlines()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[None]:
    """A target with two units; nobody is logged in afterwards."""
    run("systemctl", "start", "iscsid", "tgt")
    run(*ADMIN, "target", "--op", "new", "--tid", "1", "-T", TARGET)
    for number, size in enumerate(UNITS.values(), start=1):
        with (tmp_path / f"unit{number}").open("wb") as file:
            file.truncate(size)
        run(
            *ADMIN,
            "logicalunit",
            "--op",
            "new",
            "--tid",
            "1",
            "--lun",
            str(number),
            "-b",
            str(tmp_path / f"unit{number}"),
        )
    run(*ADMIN, "target", "--op", "bind", "--tid", "1", "-I", "ALL")
    yield
    left = sessions()
    run("iscsiadm", "--mode", "node", "--logoutall", "all", accept=(0, 21))
    run(*ADMIN, "target", "--op", "delete", "--force", "--tid", "1")
    assert left == []


@pytest.fixture
def account(target: None) -> Iterator[None]:
    """The target wants CHAP."""
    run(*ADMIN, "account", "--op", "new", "--user", "user", "--password", PASSWORD)
    run(*ADMIN, "account", "--op", "bind", "--tid", "1", "--user", "user")
    yield
    run(*ADMIN, "account", "--op", "unbind", "--tid", "1", "--user", "user")
    run(*ADMIN, "account", "--op", "delete", "--user", "user")


@pytest.fixture
async def rig(tmp_path: Path, target: None) -> AsyncIterator[BlockRig]:
    async with block_rig(tmp_path, document(), lambda: [], UNITS) as rig:
        yield rig


class TestIscsi(FoundDevices):
    @pytest.fixture
    async def rig(self, rig: BlockRig) -> BlockRig:
        return rig


async def test_volumes_have_paths_that_stay(rig: BlockRig) -> None:
    assert [one.path for one in await rig.session.volumes("p")] == [
        f"/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-{TARGET}-lun-{number}" for number in (1, 2)]  # fmt: skip
    found = await rig.session.find_pool_sources("iscsi", "<source><host name='127.0.0.1'/></source>")
    assert f"<device path='{TARGET}'/>" in found
    run(*ADMIN, "logicalunit", "--op", "new", "--tid", "1", "--lun", "3", "-b", "/dev/vda")
    await rig.session.refresh_pool("p")
    assert [one.name for one in await rig.session.volumes("p")] == ["unit:0:0:1", "unit:0:0:2", "unit:0:0:3"]


async def test_who_has_not_the_password_is_not_let_in(tmp_path: Path, account: None) -> None:
    engine = await linux_engine(tmp_path)
    session = engine.session(ROOT)
    secret = await session.define_secret(SECRET)
    auth = "<auth type='chap' username='user'><secret usage='chap of disks'/></auth>"
    await session.define_pool(document(auth))
    await session.set_secret_value(secret.uuid, b"not the password")
    with pytest.raises(StorageFailed, match="(?i)authori[sz]ation|authentication|login"):
        await session.start_pool("p")
    assert sessions() == []
    await session.set_secret_value(secret.uuid, PASSWORD.encode())
    assert (await session.start_pool("p")).capacity == sum(UNITS.values())
    await session.destroy_pool("p")
    left = [path for path in Path("/etc/iscsi/nodes").rglob("*") if path.is_file() and PASSWORD in path.read_text()]
    assert not left, "the password stays on the disk in clear"
    await engine.stop()


async def test_it_logs_in_by_the_name_that_the_pool_gives(tmp_path: Path, target: None) -> None:
    engine = await linux_engine(tmp_path)
    session = engine.session(ROOT)
    name = "iqn.2026-11.test:this-pool"
    await session.define_pool(document(f"<initiator><iqn name='{name}'/></initiator>"))
    await session.start_pool("p")
    assert name in run(*ADMIN, "target", "--op", "show")
    await session.destroy_pool("p")
    await engine.stop()
