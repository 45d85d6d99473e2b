"""What a disk's definition says of its I/O happens to the image: discards, zeroes that are found, limits that disks share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from support.disks import MIB, bare_xml, image
from trial import Daemon


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


def disk(path: Path, target: str, driver: str = "", more: str = "") -> str:
    return (f"<disk type='file'><driver name='qemu' type='raw' {driver}/><source file='{path}'/>"
            f"<target dev='{target}' bus='virtio'/>{more}</disk>")  # fmt: skip


async def do(engine: Engine, number: int, command: str) -> None:
    """Have QEMU do as the guest would, with one of its disks."""
    line = f'qemu-io -d /machine/peripheral/virtio-disk{number}/virtio-backend "{command}"'
    said = await engine.monitor_command("bare", line, hmp=True)
    assert not said.strip(), said


def held(path: Path) -> int:
    """Bytes that an image takes on its file system."""
    return path.stat().st_blocks * 512


async def test_discards_and_zeroes(engine: Engine, place: Path) -> None:
    drivers = {"gives": "discard='unmap' detect_zeroes='unmap'", "finds": "discard='ignore' detect_zeroes='on'",
               "keeps": "discard='ignore' detect_zeroes='off'"}  # fmt: skip
    paths = {name: image(place / f"{name}.img", 4 * MIB, "raw") for name in drivers}
    disks = [disk(paths[name], f"vd{letter}", driver)
             for letter, (name, driver) in zip("abc", drivers.items(), strict=True)]  # fmt: skip
    await engine.define(bare_xml("".join(disks)))
    await engine.start("bare")
    for number in range(3):
        await do(engine, number, "write -P 5 0 2M")
        await do(engine, number, "discard 0 1M")
    assert [held(path) // MIB for path in paths.values()] == [1, 2, 2], (
        "only who says unmap gives back what is discarded"
    )
    for number in range(3):
        await do(engine, number, "write -P 0 1M 1M")
    assert held(paths["gives"]) == 0 and held(paths["keeps"]) == 2 * MIB
    await engine.destroy("bare")
    assert paths["keeps"].read_bytes()[MIB : 2 * MIB] == paths["finds"].read_bytes()[MIB : 2 * MIB] == bytes(MIB)


async def test_disks_share_the_limit_of_their_group(engine: Engine, place: Path) -> None:
    """Two together may not do more than one alone; a third is free."""
    shared = "<iotune><total_bytes_sec>1048576</total_bytes_sec><group_name>shared</group_name></iotune>"
    disks = [disk(image(place / f"{target}.img", 8 * MIB, "raw"), target, more=more)
             for target, more in (("vda", shared), ("vdb", shared), ("vdc", ""))]  # fmt: skip
    await engine.define(bare_xml("".join(disks)))
    await engine.start("bare")

    async def seconds(*numbers: int) -> float:
        before = time.monotonic()
        for number in numbers:
            await do(engine, number, "write -P 5 0 1M")
        return time.monotonic() - before

    free = await seconds(2, 2, 2, 2)
    both = await seconds(0, 1, 0, 1)
    assert both > 2.0, f"four megabytes at one a second took {both:.2f} s, without a limit {free:.2f} s"
    await engine.destroy("bare")
