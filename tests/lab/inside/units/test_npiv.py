"""Pools on virtual Fibre Channel ports: two ports of the kernel's own FCoE over a veth pair, without a fabric."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.errors import StorageFailed
from frontinus.mock.engine import ROOT
from frontinus.mock.store import MemoryStore
from support.lab_disks import run
from support.storage import linux_engine
from support.waiting import until

BUS, HOSTS = Path("/sys/bus/fcoe"), Path("/sys/class/fc_host")
WWNN, WWPN = "5001a4a93526d0a1", "5001a4ace3ee047d"


def document(more: str) -> str:
    adapter = f"<adapter type='fc_host' {more} wwnn='{WWNN}' wwpn='{WWPN}'/>"
    return (f"<pool type='scsi'><name>p</name><source>{adapter}</source>"
            "<target><path>/dev/disk/by-path</path></target></pool>")  # fmt: skip


def ports() -> list[str]:
    """World wide port names of the Fibre Channel hosts that are virtual."""
    return [(path / "port_name").read_text().strip() for path in HOSTS.iterdir() if "/vport-" in str(path.resolve())]


@pytest.fixture
async def adapters() -> AsyncIterator[list[str]]:
    """Two Fibre Channel hosts, online."""
    run("modprobe", "fcoe")
    run("ip", "link", "add", "fc0", "type", "veth", "peer", "name", "fc1")
    for link in ("fc0", "fc1"):
        run("ip", "link", "set", link, "up")
        (BUS / "ctlr_create").write_text(link)
    for controller in (BUS / "devices").glob("ctlr_*"):
        (controller / "mode").write_text("vn2vn")
        (controller / "enabled").write_text("1")
    await until(lambda: [(path / "port_state").read_text() for path in HOSTS.iterdir()] == ["Online\n"] * 2)
    yield sorted(path.name for path in HOSTS.iterdir())
    left = ports()
    for link in ("fc0", "fc1"):
        (BUS / "ctlr_destroy").write_text(link)
    run("ip", "link", "delete", "fc0")
    await until(lambda: not list(HOSTS.iterdir()))
    assert left == []


@pytest.mark.parametrize("by", ["name", "wwn", "any"])
async def test_a_virtual_port_comes_and_goes_with_its_pool(adapters: list[str], tmp_path: Path, by: str) -> None:
    parent = adapters[-1]
    names = {
        what: (HOSTS / parent / f"{what}_name").read_text().strip().removeprefix("0x") for what in ("node", "port")
    }
    said = {"name": f"parent='scsi_{parent}'", "any": "",
            "wwn": f"parent_wwnn='{names['node']}' parent_wwpn='{names['port']}'"}[by]  # fmt: skip
    store = MemoryStore()
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    await session.define_pool(document(f"managed='yes' {said}"))
    await session.start_pool("p")
    assert ports() == [f"0x{WWPN}"]
    made = next(path for path in HOSTS.iterdir() if (path / "port_name").read_text().strip() == f"0x{WWPN}")
    assert (made / "node_name").read_text().strip() == f"0x{WWNN}"
    if by != "any":
        assert f"/{parent}/" in str(made.resolve())
    await session.refresh_pool("p")
    assert await session.volumes("p") == []
    await engine.stop()
    engine = await linux_engine(tmp_path, store)
    session = engine.session(ROOT)
    assert (await session.pool("p")).state == "running"
    await session.destroy_pool("p")
    assert ports() == []
    await engine.stop()


async def test_without_a_parent_there_is_no_port(adapters: list[str], tmp_path: Path) -> None:
    engine = await linux_engine(tmp_path)
    session = engine.session(ROOT)
    await session.define_pool(document("managed='yes' parent='scsi_host999'"))
    with pytest.raises(StorageFailed, match="can carry"):
        await session.start_pool("p")
    assert ports() == []
    await engine.stop()
