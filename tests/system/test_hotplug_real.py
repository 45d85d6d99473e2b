"""Every kind of device that QEMU can plug, plugged into a guest that runs a kernel, and taken out again.

The definition and the running guest are changed in one call, and QEMU has nothing left of a device that is gone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, HypervisorFailed, NoSuchDevice, Unresponsive, WrongState
from guest_image import GuestImage
from support import traces
from support.disks import eventually
from support.unplugged import detach
from system.test_guest_life import boot
from trial import Daemon

DOCUMENT = """<domain type='qemu'><name>real</name><maxMemory slots='4' unit='GiB'>2</maxMemory>
<memory unit='MiB'>256</memory><memoryBacking><access mode='shared'/></memoryBacking><vcpu>1</vcpu>
<os><type arch='x86_64' machine='{machine}'>hvm</type>
  <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{cmdline}</cmdline></os>
<features><acpi/></features>
<cpu mode='maximum'><numa><cell id='0' cpus='0' memory='256' unit='MiB'/></numa></cpu>
<devices><serial type='pty'/><controller type='virtio-serial'/><controller type='scsi' model='virtio-scsi'/>
  <controller type='usb' model='qemu-xhci' ports='15'/><controller type='ccid'/><memballoon model='none'/>
  <audio id='1' type='none'/>{ports}</devices></domain>"""
PORTS = "<controller type='pci' model='pcie-root-port'/>" * 8 + "<controller type='pci' model='pcie-to-pci-bridge'/>"

DEVICES = {
    "disk-virtio": "<disk type='file'><driver name='qemu' type='raw' cache='none'/><source file='{place}/a.img'/>"
    "<target dev='vda' bus='virtio'/></disk>",
    "disk-scsi": "<disk type='file'><driver name='qemu' type='raw'/><source file='{place}/a.img'/>"
    "<target dev='sda' bus='scsi'/></disk>",
    "disk-usb": "<disk type='file'><driver name='qemu' type='qcow2'/><source file='{place}/b.qcow2'/>"
    "<target dev='sdb' bus='usb' removable='on'/></disk>",
    "cdrom-scsi": "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{place}/a.img'/>"
    "<target dev='sdc' bus='scsi'/><readonly/></disk>",
    "throttled": "<disk type='file'><driver name='qemu' type='raw'/><source file='{place}/a.img'/>"
    "<target dev='vdb' bus='virtio'/><iotune><total_iops_sec>100</total_iops_sec></iotune></disk>",
    "overlay": "<disk type='file'><driver name='qemu' type='qcow2'/><source file='{place}/c.qcow2'/>"
    "<target dev='vdc' bus='virtio'/></disk>",
    "interface": "<interface type='user'><mac address='52:54:00:00:00:77'/><model type='virtio'/></interface>",
    "e1000": "<interface type='user'><mac address='52:54:00:00:00:78'/><model type='e1000'/></interface>",
    "usb-net": "<interface type='user'><mac address='52:54:00:00:00:79'/><model type='usb-net'/></interface>",
    "channel": "<channel type='unix'><target type='virtio' name='org.test.0'/></channel>",
    "guestfwd": "<channel type='unix'><source mode='bind' path='{place}/forward'/>"
    "<target type='guestfwd' address='10.0.2.1' port='4600'/></channel>",
    "console": "<console type='pty'><target type='virtio'/></console>",
    "usb-serial": "<serial type='pty'><target type='usb-serial' port='1'/></serial>",
    "pci-serial": "<serial type='file'><source path='{place}/logs/serial'/><target type='pci-serial' port='1'/></serial>",
    "rng": "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    "input-usb": "<input type='tablet' bus='usb'/>",
    "input-virtio": "<input type='keyboard' bus='virtio'/>",
    "controller-scsi": "<controller type='scsi' index='3' model='virtio-scsi'/>",
    "controller-usb": "<controller type='usb' index='3' model='qemu-xhci'/>",
    "controller-serial": "<controller type='virtio-serial' index='3'/>",
    "controller-sata": "<controller type='sata' index='3'/>",
    "controller-ccid": "<controller type='ccid' index='3'/>",
    "redirdev": "<redirdev bus='usb' type='unix'><source mode='bind' path='{place}/redir'/></redirdev>",
    "hub": "<hub type='usb'/>",
    "smartcard": "<smartcard mode='passthrough' type='unix'><source mode='bind' path='{place}/card'/></smartcard>",
    "sound-usb": "<sound model='usb'/>",
    "sound-pci": "<sound model='ac97'/>",
    "watchdog": "<watchdog model='i6300esb' action='reset'/>",
    "memballoon": "<memballoon model='virtio' autodeflate='on'/>",
    "crypto": "<crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>",
    "shmem": "<shmem name='{shmem}'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>",
    "virtiofs": "<filesystem><driver type='virtiofs'/><binary><cache mode='none'/></binary>"
    "<source dir='{place}/share'/><target dir='tag'/></filesystem>",
    "dimm": "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>",
    "virtio-mem": "<memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>2</block>"
    "<requested unit='MiB'>0</requested></target></memory>",
    "virtio-pmem": "<memory model='virtio-pmem'><source><path>{place}/pmem</path></source>"
    "<target><size unit='MiB'>64</size></target></memory>",
}  # fmt: skip
MOVABLE = " memhp_default_state=online_movable"
"""Else the kernel keeps its own data in memory that is plugged, and never gives it up."""
STAYS = frozenset({"virtio-pmem", "virtio-mem"})
"""What QEMU 7.2 plugs and never unplugs."""
IN_USE = (
    ("<controller type='scsi' index='0'/>", "<disk> sda hangs on it|scsi0-0-0-0 hangs on it"),
    ("<controller type='virtio-serial' index='0'/>", "<channel> channel0 hangs on it"),
    ("<hub type='usb'/>", "<input> input"),
)


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


@pytest.fixture
def words(place: Path) -> dict[str, str]:
    (place / "logs").mkdir(mode=0o777)
    (place / "share").mkdir()
    for folder in (place, place / "logs", place / "share"):
        folder.chmod(0o777)
    (place / "a.img").write_bytes(bytes(2**20))
    (place / "pmem").touch()
    os.truncate(place / "pmem", 64 << 20)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(place / "b.qcow2"), "1M"], check=True)
    below = ["-F", "qcow2", "-b", str(place / "b.qcow2")]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, str(place / "c.qcow2")], check=True)
    (place / "b.qcow2").chmod(0o644)
    return {"place": str(place), "shmem": f"frontinus-plug-{os.getpid()}"}


async def ask(engine: Engine, command: str, **arguments: object) -> object:
    answer = await engine.monitor_command("real", json.dumps({"execute": command, "arguments": arguments}))
    return json.loads(answer)["return"]


async def things(engine: Engine) -> set[str]:
    """Whatever plugging makes in QEMU: devices, objects, images, character devices, network backends, fd sets."""
    found: set[str] = set()
    for path in ("/machine/peripheral", "/objects", "/chardevs"):
        listed = await ask(engine, "qom-list", path=path)
        assert isinstance(listed, list)
        found |= {f"{path}/{row['name']}" for row in listed}
    nodes, sets = await ask(engine, "query-named-block-nodes", flat=True), await ask(engine, "query-fdsets")
    assert isinstance(nodes, list) and isinstance(sets, list)
    found |= {f"node {node['node-name']}" for node in nodes} | {f"fd set {row['fdset-id']}" for row in sets}
    text = await engine.monitor_command("real", "info network", hmp=True)
    return found | {f"net {name}" for name in re.findall(r"^\s*\\?_?\s*(\w+): index", text, re.MULTILINE)}


async def start(engine: Engine, place: Path, image: GuestImage, machine: str, words: str = MOVABLE) -> None:
    for file, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        (place / file).write_bytes(source.read_bytes())
    ports = PORTS if machine == "q35" else ""  # the last is where conventional devices are plugged
    await engine.define(DOCUMENT.format(machine=machine, kernel=place / "kernel", initrd=place / "initrd",
                                        cmdline=image.cmdline("idle") + words, ports=ports))  # fmt: skip
    await engine.start("real")
    await boot(engine, "real")


async def documents(engine: Engine) -> tuple[str, str]:
    return await engine.guest_xml("real"), await engine.guest_xml("real", ["inactive"])


async def come_and_go(engine: Engine, xml: str, stays: bool) -> str:
    """Plug a device and take it out; what went wrong."""
    before, (live, kept) = await things(engine), await documents(engine)
    await engine.attach_device("real", xml, live=True, config=True)
    there, (shown, defined) = await things(engine), await documents(engine)
    if there == before or live == shown or kept == defined:
        return "is not everywhere"
    if "c.qcow2" in xml and "<backingStore" not in shown.partition("c.qcow2")[2].partition("</disk>")[0]:
        return "does not say what lies below"
    if stays:
        with pytest.raises(FrontinusError):
            await engine.detach_device("real", xml, live=True, config=True)
        return "" if (shown, defined) == await documents(engine) else "stays, and was forgotten"
    await detach(engine, "real", xml, config=True)
    left: set[str] = set()

    async def all_gone() -> bool:
        nonlocal left
        left = await things(engine) - before
        return not left

    with suppress(AssertionError):  # what is given up late is given back a moment later
        await eventually(all_gone, "")
    return f"left {left}" if left else ""


@pytest.mark.needs("mounts")  # virtiofsd's own
@pytest.mark.parametrize("machine", ["pc", "q35"])
async def test_every_device_comes_and_goes(
    engine: Engine, words: dict[str, str], guest_image: GuestImage, machine: str
) -> None:
    place = Path(words["place"])
    try:
        await start(engine, place, guest_image, machine)
        problems: dict[str, str] = {}
        for name, text in DEVICES.items():
            try:
                problems[name] = await come_and_go(engine, text.format(**words), name in STAYS)
            except FrontinusError as error:
                problems[name] = f"{error.code}: {error.message}"
        assert {name: problem for name, problem in problems.items() if problem} == {}
        await engine.destroy("real")
        assert traces.left(f"{place}/state") == {}
    finally:
        Path(f"/dev/shm/{words['shmem']}").unlink(missing_ok=True)


async def test_what_changes_while_the_guest_runs(
    engine: Engine, words: dict[str, str], guest_image: GuestImage
) -> None:
    await start(engine, Path(words["place"]), guest_image, "pc")
    memory, balloon = DEVICES["virtio-mem"], DEVICES["memballoon"]
    for xml in (memory, balloon):
        await engine.attach_device("real", xml, live=True, config=True)
    more = memory.replace("<requested unit='MiB'>0<", "<requested unit='MiB'>32<")
    period = balloon.replace("/>", "><stats period='7'/></memballoon>")
    for xml in (more, period):
        with pytest.raises(NoSuchDevice):
            await engine.update_device(
                "real", xml.replace("virtio'", "virtio-transitional'").replace("64", "128"), live=True
            )
        await engine.update_device("real", xml, live=True, config=True)
    path = "/machine/peripheral/"
    assert await ask(engine, "qom-get", path=f"{path}virtiomem0", property="requested-size") == 32 << 20
    assert await ask(engine, "qom-get", path=f"{path}balloon0", property="guest-stats-polling-interval") == 7
    for document in await documents(engine):
        assert "<requested unit='KiB'>32768</requested>" in document and "<stats period='7'/>" in document
    await engine.destroy("real")


async def test_memory_is_where_the_guest_has_it(engine: Engine, words: dict[str, str], guest_image: GuestImage) -> None:
    """A kernel that has put its own data into a module says at once that it does not give it up: it may, or may not."""
    await start(engine, Path(words["place"]), guest_image, "q35", words="")
    dimm = DEVICES["dimm"]
    await engine.attach_device("real", dimm, live=True)
    kept: bool | None = False
    try:
        await engine.detach_device("real", dimm, live=True)
    except HypervisorFailed as error:
        assert "refused to give up 'dimm0'" in error.message
        kept = True
    except Unresponsive as error:
        assert "may still do so" in error.message
        kept = None

    async def agreed() -> bool:
        """Both know of it, or neither."""
        modules = await ask(engine, "query-memory-devices")
        assert isinstance(modules, list) and kept in (None, bool(modules))
        return ("<memory model='dimm'>" in await engine.guest_xml("real")) == bool(modules)

    await eventually(agreed, "the engine and QEMU disagree")
    await engine.destroy("real")


async def test_what_others_hang_on_stays(engine: Engine, words: dict[str, str], guest_image: GuestImage) -> None:
    await start(engine, Path(words["place"]), guest_image, "pc")
    tablet = "<input type='tablet' bus='usb'><address type='usb' bus='0' port='5.1'/></input>"
    hub = "<hub type='usb'><address type='usb' bus='0' port='5'/></hub>"
    for xml in (DEVICES["disk-scsi"].format(**words), DEVICES["channel"], hub, tablet):
        await engine.attach_device("real", xml, live=True, config=True)
    before = await things(engine), await documents(engine)
    for xml, told in IN_USE:
        with pytest.raises(WrongState, match=told):
            await engine.detach_device("real", xml, live=True)
        with pytest.raises(WrongState, match="hangs on it"):
            await engine.detach_device("real", xml, config=True)
    assert (await things(engine), await documents(engine)) == before
    await engine.destroy("real")
