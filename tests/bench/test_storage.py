"""Figures of storage: a clone beside qemu-img itself, and a refresh of many volumes."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from contract.storage_contract import volume
from system.test_storage_real import LinuxRig
from system.test_storage_real import rig as rig

pytestmark = pytest.mark.needs("root", "qemu-img")

MIB, GIB = 2**20, 2**30
ROUNDS = 5
VOLUMES = 2000


async def test_a_clone_costs_no_more_than_qemu_img(rig: LinuxRig) -> None:
    """1 GiB sparse with 128 MiB of data; rounds of both in turn, the medians compared."""
    await rig.session.create_volume("p", volume("big", size=GIB))
    with (rig.folder / "big").open("r+b") as file:
        for n in range(32):
            file.seek(n * 32 * MIB)
            file.write(os.urandom(4 * MIB))
    ours, bare = [], []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", rig.folder / "big", rig.folder / f".bare{number}"]
        await asyncio.to_thread(subprocess.run, command, check=True)
        os.sync()
        bare.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        await rig.session.clone_volume("p", volume(f"copy{number}", "qcow2"), "p", "big")
        os.sync()
        ours.append(time.perf_counter() - begun)
        for name in (f".bare{number}", f"copy{number}"):
            (rig.folder / name).unlink()
        await rig.session.refresh_pool("p")
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"\nclone of 1 GiB sparse: {statistics.median(ours):.3f} s, qemu-img {statistics.median(bare):.3f} s, {ratio:.2f} times"
    )
    assert ratio <= 1.2


async def test_a_refresh_of_many_volumes_is_quick(rig: LinuxRig, tmp_path: Path) -> None:
    """Beside one qemu-img a volume, which is what asking a tool for each would cost."""
    template = tmp_path / "template"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", template, "1G"], check=True)
    data = template.read_bytes()
    for number in range(VOLUMES):
        (rig.folder / f"v{number:04}").write_bytes(data)
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await rig.session.refresh_pool("p")
        took.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    for number in range(20):
        command = ["qemu-img", "info", "-f", "qcow2", rig.folder / f"v{number:04}"]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    asked = (time.perf_counter() - begun) / 20 * VOLUMES
    print(
        f"\nrefresh of {VOLUMES} volumes: {statistics.median(took):.3f} s; one qemu-img each would take {asked:.1f} s"
    )
    assert (await rig.session.pool("p")).volumes == VOLUMES
    assert statistics.median(took) <= asked / 10
