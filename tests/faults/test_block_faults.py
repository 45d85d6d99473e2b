"""kill -9 of the daemon in the middle of work on the images of a guest that writes: nothing of them is lost.

Afterwards the guest runs, its definition, its model and QEMU itself name the same layers, all of which are there, and what
the guest last saw is what it sees after the next start. `FRONTINUS_KILLS` sets how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import Busy, Disconnected, FrontinusError, WrongState
from guest_image import GuestImage
from support import traces
from support.disks import MIB, content, disk, guest_xml, image, job_ready, writing
from support.qmp import ask
from support.waiting import eventually
from trial import Daemon

KILLS = int(os.environ.get("FRONTINUS_KILLS", "8"))
SEED = int(os.environ.get("FRONTINUS_SEED", "7"))
Work = Callable[[Engine, Path, int], Awaitable[None]]


async def snapshot(engine: Engine, place: Path, n: int) -> None:
    await engine.create_snapshot("real", f"<domainsnapshot><name>s{n}</name></domainsnapshot>", ["disk-only"])


async def merge(engine: Engine, place: Path, n: int) -> None:
    await snapshot(engine, place, n)
    await engine.delete_snapshot("real", f"s{n}")


async def inside(engine: Engine, place: Path, n: int) -> None:
    await engine.create_snapshot("real", f"<domainsnapshot><name>i{n}</name></domainsnapshot>")


async def copy(engine: Engine, place: Path, n: int) -> None:
    target = f"<disk type='file'><driver type='qcow2'/><source file='{place}/copy{n}.qcow2'/></disk>"
    await engine.block_copy("real", "vda", target)
    await job_ready(engine, "real")
    await engine.abort_block_job("real", "vda", ["pivot"])


async def pull(engine: Engine, place: Path, n: int) -> None:
    await snapshot(engine, place, n)
    await engine.block_pull("real", "vda")


async def backup(engine: Engine, place: Path, n: int) -> None:
    target = f"<disk name='vda' type='file'><target file='{place}/backup{n}.qcow2'/></disk>"
    mark = f"<domaincheckpoint><name>c{n}</name></domaincheckpoint>"
    await engine.begin_backup("real", f"<domainbackup><disks>{target}</disks></domainbackup>", mark)


async def back(engine: Engine, place: Path, n: int) -> None:
    await snapshot(engine, place, n)
    await engine.revert_snapshot("real", f"s{n}", ["running"])


WORKS: Mapping[Work, float] = {snapshot: 0.5, merge: 0.5, copy: 0.5, back: 1.5, inside: 0.5, pull: 0.5, backup: 0.5}
"""What is begun, and the seconds within which the daemon dies."""


async def layers(engine: Engine, *, inactive: bool) -> list[str]:
    root = etree.fromstring(await engine.guest_xml("real", ["inactive"] if inactive else []))
    found = root.find("devices/disk")
    assert found is not None
    return [str(s.get("file")) for s in found.iter("source") if s.getparent().tag != "mirror"]


async def settled(engine: Engine) -> None:
    """Wait until what was left is finished or undone: the guest runs, and whatever job there still is has been ended."""

    async def runs() -> bool:
        return (await engine.guest("real")).state == "running"

    async def free() -> bool:  # who finishes or undoes something holds the guest, as who changes anything of it does
        with contextlib.suppress(Busy):
            await engine.set_autostart("real", False)
            return True
        return False

    await eventually(free, "the guest is held")
    await eventually(runs, "the guest does not run on")
    for job in await engine.block_jobs("real"):
        if job.kind in ("copy", "active-commit"):
            with contextlib.suppress(WrongState):  # it has been finished meanwhile
                await engine.abort_block_job("real", job.disk)

    async def idle() -> bool:
        return not await engine.block_jobs("real") and not any(
            job.state == "running" for job in await engine.jobs("real")
        )

    await eventually(idle, "there is still work")
    await eventually(free, "the guest is held")
    await eventually(runs, "the guest does not run on")


async def check(engine: Engine) -> list[str]:
    """Definition, model and QEMU agree on layers that are all there."""
    live, defined = await layers(engine, inactive=False), await layers(engine, inactive=True)
    assert live[: len(defined)] == defined, f"the guest has {live}, its definition {defined}"
    (top,) = [one["inserted"]["file"] for one in await ask(engine, "real", "query-block") if one.get("inserted")]
    assert top == live[0], f"QEMU writes to {top}, the engine says {live[0]}"
    missing = [path for path in live if not Path(path).exists()]
    assert not missing
    for snap in await engine.snapshots("real"):
        root = etree.fromstring(await engine.snapshot_xml("real", snap.name))
        gone = [
            s.get("file") for s in root.findall("domain/devices/disk//source") if not Path(str(s.get("file"))).exists()
        ]
        assert not gone, f"snapshot {snap.name} stands on {gone}"
    return live


@pytest.mark.timeout(900)
async def test_kill_in_the_middle_of_work_on_images(place: Path, guest_image: GuestImage) -> None:
    dice = random.Random(SEED)
    path = image(place / "a.qcow2", 8 * MIB)
    daemon = Daemon(place)
    await daemon.start()
    async with daemon.engine() as engine:
        await engine.define(guest_xml(place, guest_image, disk(path), "write"))
        await engine.start("real")
        await writing(engine, "real")
    for n in range(KILLS):
        work = list(WORKS)[n % len(WORKS)]
        await cut_off(daemon, work, place, n, dice.uniform(0.02, WORKS[work]))
        await daemon.start()
        async with daemon.engine() as engine:
            try:
                await settled(engine)
                await check(engine)
                await writing(engine, "real", MIB // 4)
            except FrontinusError as error:
                words = (place / "log/guests/real.log").read_text()[-1500:]
                pytest.fail(f"after {work.__name__} ({n}): {error}; QEMU: {words}; {daemon.log[-1500:]}")
    async with daemon.engine() as engine:
        await engine.suspend("real")
        (top, *_) = await check(engine)
        now = content(Path(top))
        await engine.destroy("real")
        assert content(Path((await layers(engine, inactive=True))[0])) == now, "something of the image is lost"
        await engine.start("real")
        await engine.destroy("real")
    await daemon.stop()


async def cut_off(daemon: Daemon, work: Work, place: Path, n: int, after: float) -> None:
    """Begin work and kill the daemon a moment later."""

    async def call() -> None:
        with contextlib.suppress(Disconnected):
            async with daemon.engine() as engine:
                await work(engine, place, n)

    task = asyncio.ensure_future(call())
    await asyncio.wait({task}, timeout=after)
    await daemon.kill()
    try:
        await task
    except FrontinusError as error:
        pytest.fail(f"{work.__name__} failed before the daemon died: {error}")


async def test_qemu_dies_in_the_middle_of_a_copy(place: Path, guest_image: GuestImage) -> None:
    """The process is gone with its jobs: the disk is the old image, and the guest starts again from it."""
    path = image(place / "a.qcow2", 8 * MIB)
    daemon = Daemon(place)
    await daemon.start()
    async with daemon.engine() as engine:
        await engine.define(guest_xml(place, guest_image, disk(path), "write"))
        await engine.start("real")
        await writing(engine, "real")
        await engine.create_snapshot("real", "<domainsnapshot><name>s</name></domainsnapshot>", ["disk-only"])
        first = content(path)
        target = f"<disk type='file'><driver type='qcow2'/><source file='{place}/copy.qcow2'/></disk>"
        await engine.block_copy("real", "vda", target, bandwidth=4096)  # so that it does not end
        os.kill(traces.qemu(place), 9)

        async def ended() -> bool:
            return not (await engine.guest("real")).active

        await eventually(ended, "the guest does not end")
        assert await layers(engine, inactive=True) == [str(place / "a.s"), str(path)]
        assert not (place / "copy.qcow2").exists()  # which was not in step
        await engine.start("real")
        assert await engine.block_jobs("real") == []
        await writing(engine, "real")
        await engine.delete_snapshot("real", "s")
        assert await layers(engine, inactive=True) == [str(path)] and content(path) != first
        await engine.destroy("real")
    await daemon.stop()


async def test_kill_as_a_pull_ends(place: Path, guest_image: GuestImage) -> None:
    """The next daemon finds the job before its headers are changed, or after: QEMU must not be asked for its nodes then."""
    path = image(place / "a.qcow2", 8 * MIB)
    daemon = Daemon(place)
    await daemon.start()
    async with daemon.engine() as engine:
        await engine.define(guest_xml(place, guest_image, disk(path), "write"))
        await engine.start("real")
        await writing(engine, "real")
    for n in range(2):
        async with daemon.engine() as engine:
            await pull(engine, place, n)
        await daemon.kill()
        await daemon.start()
        async with daemon.engine() as engine:
            await settled(engine)
            assert await check(engine) == [str(place / f"a.s{n}")]
    async with daemon.engine() as engine:
        await engine.destroy("real")
    await daemon.stop()
