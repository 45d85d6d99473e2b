"""Figures of storage: a clone beside qemu-img itself, and a refresh of many volumes.

Where FRONTINUS_LIBVIRT_CHROOT names a folder with Debian's libvirt-daemon-system and libvirt-clients, refreshes are measured
beside libvirt's, in namespaces of its own and in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from contract.storage_contract import volume
from frontinus.api.engine import Engine
from support.storage import LinuxRig
from support.storage import rig as rig
from trial import Daemon

pytestmark = pytest.mark.needs("root", "qemu-img")

MIB, GIB = 2**20, 2**30
ROUNDS = 5
VOLUMES = 2000
REFRESHES = 10
"""A round, of both sides in turn."""
CHROOT = os.environ.get("FRONTINUS_LIBVIRT_CHROOT", "")


async def test_a_clone_costs_no_more_than_qemu_img(rig: LinuxRig) -> None:
    """1 GiB sparse with 128 MiB of data; rounds of both in turn, the medians compared.

    Both are sessions of their own: on a busy host the scheduler gives each session its share (sched(7), autogroup).
    """
    await rig.session.create_volume("p", volume("big", size=GIB))
    with (rig.folder / "big").open("r+b") as file:
        for n in range(32):
            file.seek(n * 32 * MIB)
            file.write(os.urandom(4 * MIB))
    ours, bare = [], []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", rig.folder / "big", rig.folder / f".bare{number}"]
        await asyncio.to_thread(subprocess.run, command, check=True, start_new_session=True)
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


async def test_a_refresh_of_many_volumes_is_quick(place: Path, tmp_path: Path) -> None:
    """2000 qcow2 files that nobody changes; a connection that stays for both sides, so that no client's start is counted.

    The first refresh opens every image, as libvirt's do each time; a later one looks again only at what changed.
    """
    template = tmp_path / "template"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", template, "1G"], check=True)
    data, folder = template.read_bytes(), place / "images"
    folder.mkdir()
    for number in range(VOLUMES):
        (folder / f"v{number:04}").write_bytes(data)
    await asyncio.sleep(4)  # a file that was just written is looked at each time
    async with _daemon(place) as engine, _virsh(folder) as virsh:
        await engine.define_pool(f"<pool type='dir'><name>p</name><target><path>{folder}</path></target></pool>")
        first, again, theirs = [], [], []
        for _ in range(ROUNDS):
            first.append(await _took(engine.start_pool("p")))
            again += [await _took(engine.refresh_pool("p")) for _ in range(2)]
            theirs += [await virsh() for _ in range(2)] if virsh else []
            await engine.destroy_pool("p")
        await engine.start_pool("p")
        assert (await engine.pool("p")).volumes == VOLUMES
    print(f"\nrefresh of {VOLUMES} volumes, medians: the first {_ms(first)} ms, a later one {_ms(again)} ms")
    if theirs:
        print(f"libvirt's {_ms(theirs)} ms: {_ms(first) / _ms(theirs):.2f} and {_ms(again) / _ms(theirs):.2f} times")


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


async def _took(call: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await call
    return time.perf_counter() - begun


@contextlib.asynccontextmanager
async def _daemon(place: Path) -> AsyncIterator[Engine]:
    daemon = Daemon(place)
    await daemon.start()
    try:
        async with daemon.engine() as engine:
            yield engine
    finally:
        await daemon.stop()


@contextlib.asynccontextmanager
async def _virsh(folder: Path) -> AsyncIterator[Callable[[], Awaitable[float]] | None]:
    """One virsh that stays; a call refreshes the pool and gives the seconds that virsh says it took."""
    if not CHROOT:
        yield None
        return
    script = Path(__file__).parents[1] / "support/virsh_chroot.sh"
    words = ["unshare", "-m", "-n", "-i", "-u", "-p", "-f", "--kill-child", "bash", str(script), CHROOT, str(folder)]
    pipe = asyncio.subprocess.PIPE
    shell = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    assert shell.stdin is not None and shell.stdout is not None
    writing, reading = shell.stdin, shell.stdout

    async def say(command: str) -> float:
        writing.write(f"{command}\n".encode())
        async with asyncio.timeout(60):
            while not (found := re.search(rb"\(Time: ([0-9.]+) ms\)", await reading.readline())):
                pass
        return float(found[1]) / 1000

    try:
        await say("pool-define-as p dir --target /mnt/pool")
        await say("pool-start p")
        yield lambda: say("pool-refresh p")
    finally:
        writing.close()
        await shell.wait()
