"""QEMU is upgraded under guests that were put aside: saved ones, and snapshots with memory, come back as they were."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import HypervisorFailed
from support.disks import MIB, disk, image
from support.marked import Marked
from support.releases import ALL, Hardware, compare, emulator, hardware
from support.snapshot_rows import Kind
from support.started import paths_in, started
from support.ten_guests import GUESTS, PC, Q35
from system.releases.test_releases import INSTALLED, defined, make_files
from trial import Daemon

ROADS: Sequence[tuple[str, str]] = (
    (("bullseye", ""), ("", "trixie"), ("", "sid"), ("bullseye", "sid")) if ALL else (("bullseye", ""),)
)
"""From which release to which; "" is the installed one."""
BROKEN = ("trixie", "sid")
"""A road on which QEMU itself may not take what it wrote: 11.1 reads no virtio device of Debian's 10.0."""
MOVED = GUESTS if ALL else ("disks", "bridges and ports", "cells and memory")
UNMOVED = re.compile(r"<sound model='usb'/>|<serial type='null'><target type='usb-serial'/></serial>"
                     r"|<interface [^>]*><mac [^>]*/><model type='usb-net'/></interface>"
                     r"|<controller type='scsi' index='\d' model='(am53c974|dc390)'/>"
                     r"|<crypto [^>]*><backend [^>]*/></crypto>|<video><model type='virtio' heads='2'/></video>")  # fmt: skip
"""What QEMU itself does not save (USB's sound, NIC and serial port, crypto), or did not write as later releases read it: AMD's SCSI
adapters and a virtio card of several heads of 7.2 ("Missing section footer")."""
BARE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='{machine}'>hvm
</type></os><devices><emulator>{emulator}</emulator>{disks}<interface type='user'><model type='virtio'/></interface>
<controller type='scsi' model='virtio-scsi'/><input type='tablet' bus='usb'/><serial type='null'/></devices></domain>"""


@pytest.fixture(scope="module", params=ROADS, ids=lambda road: "-".join(suite or "installed" for suite in road))
def road(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The emulators before and after the upgrade."""
    before, after = (binary(suite) for suite in request.param)
    return before, after


def binary(suite: str) -> str:
    if not suite:
        return INSTALLED
    return str(emulator(suite))


@pytest.mark.parametrize("name", MOVED)
def test_a_state_moves(road: tuple[str, str], place: Path, name: str) -> None:
    """What one release wrote of a guest that ran its firmware, another reads; the guest finds the hardware that it had."""
    before, after = road
    machine, devices, parts = GUESTS[name]
    paths = paths_in(place)
    guest = defined(paths, machine, UNMOVED.sub("", devices).replace("{place}", str(place)), parts)
    make_files(guest, place)

    async def save(fd: int) -> Hardware:
        async with started(guest, before, paths, 1) as running:
            await running.resume()
            await running.pause()  # its firmware may be at work on the buses: what is compared must stand still
            found = await hardware(running)
            await running.save("", fd)
            return found

    async def load(fd: int) -> Hardware:
        async with started(guest, after, paths, 2, incoming=fd) as running:
            found = await hardware(running)
            await running.resume()
            assert await running.status() == "running"
            return found

    with (place / "file").open("w+b") as file:
        here = asyncio.run(save(file.fileno()))
        file.seek(0)
        there = asyncio.run(load(file.fileno()))
    assert here["pci"] and len(here["cpu 0"]) > 50
    assert not compare(here, there), "\n".join(compare(here, there))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("machine", [PC, Q35] if ALL else [Q35])
async def test_an_upgrade(road: tuple[str, str], daemon: Daemon, place: Path, machine: str) -> None:
    """The package is replaced: the path of the emulator stays, and what the engine kept of its guests is of use."""
    program = place / "qemu"
    program.symlink_to(road[0])
    async with daemon.engine() as engine:
        for name in ("saved", "managed", "inside", "outside"):
            await marked(engine, name, place, machine)
        await plug(engine, "saved", place)
        await engine.save("saved", f"{place}/file")
        await engine.managed_save("managed")
        for name, where in (("inside", "internal"), ("outside", "external")):
            await snapshot(Marked(engine, name, place), where)

        upgrade(program, road[1])
        await engine.restore(f"{place}/file")
        await engine.start("managed")
        for name in ("inside", "outside"):
            await engine.revert_snapshot(name, "moment")
        for name in ("saved", "managed", "inside", "outside"):
            guest = Marked(engine, name, place)
            assert (await guest.state(), await guest.memory(), await guest.on_disk()) == ("running", 7, 7), name
            await engine.destroy(name)


@pytest.mark.may_skip("of releases that CI does not unpack")
@pytest.mark.skipif(not ALL, reason="of releases that CI does not unpack")
async def test_a_state_that_cannot_be_read_is_kept(daemon: Daemon, place: Path) -> None:
    """An upgrade that QEMU does not bear costs no state: it says so, and the old package reads it still."""
    before, after = (binary(suite) for suite in BROKEN)
    program = place / "qemu"
    program.symlink_to(before)
    async with daemon.engine() as engine:
        for name in ("saved", "managed"):
            await marked(engine, name, place, Q35)
        await engine.save("saved", f"{place}/file")
        await engine.managed_save("managed")
        upgrade(program, after)
        for name, back in (("saved", engine.restore(f"{place}/file")), ("managed", engine.start("managed"))):
            guest = Marked(engine, name, place)
            try:
                await back
            except HypervisorFailed as error:
                assert "QEMU did not start: " in error.message and await guest.state() == "shutoff"
                upgrade(program, before)
                await (engine.restore(f"{place}/file") if name == "saved" else engine.start(name))
                upgrade(program, after)
            assert (await guest.state(), await guest.memory(), await guest.on_disk()) == ("running", 7, 7), name
            await engine.destroy(name)


async def marked(engine: Engine, name: str, place: Path, machine: str) -> None:
    """A guest on the emulator PLACE/qemu that runs, with a mark on its disk and one in its memory."""
    guest = Marked(engine, name, place)
    disks = disk(image(guest.path("qcow2"), 2 * MIB))
    await engine.define(BARE.format(name=name, machine=machine, emulator=place / "qemu", disks=disks))
    await engine.start(name)
    await guest.remember(7)
    await guest.write(7)


async def plug(engine: Engine, name: str, place: Path) -> None:
    """Devices that were not there at the start."""
    await engine.attach_device(
        name, disk(image(place / "plugged.qcow2", MIB), "sda").replace("'virtio'", "'scsi'"), live=True
    )
    await engine.attach_device(name, "<input type='mouse' bus='usb'/>", live=True)


async def snapshot(guest: Marked, where: str) -> None:
    """A snapshot with memory, then other marks, then the end."""
    await guest.engine.create_snapshot(guest.name, Kind(where, "running", True).xml("moment", guest))
    await guest.remember(9)
    await guest.write(9)
    await guest.engine.destroy(guest.name)


def upgrade(program: Path, target: str) -> None:
    """Have another emulator at the same path, at once."""
    new = program.with_name("new")
    new.symlink_to(target)
    os.replace(new, program)  # noqa: PTH105
