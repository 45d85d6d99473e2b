"""Devices of the VM in guests of its own: a USB tablet, a unit of the kernel's SCSI simulator, sockets between guest and host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from support import traces
from trial import Daemon

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLET = ("0627", "0001")
"""Vendor and product of QEMU's tablet, which the VM has."""
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>{more}
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>
<controller type='usb' model='qemu-xhci'/><controller type='scsi' model='virtio-scsi'/>{devices}</devices></domain>"""
USB = """<hostdev mode='subsystem' type='usb'><source{policy}><vendor id='0x{vendor}'/><product id='0x{product}'/></source>
</hostdev>"""
SCSI = """<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host{host}'/><address bus='0' target='0' unit='0'/>
</source></hostdev>"""
VSOCK = "<vsock model='virtio'><cid auto='yes'/></vsock>"


@pytest_asyncio.fixture(loop_scope="session")
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine
    async with daemon.engine() as engine:  # the test may have ended the first one's daemon
        for guest in await engine.guests():
            if guest.state != "shutoff":
                await engine.destroy(guest.uuid)
            await engine.undefine(guest.uuid)


async def start(engine: Engine, name: str, devices: str = "", more: str = "") -> None:
    await engine.define(GUEST.format(name=name, devices=devices, more=more))
    await engine.start(name, paused=True)


async def told(engine: Engine, guest: str, command: str) -> str:
    return await engine.monitor_command(guest, command, hmp=True)


def opened(daemon: Daemon, guest: str) -> set[str]:
    """The files that a guest's QEMU has open."""
    lines = traces.processes(f"{daemon.folder}/state")
    (pid,) = [pid for pid, line in lines.items() if "qemu-system" in line and f"guest={guest}," in line]
    assert Path(f"/proc/{pid}").stat().st_uid != 0, "QEMU is an ordinary user"
    return {str(link.resolve()) for link in Path(f"/proc/{pid}/fd").iterdir()}


def tablet_node() -> Path:
    """The tablet's device node; its number changes each time that it is reset."""
    for device in Path("/sys/bus/usb/devices").iterdir():
        if (device / "idVendor").exists() and (
            (device / "idVendor").read_text().strip(), (device / "idProduct").read_text().strip()) == TABLET:  # fmt: skip
            bus, number = (int((device / name).read_text()) for name in ("busnum", "devnum"))
            return Path(f"/dev/bus/usb/{bus:03d}/{number:03d}")
    raise AssertionError("the VM has no tablet")


def usb(policy: str = "", product: str = TABLET[1]) -> str:
    return USB.format(vendor=TABLET[0], product=product, policy=policy)


async def test_a_usb_device_is_found_by_vendor_and_product(daemon: Daemon, engine: Engine) -> None:
    node = tablet_node()
    await start(engine, "one", usb())
    assert str(node) in opened(daemon, "one")
    assert "QEMU USB Tablet" in await told(engine, "one", "info usbhost") or "0627:0001" in await told(
        engine, "one", "info usbhost"
    )
    assert f"device='{int(node.name)}'" in await engine.guest_xml("one"), "the document says where it is"
    await engine.destroy("one")
    assert tablet_node().stat().st_uid == 0, "it is the host's again"


async def test_a_usb_device_comes_and_goes(daemon: Daemon, engine: Engine) -> None:
    await start(engine, "one")
    await engine.attach_device("one", usb(), live=True)
    assert str(tablet_node()) in opened(daemon, "one") and "<hostdev" in await engine.guest_xml("one")
    with pytest.raises(FrontinusError):
        await engine.attach_device("one", usb(), live=True)
    await engine.detach_device("one", usb(), live=True)
    assert str(tablet_node()) not in opened(daemon, "one") and "<hostdev" not in await engine.guest_xml("one")
    await engine.attach_device("one", usb(), live=True)
    assert str(tablet_node()) in opened(daemon, "one"), "and again"


async def test_a_usb_device_that_may_be_missing(engine: Engine) -> None:
    with pytest.raises(FrontinusError, match="no USB device 0627:4242"):
        await start(engine, "one", usb(product="4242"))
    await engine.undefine("one")
    await start(engine, "one", usb(" startupPolicy='optional'", "4242"))
    assert "missing='yes'" in await engine.guest_xml("one")


@pytest.fixture
def unit() -> Iterator[tuple[int, str]]:
    """A disk of the kernel's simulator: the number of its adapter, and its generic node."""
    subprocess.run(["modprobe", "sg"], check=True)
    subprocess.run(["modprobe", "scsi_debug", "dev_size_mb=8", "num_tgts=1", "max_luns=1"], check=True)
    subprocess.run(["udevadm", "settle"], check=True)
    (device,) = [d for d in Path("/sys/bus/scsi/devices").iterdir()
                 if (d / "vendor").exists() and (d / "vendor").read_text().strip() == "Linux"]  # fmt: skip
    (generic,) = (device / "scsi_generic").iterdir()
    yield int(device.name.partition(":")[0]), f"/dev/{generic.name}"
    subprocess.run(["modprobe", "-r", "scsi_debug"], check=True)


async def generic(engine: Engine, guest: str) -> list[str]:
    answer = json.loads(await engine.monitor_command(guest, json.dumps({"execute": "query-named-block-nodes"})))
    return [node["file"] for node in answer["return"] if node["file"].startswith("/dev/sg")]


async def test_a_scsi_unit_is_the_guest_s(daemon: Daemon, engine: Engine, unit: tuple[int, str]) -> None:
    host, node = unit
    await start(engine, "one", SCSI.format(host=host))
    assert await generic(engine, "one") == [node] and node in opened(daemon, "one")
    with pytest.raises(FrontinusError):
        await start(engine, "two", SCSI.format(host=host))
    await engine.destroy("one")
    assert Path(node).stat().st_uid == 0


async def test_a_scsi_unit_comes_and_goes(engine: Engine, unit: tuple[int, str]) -> None:
    host, node = unit
    await start(engine, "one")
    await engine.attach_device("one", SCSI.format(host=host), live=True)
    assert await generic(engine, "one") == [node]
    await engine.detach_device("one", SCSI.format(host=host), live=True)
    assert await generic(engine, "one") == [] and Path(node).stat().st_uid == 0
    await engine.attach_device("one", SCSI.format(host=host), live=True)
    await engine.destroy("one")


async def test_an_engine_that_is_killed_finds_the_devices_again(
    daemon: Daemon, engine: Engine, unit: tuple[int, str]
) -> None:
    host, node = unit
    await start(engine, "one", usb() + SCSI.format(host=host))
    await daemon.kill()
    await daemon.start()
    async with daemon.engine() as again:
        assert {str(tablet_node()), node} <= opened(daemon, "one")
        await again.destroy("one")
    assert tablet_node().stat().st_uid == 0 and Path(node).stat().st_uid == 0


async def test_sockets_between_guests_and_host(daemon: Daemon, engine: Engine) -> None:
    subprocess.run(["modprobe", "vhost_vsock"], check=True)
    await start(engine, "one", VSOCK)
    await start(engine, "two", VSOCK)
    assert all("/dev/vhost-vsock" in opened(daemon, guest) for guest in ("one", "two"))
    tree = [await told(engine, guest, "info qtree") for guest in ("one", "two")]
    cids = [line.strip() for text in tree for line in text.splitlines() if "guest-cid" in line]
    assert len(cids) == 2 and cids[0] != cids[1], "each has a number of its own"


async def test_threads_in_real_time(daemon: Daemon, engine: Engine) -> None:
    """Groups of version 2 do not ration real time, so here the kernel lets an engine give it."""
    await start(engine, "one", more="<cputune><vcpusched vcpus='0' scheduler='fifo' priority='3'/></cputune>")
    lines = traces.processes(f"{daemon.folder}/state")
    (pid,) = [pid for pid, line in lines.items() if "guest=one," in line and "qemu-system" in line]
    found = {(t / "comm").read_text().strip(): (t / "stat").read_text().rpartition(")")[2].split() for t in
             Path(f"/proc/{pid}/task").iterdir()}  # fmt: skip
    cpu = next(fields for name, fields in found.items() if name.startswith("CPU 0"))
    assert (cpu[37], cpu[38]) == ("3", "1"), "priority and policy of proc(5)"
