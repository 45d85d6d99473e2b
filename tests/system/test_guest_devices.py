"""Every device of this stage on a real QEMU: it starts, QEMU has the hardware, the host has what it needs."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import NoSuchSecret, WrongState
from guest_image import GuestImage
from support import traces
from support.ordinary import ordinary
from support.waiting import until
from system.test_guest_life import Watcher, boot, expect, guest_xml
from trial import Daemon


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


async def devices(engine: Engine, guest: str) -> set[str]:
    """The QOM types of all devices that QEMU made for the guest."""
    found: set[str] = set()
    for path in ("/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"):
        command = json.dumps({"execute": "qom-list", "arguments": {"path": path}})
        answer = json.loads(await engine.monitor_command(guest, command))
        found |= {row["type"].removeprefix("child<").removesuffix(">") for row in answer["return"]}
    return found


MORE = """
<controller type='scsi' model='virtio-scsi'/>
<disk type='file'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
  <source file='{place}/scsi.qcow2'/><target dev='sda' bus='scsi'/></disk>
<disk type='file'><driver name='qemu' type='raw'/><source file='{place}/sata.img'/><target dev='sdb' bus='sata'/></disk>
<disk type='file'><driver name='qemu' type='raw'/><source file='{place}/usb.img'/><target dev='sdc' bus='usb'/></disk>
<disk type='file' device='cdrom'><target dev='sdd' bus='sata'/><readonly/></disk>
<disk type='network'><driver name='qemu' type='raw'/>
  <source protocol='nbd' name='x'><host transport='unix' socket='{place}/nbd.sock'/></source>
  <target dev='vdn' bus='virtio'/></disk>
<filesystem type='mount' accessmode='mapped'><source dir='{place}/share'/><target dir='share'/></filesystem>
<interface type='user'><model type='e1000e'/></interface>
<serial type='file'><source path='{place}/serial.log'/></serial>
<serial type='unix'><source mode='bind' path='{place}/serial.sock'/></serial>
<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
<input type='tablet' bus='usb'/><input type='keyboard' bus='virtio'/>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
<graphics type='spice' autoport='yes'/>
<sound model='ich9'/>
<video><model type='virtio'/></video>
<watchdog model='i6300esb' action='pause'/>
<panic model='isa'/>
"""


async def nbd_server(place: Path) -> asyncio.subprocess.Process:
    (place / "nbd.img").write_bytes(bytes(2**20))
    server = await asyncio.create_subprocess_exec("qemu-nbd", "-k", str(place / "nbd.sock"), "-x", "x", "-f", "raw", "-t", "-e",
                                                  "4", str(place / "nbd.img"))  # fmt: skip
    await until(lambda: traces.listens(place / "nbd.sock"))
    (place / "nbd.sock").chmod(0o666)
    return server


@pytest.mark.needs("swtpm")
async def test_every_device_of_this_stage(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(place / "scsi.qcow2"), "16M"], check=True)
    for name in ("sata.img", "usb.img"):
        (place / name).write_bytes(bytes(2**20))
    (place / "share").mkdir()
    server = await nbd_server(place)
    try:
        await engine.define(guest_xml(place, guest_image, more=MORE.format(place=place)))
        xml = await engine.guest_xml("real", ["inactive"])
        await engine.start("real")
        have = await devices(engine, "real")
        await engine.destroy("real")
        await engine.start("real")
        assert await engine.guest_xml("real", ["inactive"]) == xml, "an address moved"
        await engine.destroy("real")
    finally:
        server.terminate()
        await server.wait()
    wanted = {
        "virtio-scsi-pci", "scsi-hd", "ide-hd", "ide-cd", "usb-storage", "virtio-blk-pci", "virtio-9p-pci", "e1000e",
        "isa-serial", "virtserialport", "usb-tablet", "virtio-keyboard-pci", "tpm-crb", "ich9-intel-hda", "i6300esb",
        "pvpanic", "virtio-rng-pci", "virtio-balloon-pci", "VGA",
    }  # fmt: skip
    assert wanted - have == set()
    assert traces.left(str(place / "state")) == {}, "a helper was left"


@pytest.mark.skipif(not Path("/usr/share/OVMF").exists(), reason="needs OVMF (apt install ovmf)")
async def test_uefi_with_a_variable_store(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    plain = (
        "<firmware><feature enabled='no' name='secure-boot'/><feature enabled='no' name='enrolled-keys'/></firmware>"
    )
    xml = guest_xml(place, guest_image).replace("<os>", f"<os firmware='efi'>{plain}")
    await engine.define(xml)
    await engine.start("real")
    live = await engine.guest_xml("real")
    assert "<loader" in live and "<nvram" in live
    store = Path(live.split("<nvram")[1].split(">")[1].split("<")[0])
    await boot(engine, "real")
    await engine.destroy("real")
    assert store.stat().st_size > 0 and store.stat().st_uid == 0
    with pytest.raises(WrongState):
        await engine.undefine("real")
    await engine.undefine("real", nvram=True)
    assert not store.exists()


async def test_tap_on_a_bridge_counts(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    subprocess.run(["ip", "link", "add", "frbr0", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "link", "set", "frbr0", "up"], check=True)
        nic = "<interface type='bridge'><source bridge='frbr0'/><model type='virtio'/></interface>"
        await engine.define(guest_xml(place, guest_image, more=nic))
        await engine.start("real")
        tap = next(i for i in (await engine.stats(["real"], ["interface"]))[0].interfaces if i.name.startswith("vnet"))
        assert Path(f"/sys/class/net/{tap.name}/master").resolve().name == "frbr0"
        mac = Path(f"/sys/class/net/{tap.name}/address").read_text().strip()
        assert mac == "fe" + tap.mac[2:]
        await boot(engine, "real")
        await expect(
            engine,
            "real",
            "sent-42",
            say="\nip link set eth1 up; ping -c 1 -w 1 -I eth1 10.9.9.9; echo sent-$((40+2))\n",
        )
        after = next(i for i in (await engine.stats(["real"], ["interface"]))[0].interfaces if i.name == tap.name)
        assert after.tx_packets and after.tx_bytes and tap.rx_errors == 0
        await engine.destroy("real")
        await until(lambda: not Path(f"/sys/class/net/{tap.name}").exists())  # a moment after its last holder
    finally:
        subprocess.run(["ip", "link", "del", "frbr0"], check=True)


async def test_panic_of_the_guest_is_told(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    watcher = await Watcher(engine).ready()
    xml = guest_xml(place, guest_image, more="<panic model='isa'/>").replace("job=idle", "job=panic")
    await engine.define(xml.replace("</devices>", "</devices><on_crash>preserve</on_crash>"))
    await engine.start("real")
    await watcher.until("crashed")
    assert (await engine.guest("real")).state == "crashed"
    await engine.destroy("real")
    watcher.close()


async def test_statistics_equal_what_the_kernel_says(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await engine.define(guest_xml(place, guest_image))
    await engine.start("real")
    await boot(engine, "real")
    await engine.suspend("real")
    pid = traces.qemu(place)
    stats = (await engine.stats(["real"]))[0]
    fields = (Path(f"/proc/{pid}/stat")).read_text().rsplit(")", 1)[1].split()
    ticks = (int(fields[11]) + int(fields[12])) * 10**7
    assert stats.cpu is not None and stats.cpu.time is not None and abs(stats.cpu.time - ticks) <= 5 * 10**8
    answer = json.loads(await engine.monitor_command("real", '{"execute":"query-blockstats"}'))
    counters = next(
        row["stats"] for row in answer["return"] if row["stats"]["rd_operations"] == stats.blocks[0].read_requests
    )
    assert counters["rd_bytes"] == stats.blocks[0].read_bytes
    assert stats.memory is not None and stats.memory.rss and stats.memory.rss > 2**20


@pytest.mark.needs("mounts")
async def test_session_engine_needs_no_root(place: Path, guest_image: GuestImage) -> None:
    """A user's own engine: everything in the user's folders, QEMU as the user."""
    home = place / "home"
    (home / "run").mkdir(parents=True)
    for folder in (home, home / "run"):
        shutil.chown(folder, 65534, 65534)
        folder.chmod(0o700)
    (place / "session.toml").write_text("adapters = []")
    (place / "session.toml").chmod(0o644)
    engine, reachable = ordinary(place, "frontinus.daemon.main")
    command, _ = ordinary(place, "frontinus.client.main")
    env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), **reachable}
    daemon = await asyncio.create_subprocess_exec(
        *engine, "--session", "--config", str(place / "session.toml"), env=env
    )
    try:
        socket = home / "run/frontinus/frontinus.sock"
        await until(lambda: traces.listens(socket))
        file = place / "mine.xml"
        file.write_text("<domain type='qemu'><name>mine</name><memory unit='MiB'>32</memory><os><type arch='x86_64' "
                        "machine='q35'>hvm</type></os></domain>")  # fmt: skip
        for words in (("define", str(file)), ("start", "mine"), ("destroy", "mine"), ("undefine", "mine")):
            done = await asyncio.create_subprocess_exec(*command, "--session", *words, env=env)
            assert await done.wait() == 0, words
    finally:
        daemon.terminate()
        await daemon.wait()


async def test_a_secret_that_nobody_keeps_is_named(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    secret = (
        "<encryption format='luks'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption>"
    )
    disk = f"<disk type='file'><source file='{place}/real.img'>{secret}</source><target dev='vdb' bus='virtio'/></disk>"
    await engine.define(guest_xml(place, guest_image, more=disk))
    with pytest.raises(NoSuchSecret) as caught:
        await engine.start("real")
    assert "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f" in caught.value.message
