"""Disks of the lab's VM: the kernel's SCSI simulator (scsi_debug), and a rig for the contracts on pools of devices."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from contract.block_pools_contract import BlockRig
from frontinus.api.engine import Engine
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT
from frontinus.mock.store import MemoryStore
from support.storage import linux_engine, pool
from support.waiting import until

SIZE = 64 * 2**20
"""Bytes of each disk."""


def run(*argv: str, text: str = "", accept: Sequence[int] = (0,)) -> str:
    """What a tool prints."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in accept, f"{' '.join(argv)} ended with {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


@asynccontextmanager
async def scsi_disks(count: int = 1, **options: int) -> AsyncIterator[list[str]]:
    """So many disks; `options` are scsi_debug's. They are gone afterwards, which fails while one is in use."""
    before = set(disks())
    words = [f"{name}={value}" for name, value in {"per_host_store": 1, "add_host": count, **options}.items()]
    run("modprobe", "scsi_debug", f"dev_size_mb={SIZE >> 20}", *words)
    try:
        expected = count * options.get("max_luns", 1)
        await until(lambda: len(set(disks()) - before) == expected)
        run("udevadm", "settle")
        yield sorted(set(disks()) - before)
    finally:
        await until(_removed)


def _removed() -> bool:
    run("udevadm", "settle")
    return subprocess.run(["modprobe", "--remove", "scsi_debug"], check=False).returncode == 0


def disks() -> list[str]:
    return [f"/dev/{path.name}" for path in Path("/sys/block").glob("sd*")]


@asynccontextmanager
async def block_rig(
    folder: Path, xml: str, listed: Callable[[], Sequence[str]], expected: Mapping[str, int], *, build: bool = False
) -> AsyncIterator[BlockRig]:
    """The pool of this document running, in an engine of its own; afterwards it is stopped."""
    store = MemoryStore()
    engines: list[LocalEngine] = []

    async def another() -> Engine:
        for engine in engines:
            await engine.stop()
        engines[:] = [await linux_engine(folder, store)]
        return engines[0].session(ROOT)

    session = await another()
    await session.create_pool(pool(folder / "files", "files"), build=[])
    await session.define_pool(xml)
    await session.start_pool("p", build=["overwrite"] if build else None)
    yield BlockRig(session, another, listed, dict(expected))
    session = engines[0].session(ROOT)
    if (await session.pool("p")).state != "inactive":
        await session.destroy_pool("p")
    if build:
        await session.delete_pool("p")
    await engines[0].stop()


def glusterfs(folder: Path) -> str:
    """Share a folder as the Gluster volume `lab`, anew; its path on the server."""
    run("systemctl", "start", "glusterd")
    if "lab" in run("gluster", "volume", "list", accept=(0, 1)).split():
        run("gluster", "--mode=script", "volume", "stop", "lab", "force", accept=(0, 1))
        run("gluster", "--mode=script", "volume", "delete", "lab")
    run("gluster", "--mode=script", "volume", "create", "lab", f"lab:{folder}/brick", "force")
    run("gluster", "--mode=script", "volume", "start", "lab")
    return "/lab"


def mounted(place: Path) -> str:
    """What the kernel says of a mount, "" for none."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next((line for line in lines if f" {place} " in line), "")
