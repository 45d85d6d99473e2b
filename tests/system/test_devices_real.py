"""Devices beyond disks, networks, characters and graphics on a real QEMU: it takes what we say, and has it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from guest_image import READY, GuestImage
from support import traces
from trial import Daemon

BOOT_SECONDS = 300.0
HEAD = """<domain type='qemu'><name>many</name>{uuid}
<maxMemory slots='4' unit='GiB'>2</maxMemory><memory unit='MiB'>256</memory>
<memoryBacking><access mode='shared'/></memoryBacking><vcpu>1</vcpu>
<os><type arch='x86_64' machine='{machine}'>hvm</type></os>
<features><acpi/><ioapic driver='qemu'/></features>
<cpu mode='maximum'><numa><cell id='0' cpus='0' memory='256' unit='MiB'/></numa></cpu>
<devices>{devices}</devices></domain>"""

MANY = """
<filesystem accessmode='mapped' multidevs='remap' fmode='600' dmode='700'>
  <source dir='{place}/share'/><target dir='shared'/></filesystem>
<filesystem accessmode='squash'><source dir='{place}/share'/><target dir='other'/><readonly/></filesystem>
<hub type='usb'/><input type='tablet' bus='usb'/><input type='keyboard' bus='usb'/>
<input type='mouse' bus='virtio'/><input type='keyboard' bus='virtio'/><input type='tablet' bus='virtio'/>
<watchdog model='i6300esb' action='pause'/>
<memballoon model='virtio' autodeflate='on' freePageReporting='on'/>
<rng model='virtio'><rate bytes='1000' period='1000'/><backend model='builtin'/></rng>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<rng model='virtio'><backend model='egd' type='unix'><source mode='bind' path='{place}/egd'/></backend></rng>
<shmem name='{shmem}' role='peer'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>
<redirdev bus='usb' type='unix'><source mode='bind' path='{place}/redir'/></redirdev>
<redirfilter><usbdev class='0x08' vendor='0x1234' product='0xBEEF' version='2.0' allow='yes'/>
  <usbdev allow='no'/></redirfilter>
<smartcard mode='passthrough' type='unix'><source mode='bind' path='{place}/card'/></smartcard>
<crypto model='virtio' type='qemu'><backend model='builtin' queues='1'/></crypto>
<pstore backend='acpi-erst'><path>{place}/erst</path><size unit='KiB'>64</size></pstore>
<memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target></memory>
<memory model='nvdimm'><source><path>{place}/nvdimm</path></source>
  <target><size unit='MiB'>64</size><node>0</node><label><size unit='KiB'>128</size></label></target></memory>
<memory model='virtio-mem'><target><size unit='MiB'>256</size><node>0</node><block unit='MiB'>2</block>
  <requested unit='MiB'>64</requested></target></memory>
<memory model='virtio-pmem'><source><path>{place}/pmem</path></source>
  <target><size unit='MiB'>64</size></target></memory>
"""
PC_ONLY = "<panic model='isa'><address type='isa' iobase='0x505'/></panic>"
Q35_ONLY = "<panic model='pvpanic'/><iommu model='intel'><driver intremap='on' caching_mode='on' aw_bits='48'/></iommu>"
EXPECTED = {
    "fs0": "virtio-9p-pci", "fs1": "virtio-9p-pci", "hub0": "usb-hub", "input0": "usb-tablet", "input1": "usb-kbd",
    "input2": "virtio-mouse-pci", "input3": "virtio-keyboard-pci", "input4": "virtio-tablet-pci",
    "watchdog0": "i6300esb", "balloon0": "virtio-balloon-pci", "rng0": "virtio-rng-pci", "rng2": "virtio-rng-pci",
    "shmem0": "ivshmem-plain", "redir0": "usb-redir", "smartcard0": "ccid-card-passthru",
    "crypto0": "virtio-crypto-pci", "pstore0": "acpi-erst", "dimm0": "pc-dimm", "nvdimm1": "nvdimm",
    "virtiomem0": "virtio-mem-pci", "virtiopmem0": "virtio-pmem-pci",
}  # fmt: skip


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


@pytest.fixture
def files(place: Path) -> Path:
    """What the devices of the guests below need on the host."""
    (place / "share").mkdir(mode=0o777)
    (place / "share").chmod(0o777)
    for name in ("nvdimm", "pmem"):
        (place / name).touch()
        os.truncate(place / name, 64 << 20)
    return place


def xml(devices: str, place: Path, machine: str = "q35", uuid: str = "") -> str:
    words = {"place": str(place), "shmem": f"frontinus-test-{os.getpid()}"}
    return HEAD.format(devices=devices.format(**words), machine=machine, uuid=uuid)


async def ask(engine: Engine, command: str, **arguments: object) -> object:
    answer = await engine.monitor_command("many", json.dumps({"execute": command, "arguments": arguments}))
    return json.loads(answer)["return"]


async def peripherals(engine: Engine) -> dict[str, str]:
    found = await ask(engine, "qom-list", path="/machine/peripheral")
    assert isinstance(found, list)
    return {entry["name"]: entry["type"].removeprefix("child<").removesuffix(">") for entry in found}


@pytest.mark.parametrize(("machine", "more"), [("q35", Q35_ONLY), ("pc", PC_ONLY)])
async def test_a_guest_with_every_device(engine: Engine, files: Path, machine: str, more: str) -> None:
    try:
        await engine.define(xml(MANY + more, files, machine))
        await engine.start("many")
        have = await peripherals(engine)
        assert {alias: have.get(alias) for alias in EXPECTED} == EXPECTED
        modules = await ask(engine, "query-memory-devices")
        assert isinstance(modules, list)
        assert sorted(module["type"] for module in modules) == ["dimm", "nvdimm", "virtio-mem", "virtio-pmem"]
        assert next(m["data"] for m in modules if m["type"] == "virtio-mem")["requested-size"] == 64 << 20
        assert await ask(engine, "qom-get", path="/machine/peripheral/balloon0", property="deflate-on-oom") is True
        assert await ask(engine, "qom-get", path="/machine/peripheral/rng0", property="max-bytes") == 1000
        if machine == "q35":
            assert await ask(engine, "qom-get", path="/machine/peripheral/iommu0", property="aw-bits") == 48
    finally:
        Path(f"/dev/shm/frontinus-test-{os.getpid()}").unlink(missing_ok=True)
    await engine.destroy("many")
    assert traces.left(str(files / "state")) == {}


@pytest.mark.needs("swtpm", "swtpm_setup")
@pytest.mark.parametrize(("model", "version"), [("tpm-tis", "2.0"), ("tpm-crb", "2.0"), ("tpm-tis", "1.2")])
async def test_a_tpm_keeps_its_state(engine: Engine, place: Path, model: str, version: str) -> None:
    banks = "<active_pcr_banks><sha256/></active_pcr_banks>" if version == "2.0" else ""
    device = f"<tpm model='{model}'><backend type='emulator' version='{version}'>{banks}</backend></tpm>"
    view = await engine.define(xml(device, place))
    await engine.start("many")
    chips = await ask(engine, "query-tpm")
    assert isinstance(chips, list)
    assert [(chip["model"], chip["options"]["type"]) for chip in chips] == [(model, "emulator")]
    folder = place / "state/swtpm" / view.uuid / ("tpm2" if version == "2.0" else "tpm1.2")
    state = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".permall"}
    assert state
    await engine.destroy("many")
    assert traces.left(str(place / "state")) == {}
    await engine.start("many")
    assert all((folder / name).exists() for name in state)
    log = (folder.parent / "swtpm.log").read_text()
    assert log.count("Starting vTPM manufacturing") == 1
    assert "Not overwriting existing state file" in log
    await engine.destroy("many")


@pytest.mark.needs("mounts")  # virtiofsd's own
async def test_virtiofsd_serves_a_folder(engine: Engine, files: Path) -> None:
    device = """<filesystem><driver type='virtiofs' queue='512'/><binary><cache mode='none'/><lock flock='on'/>
        <thread_pool size='4'/></binary><source dir='{place}/share'/><target dir='tag'/></filesystem>"""
    await engine.define(xml(device, files))
    await engine.start("many")
    assert (await peripherals(engine))["fs0"] == "vhost-user-fs-pci"
    assert any("virtiofsd" in line for line in traces.processes(str(files / "state")).values())
    await engine.destroy("many")
    assert traces.left(str(files / "state")) == {}


BOOTED = """<domain type='qemu'><name>many</name><memory unit='MiB'>256</memory>
<memoryBacking><access mode='shared'/></memoryBacking><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
<cmdline>{cmdline}</cmdline></os><features><acpi/></features><cpu mode='maximum'/>
<devices><serial type='pty'/>{devices}</devices></domain>"""
IN_THE_GUEST = """
<filesystem><driver type='virtiofs'/><binary><cache mode='none'/></binary><source dir='{place}/share'/>
  <target dir='ours'/></filesystem>
<rng model='virtio'><backend model='builtin'/></rng>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
"""
COMMANDS = (
    "mkdir /m; mount -t virtiofs ours /m && cat /m/hello && echo back >/m/answer",
    "cat /sys/class/tpm/tpm0/tpm_version_major /sys/class/misc/hw_random/rng_current",
)


async def type_in(engine: Engine, words: str, answers: Sequence[str]) -> None:
    """Type on the guest's console and wait for all the answers."""
    with socket.socket(fileno=await engine.open_console("many")) as console:
        console.setblocking(False)
        loop, text = asyncio.get_running_loop(), b""
        await loop.sock_sendall(console, words.encode())
        async with asyncio.timeout(BOOT_SECONDS):
            while not all(answer.encode() in text for answer in answers):
                text += await loop.sock_recv(console, 65536)


@pytest.mark.needs("swtpm", "swtpm_setup", "mounts")
async def test_what_a_guest_finds(engine: Engine, files: Path, guest_image: GuestImage) -> None:
    for file, source in (("kernel", guest_image.kernel), ("initrd", guest_image.initrd)):
        (files / file).write_bytes(source.read_bytes())
    (files / "share/hello").write_text("from the host\n")
    devices = IN_THE_GUEST.format(place=files)
    await engine.define(BOOTED.format(devices=devices, kernel=files / "kernel", initrd=files / "initrd",
                                      cmdline=guest_image.cmdline("idle")))  # fmt: skip
    await engine.start("many")
    await type_in(engine, "", [READY])
    await type_in(engine, f"{COMMANDS[0]}\n", ["from the host"])
    await type_in(engine, f"{COMMANDS[1]}\n", ["2\r\nvirtio_rng"])
    assert (files / "share/answer").read_text() == "back\n"
    await engine.destroy("many")


PLUGGED = {
    "<rng model='virtio'><backend model='builtin'/></rng>": "virtio-rng-pci",
    "<input type='tablet' bus='usb'/>": "usb-tablet",
    "<memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target></memory>": "pc-dimm",
    "<watchdog model='i6300esb' action='none'/>": "i6300esb",
    "<redirdev bus='usb' type='unix'><source mode='bind' path='{place}/redir'/></redirdev>": "usb-redir",
    "<crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>": "virtio-crypto-pci",
}


async def test_plugging(engine: Engine, place: Path) -> None:
    await engine.define(xml("", place, machine="pc"))
    await engine.start("many")
    before = await peripherals(engine)
    for device in PLUGGED:
        await engine.attach_device("many", device.format(place=place), live=True)
    after = await peripherals(engine)
    assert sorted(after[alias] for alias in after.keys() - before.keys()) == sorted(PLUGGED.values())
    await engine.detach_device("many", "<input type='tablet' bus='usb'/>", live=True)
    assert "usb-tablet" not in (await peripherals(engine)).values()


async def test_a_missing_device_of_the_host_is_told(engine: Engine, place: Path) -> None:
    await engine.define(xml("<hostdev type='usb'><source><vendor id='0xdead'/><product id='0xbeef'/></source></hostdev>",
                            place))  # fmt: skip
    with pytest.raises(FrontinusError, match="dead:beef"):
        await engine.start("many")
