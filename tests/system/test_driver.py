"""The QEMU driver on real guests: privileges, failures, descriptors, plugging, state."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import json
import os
import signal
import socket
import struct
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.hypervisor_contract import GROUPS, News
from frontinus.api.errors import HypervisorFailed, InvalidValue, NoSuchProcess, Unresponsive
from frontinus.domain.plan import DevicePlan, OpenFile, Step, Tap
from frontinus.qemu import vcpus
from frontinus.qemu.guest import QemuGuest
from guest_image import GuestImage
from support import traces
from support.ports import free_port
from support.qemu_rig import DISK, USER, QemuRig

NODE = Step("blockdev-add", {"driver": "null-co", "node-name": "extra", "size": 1 << 20}, (
    "blockdev-del", {"node-name": "extra"}))  # fmt: skip
CARD = Step("device_add", {"driver": "virtio-blk-pci", "id": "virtio-disk1", "drive": "extra", "bus": "pci.1"}, (
    "device_del", {"id": "virtio-disk1"}))  # fmt: skip
TUNSETIFF = 0x400454CA
IFF_TAP_WITHOUT_INFO = 0x1002
FIRST_DISPLAY = 5900
"""The port of display 0."""
LONG = 90.0
"""Seconds that something may take on a loaded machine which is quick on any other."""
PLAN = DevicePlan("virtio-disk1", (), (NODE, CARD))


@pytest.fixture
async def rig(place: Path) -> AsyncIterator[QemuRig]:
    """Guests without a system of their own: hardware is enough."""
    rig = QemuRig(place)
    yield rig
    await rig.close()


@pytest.fixture
async def booting(place: Path, guest_image: GuestImage) -> AsyncIterator[QemuRig]:
    rig = QemuRig(place, guest_image)
    yield rig
    await rig.close()


async def up(rig: QemuRig) -> QemuGuest:
    guest = await rig.launch()
    await guest.resume()
    await rig.booted(guest)
    return guest


def read(path: str) -> str:
    return Path(path).read_text()


# --- the process


async def test_guest_has_no_privileges_and_only_its_descriptors(rig: QemuRig) -> None:
    stray = socket.socket()
    os.set_inheritable(stray.fileno(), True)
    guest = await rig.launch()
    pid = guest.record.pid
    status = dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(USER.uid)] * 4 and status["Groups"].strip() == ""
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert {int(status[c], 16) for c in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {0}
    links = traces.descriptors(pid)
    others = {link for link in links if not link.startswith(("anon_inode:", "socket:", guest.record.folder))}
    assert others == {"/dev/null"}, others
    inode = os.fstat(stray.fileno()).st_ino
    assert f"socket:[{inode}]" not in links
    assert dict(e.split("=", 1) for e in read(f"/proc/{pid}/environ").split("\0") if e) == {"LC_ALL": "C"}
    stray.close()


async def test_limits(rig: QemuRig) -> None:
    guest = await rig.launch(plan=rig.plan(limits={"core": 0, "nofile": 512, "memlock": 1 << 50}))
    limits = {
        line[:25].strip(): line[25:].split()[:2] for line in read(f"/proc/{guest.record.pid}/limits").splitlines()
    }
    assert limits["Max core file size"] == ["0", "0"] and limits["Max open files"] == ["512", "512"]


async def test_start_that_fails_says_why_and_leaves_nothing(rig: QemuRig) -> None:
    plan = rig.plan(["-device", "no-such-device"])
    with pytest.raises(HypervisorFailed, match="no-such-device") as caught:
        await rig.launch(plan=plan)
    assert "qemu-system-x86_64: -device no-such-device" in caught.value.details["log"]
    assert not rig.guests


async def test_first_command_that_fails_ends_the_start(rig: QemuRig) -> None:
    plan = rig.plan(commands=[("set_link", {"name": "net7", "up": False})])
    with pytest.raises(HypervisorFailed, match="net7"):
        await rig.launch(plan=plan)


async def test_first_commands_run(rig: QemuRig) -> None:
    guest = await rig.launch(plan=rig.plan(commands=[("qom-set", {
        "path": "/machine/peripheral/balloon0", "property": "guest-stats-polling-interval", "value": 7})]))  # fmt: skip
    answer = await guest.monitor_command(json.dumps({"execute": "qom-get", "arguments": {
        "path": "/machine/peripheral/balloon0", "property": "guest-stats-polling-interval"}}), hmp=False)  # fmt: skip
    assert json.loads(answer) == {"return": 7}


async def test_destroy_is_quick(rig: QemuRig) -> None:
    taken = []
    for _ in range(3):
        guest = await rig.launch()
        await guest.resume()
        started = time.perf_counter()
        await guest.quit(graceful=False, deadline=LONG)
        taken.append(time.perf_counter() - started)
    print("destroy:", *(f"{t * 1000:.0f} ms" for t in taken))
    assert min(taken) < LONG / 2, "it waits for its deadline"


async def test_guest_that_hangs_is_killed_and_holds_up_nobody(rig: QemuRig) -> None:
    guest, other = await rig.launch(), await rig.launch()
    os.kill(guest.record.pid, signal.SIGSTOP)
    with pytest.raises(Unresponsive):
        await guest.figures(GROUPS, 0.1)
    with pytest.raises(Unresponsive):
        await guest.quit(graceful=True, deadline=0.1)
    assert (await other.figures(GROUPS, LONG)).cpu
    await guest.quit(graceful=False, deadline=LONG)
    assert (await News(guest).until("closed")).data["status"] == -signal.SIGKILL


async def test_death_is_told_with_its_circumstances(rig: QemuRig) -> None:
    guest = await rig.launch()
    news = News(guest)
    os.kill(guest.record.pid, signal.SIGKILL)
    closed = await news.until("closed")
    assert closed.data["status"] == -9 and closed.data["reason"] == "was killed by SIGKILL"
    with pytest.raises(HypervisorFailed, match="monitor is gone"):
        await guest.status()


async def test_process_of_another_is_not_taken(rig: QemuRig) -> None:
    guest = await rig.launch()
    record = guest.record
    await guest.detach()
    with pytest.raises(NoSuchProcess):
        await rig.hypervisor.attach(dataclasses.replace(record, started=record.started + 1))
    with pytest.raises(NoSuchProcess):
        await rig.hypervisor.attach(dataclasses.replace(record, pid=os.getpid()))
    rig.guests.append(await rig.hypervisor.attach(record))


# --- commands


async def test_passthrough_is_checked_first(rig: QemuRig) -> None:
    guest = await rig.launch()
    assert json.loads(await guest.monitor_command("query-status", hmp=False))["return"]["status"] == "prelaunch"
    assert "VM status" in await guest.monitor_command("info status", hmp=True)
    for command, wrong in (
        ("no-such-command", "no command 'no-such-command'"),
        ('{"execute": "screendump", "arguments": {"filename": "x", "tape": 1}}', "no argument 'tape'"),
        ('{"execute": "screendump"}', "needs the argument 'filename'"),
        ("RESUME", "no command"),
        ("{", "no command"),
    ):
        with pytest.raises(InvalidValue, match=wrong):
            await guest.monitor_command(command, hmp=False)
    with pytest.raises(HypervisorFailed) as caught:
        await guest.monitor_command('{"execute": "device_del", "arguments": {"id": "none"}}', hmp=False)
    assert caught.value.details["class"] == "DeviceNotFound"


async def test_descriptor_with_a_command(rig: QemuRig) -> None:
    guest = await rig.launch()
    with tempfile.TemporaryFile() as file:
        command = '{"execute": "add-fd", "arguments": {"opaque": "ours"}}'
        answer = json.loads(await guest.monitor_command(command, hmp=False, fds=[file.fileno()]))
        inode = os.fstat(file.fileno()).st_ino
        assert os.stat(f"/proc/{guest.record.pid}/fd/{answer['return']['fd']}").st_ino == inode  # noqa: PTH116


async def test_facts_that_qemu_chose(rig: QemuRig) -> None:
    port = free_port()
    serial = ["-chardev", "pty,id=charserial1", "-device", "isa-serial,chardev=charserial1"]
    plan = rig.plan([*serial, "-vnc", f"127.0.0.1:{port - FIRST_DISPLAY}"])
    guest = await rig.launch(plan=plan)
    characters = await guest.device_info("chardev")
    assert str(characters["charserial1"]).startswith("pty:/dev/pts/")
    assert (await guest.device_info("vnc"))["service"] == str(port)
    assert (await guest.device_info("status"))["status"] == "prelaunch"


async def test_block_resize_and_capacity(rig: QemuRig) -> None:
    guest = await rig.launch()
    await guest.resize_block("virtio-disk0", 2 * DISK)
    assert (await guest.figures(["block"], LONG)).blocks["virtio-disk0"]["capacity"] == 2 * DISK
    with pytest.raises(HypervisorFailed, match="virtio-disk9"):
        await guest.resize_block("virtio-disk9", DISK)


# --- devices


async def test_plug_and_unplug_with_a_system_that_obeys(booting: QemuRig) -> None:
    guest = await up(booting)
    news = News(guest)
    await guest.plug(PLAN, {})
    assert set((await guest.figures(["block"], LONG)).blocks) == {"virtio-disk0", "virtio-disk1", "sata0-0-1"}
    assert await guest.unplug(PLAN, LONG)
    assert (await news.until("device-deleted")).data == {"device": "virtio-disk1"}
    assert "virtio-disk1" not in (await guest.figures(["block"], LONG)).blocks
    await guest.plug(PLAN, {})  # nothing of the first time is in the way
    assert await guest.unplug(PLAN, LONG)
    assert await guest.unplug(PLAN, LONG)  # what is gone already is no failure


async def test_unplug_from_a_system_that_does_not_listen(rig: QemuRig) -> None:
    guest = await rig.launch()
    await guest.plug(PLAN, {})
    assert not await guest.unplug(PLAN, 0.2)
    assert not await guest.unplug(PLAN, 0.2)  # asking again is no error
    assert "virtio-disk1" in (await guest.figures(["block"], LONG)).blocks


async def test_plug_that_fails_leaves_nothing(rig: QemuRig) -> None:
    guest = await rig.launch()
    wrong = Step("device_add", {"driver": "virtio-blk-pci", "id": "virtio-disk1", "drive": "extra", "bus": "no-bus"})
    with pytest.raises(HypervisorFailed, match="no-bus"):
        await guest.plug(DevicePlan("virtio-disk1", (), (NODE, wrong)), {})
    await guest.plug(PLAN, {})  # the node's name is free


async def test_descriptors_go_with_a_plug(rig: QemuRig, place: Path) -> None:
    image = place / "image"
    image.write_bytes(bytes(1 << 20))  # root's own: only a descriptor lets the guest in
    image.chmod(0o600)
    guest = await rig.launch()
    number = 10_000
    plan = DevicePlan("virtio-disk1", (OpenFile(str(image), number),), (
        Step("add-fd", {"fdset-id": number, "opaque": "image"}, ("remove-fd", {"fdset-id": number}), (("", number),)),
        Step("blockdev-add", {"driver": "file", "filename": f"/dev/fdset/{number}", "node-name": "extra"},
             ("blockdev-del", {"node-name": "extra"})),
        CARD,
    ))  # fmt: skip
    fd = os.open(image, os.O_RDWR)
    try:
        await guest.plug(plan, {number: fd})
    finally:
        os.close(fd)
    assert (await guest.figures(["block"], LONG)).blocks["virtio-disk1"]["capacity"] == 1 << 20


async def test_cpus_come_and_go(booting: QemuRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vcpus, "UNPLUG_SECONDS", LONG)
    guest = await up(booting)
    await guest.set_vcpus(2)
    assert list((await guest.figures(["vcpu"], LONG)).vcpus) == [0, 1]
    await guest.set_vcpus(1)
    assert list((await guest.figures(["vcpu"], LONG)).vcpus) == [0]
    with pytest.raises(InvalidValue):
        await guest.set_vcpus(3)
    with pytest.raises(InvalidValue):
        await guest.set_vcpus(0)  # the machine's own CPU has no name and stays


async def test_figures_of_a_tap(rig: QemuRig) -> None:
    """The host's name of an interface is learnt from its descriptor, and kept for an engine that comes later."""
    name, fd = f"frn{os.getpid()}", os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_WITHOUT_INFO))
    more = ["-netdev", "tap,id=hostnet1,fd=5", "-device", "virtio-net-pci,netdev=hostnet1,id=net1,bus=pci.2"]
    plan = dataclasses.replace(rig.plan(more), resources=(Tap("52:54:00:00:00:02", (5,), alias="net1"),))
    try:
        guest = await rig.launch(plan=plan, more={5: fd})
        assert guest.record.interfaces == {"net1": name}
        record = guest.record
        await guest.detach()
        again = await rig.hypervisor.attach(record)
        rig.guests.append(again)
        counters = (await again.figures(["interface"], LONG)).interfaces["net1"]
        assert {"rx_bytes", "rx_packets", "rx_errors", "rx_drops", "tx_bytes", "tx_packets"} <= set(counters)
    finally:
        os.close(fd)


# --- state


async def test_save_that_fails_lets_the_guest_go_on(rig: QemuRig) -> None:
    guest = await rig.launch()
    await guest.resume()
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(HypervisorFailed):
            await guest.save("full", full)
    finally:
        os.close(full)
    await guest.resume()
    assert await guest.status() == "running"


async def test_save_that_is_cancelled(rig: QemuRig) -> None:
    """A pipe that nobody reads holds the save up; QEMU notices the cancellation when the pipe breaks."""
    guest = await rig.launch()
    await guest.resume()
    source, sink = os.pipe()
    saving = asyncio.create_task(guest.save("pipe", sink))
    done, _ = await asyncio.wait([saving], timeout=0.5)
    assert not done
    saving.cancel()
    await asyncio.sleep(0)
    os.close(source)
    with pytest.raises(asyncio.CancelledError):
        await saving
    os.close(sink)
    await guest.resume()
    assert await guest.status() == "running"


async def test_saved_state_that_is_none(rig: QemuRig) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"this is no saved guest" * 100)
        file.flush()
        file.seek(0)
        with pytest.raises(HypervisorFailed, match="QEMU did not start"):
            await rig.launch(incoming=file.fileno())


# --- the agent


async def test_guest_agent(place: Path, agent_image: GuestImage) -> None:
    rig = QemuRig(place, agent_image)
    guest = await rig.launch()
    try:
        news = News(guest)
        await guest.resume()
        assert (await news.until("agent")).data == {"device": "channel0", "open": True}
        answer = json.loads(await guest.agent_command("guest-ping", LONG))
        assert answer == {"return": {}}
        facts = json.loads(await guest.agent_command('{"execute": "guest-info"}', LONG))
        assert facts["return"]["supported_commands"]
        with pytest.raises(HypervisorFailed, match="has not been found"):
            await guest.agent_command("guest-nonsense", LONG)
        await asyncio.gather(*(guest.agent_command("guest-ping", LONG) for _ in range(3)))
        record = guest.record
        await guest.detach()
        again = await rig.hypervisor.attach(record)
        rig.guests.append(again)
        assert (await News(again).until("agent")).data["open"] is True  # told to an engine that was not there
    finally:
        await rig.close()
