"""Disks whose images a caller opened: QEMU, which could not by their paths, reads and writes them; engines come and go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from frontinus.api.descriptor import Descriptor
from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidXML, Unsupported, WrongState
from support.waiting import until
from trial import Daemon

GUEST = """<domain type='qemu'><name>real</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><memballoon model='none'/><controller type='scsi' model='virtio-scsi'/>{disk}
<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk></devices></domain>"""
CHAIN = """<disk type='file'><driver name='qemu' type='qcow2'/><source file='/nowhere/top.qcow2' fdgroup='top'/>
<backingStore type='file'><format type='raw'/><source file='/nowhere/base.img' fdgroup='base'/></backingStore>
<target dev='vda' bus='virtio'/></disk>"""
PLUGGED = """<disk type='file'><driver name='qemu' type='raw'/><source fdgroup='more'/>
<target dev='sda' bus='scsi'/></disk>"""
MEDIUM = """<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source fdgroup='disc'/>
<target dev='hdc' bus='ide'/><readonly/></disk>"""
VDA, SDA = "/machine/peripheral/virtio-disk0/virtio-backend", "scsi0-0-0-0"
BOTH, READING = (os.O_RDONLY, os.O_RDWR), (os.O_RDONLY,)


@contextlib.contextmanager
def opened(file: Path, modes: Sequence[int]) -> Iterator[list[Descriptor]]:
    """Descriptors of a file. Whoever gave them keeps none: QEMU's locks would outlast QEMU's use of them."""
    fds = [os.open(file, mode) for mode in modes]
    try:
        yield [Descriptor(fd) for fd in fds]
    finally:
        for fd in fds:
            os.close(fd)


async def give(engine: Engine, name: str, file: Path, modes: Sequence[int]) -> None:
    with opened(file, modes) as fds:
        await engine.associate_descriptors("real", name, fds)


@pytest.fixture
def images(place: Path) -> Path:
    """Images in a folder that no guest's user can pass."""
    folder = place / "hidden"
    folder.mkdir(mode=0o700)
    (folder / "base.img").write_bytes(b"b" * 1024 * 1000)
    for name in ("more.img", "disc.img", "copy.img"):
        (folder / name).write_bytes(bytes(1024 * 1000))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(folder / "base.img"),
                    str(folder / "top.qcow2")], check=True)  # fmt: skip
    return folder


async def ask(engine: Engine, command: str, **arguments: object) -> Any:
    answer = await engine.monitor_command("real", json.dumps({"execute": command, "arguments": arguments}))
    return json.loads(answer)["return"]


async def io(engine: Engine, device: str, command: str) -> None:
    """Have QEMU read or write as the guest would. What it read wrong it says in its log."""
    said = await ask(engine, "human-monitor-command", **{"command-line": f'qemu-io -d {device} "{command}"'})
    assert said == ""


def log_of(daemon: Daemon) -> str:
    return (daemon.folder / "log/guests/real.log").read_text()


async def sets(engine: Engine) -> dict[int, int]:
    """How many descriptors each set in QEMU has that is still of use."""
    return {one["fdset-id"]: len(one["fds"]) for one in await ask(engine, "query-fdsets") if one["fds"]}


def held(daemon: Daemon, path: Path) -> list[str]:
    """The daemon's own descriptors of a file."""
    assert daemon.process is not None
    inode = path.stat().st_ino
    found = []
    for fd in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            if fd.stat().st_ino == inode:
                found.append(fd.name)
        except OSError:
            continue
    return found


@pytest.mark.needs("root")
async def test_a_guest_has_images_that_it_could_not_open(daemon: Daemon, images: Path) -> None:
    async with daemon.engine() as engine:
        await engine.define(GUEST.format(disk=CHAIN))
        with pytest.raises(WrongState, match="fdgroup='base'.*no descriptors are associated"):
            await engine.start("real")
        await give(engine, "base", images / "base.img", READING)
        await give(engine, "top", images / "top.qcow2", BOTH)
        with opened(images / "base.img", READING) as fds, pytest.raises(Unsupported, match="containers"):
            await engine.start_with_files("real", fds)
        await engine.start("real")
        nodes = {node["node-name"]: node for node in await ask(engine, "query-named-block-nodes", flat=True)}
        assert nodes["frontinus-1-storage"]["file"].startswith("/dev/fdset/")
        assert len(held(daemon, images / "top.qcow2")) == 2
        await io(engine, VDA, "write -P 0x41 65536 65536")
        await io(engine, VDA, "flush")
    assert b"A" * 4096 in (images / "top.qcow2").read_bytes()
    await until(lambda: not held(daemon, images / "top.qcow2"))  # they went with the connection
    async with daemon.engine() as engine:  # the guest kept its own
        await io(engine, VDA, "read -P 0x41 65536 4096")
        await io(engine, VDA, f"read -P {ord('b')} 512000 512")
        await io(engine, VDA, f"read -P {ord('B')} 524288 512")
        assert log_of(daemon).count("Pattern verification failed") == 1  # the last: "below" is in the file below
        with pytest.raises(WrongState, match="fdgroup='more'"):
            await engine.attach_device("real", PLUGGED)


@pytest.mark.needs("root")
async def test_what_is_plugged_by_descriptors_leaves_nothing_in_qemu(daemon: Daemon, images: Path) -> None:
    async with daemon.engine() as engine:
        await engine.define(GUEST.format(disk=""))
        await engine.start("real")
        before = await sets(engine)
        await give(engine, "more", images / "more.img", BOTH)
        await give(engine, "disc", images / "disc.img", READING)
        await engine.attach_device("real", PLUGGED, live=True, config=True)
        await engine.update_device("real", MEDIUM, live=True)
        assert sorted((await sets(engine)).values()) == [1, 2]
        await io(engine, SDA, "write -P 0x42 0 512")
        assert (images / "more.img").read_bytes()[:512] == b"B" * 512
        with pytest.raises(WrongState, match="open for reading and writing"):
            await give(engine, "less", images / "copy.img", READING)
            await engine.attach_device("real", PLUGGED.replace("more", "less").replace("sda", "sdb"), live=True)
        assert sorted((await sets(engine)).values()) == [1, 2]
    await daemon.kill()
    await daemon.start()
    async with daemon.engine() as engine:
        assert "fdgroup='more'" in await engine.guest_xml("real")
        await engine.detach_device("real", PLUGGED, live=True, config=True)
        await engine.update_device("real", MEDIUM.replace("<source fdgroup='disc'/>", ""), live=True)
        assert await sets(engine) == before
        await give(engine, "more", images / "more.img", BOTH)
        await engine.attach_device("real", PLUGGED, live=True)  # the same set once more
        await io(engine, SDA, "read -P 0x42 0 512")
        await io(engine, SDA, "read -P 0x43 0 512")
        assert log_of(daemon).count("Pattern verification failed") == 1


@pytest.mark.needs("root")
async def test_layers_over_descriptors_come_and_go(daemon: Daemon, images: Path) -> None:
    over = images.parent / "over.qcow2"
    snapshot = f"""<domainsnapshot><name>s</name><disks><disk name='vda'><source file='{over}'/></disk>
        <disk name='hdc' snapshot='no'/></disks></domainsnapshot>"""
    async with daemon.engine() as engine:
        await engine.define(GUEST.format(disk=CHAIN))
        await give(engine, "base", images / "base.img", BOTH)
        await give(engine, "top", images / "top.qcow2", BOTH)
        await engine.start("real")
        with pytest.raises(InvalidXML, match="fdgroup"):
            await engine.create_snapshot("real", "<domainsnapshot><disks><disk name='vda' snapshot='internal'/></disks>"
                                         "</domainsnapshot>", [])  # fmt: skip
        with pytest.raises(Unsupported, match="fdgroup"):
            await engine.block_peek("real", "vda", 0, 512)
        await engine.create_snapshot("real", snapshot, ["disk-only"])
        await io(engine, VDA, "write -P 0x44 131072 65536")
        before = (images / "top.qcow2").read_bytes()
        assert b"D" * 65536 not in before
        await engine.block_commit("real", "vda", base="/nowhere/top.qcow2", flags=["active", "delete"])
        await ready(engine)
        await engine.abort_block_job("real", "vda", ["pivot"])
        assert "fdgroup='top'" in await engine.guest_xml("real")
        await engine.create_snapshot(
            "real", snapshot.replace("over", "again").replace("<name>s", "<name>t"), ["disk-only"]
        )
        await engine.block_commit("real", "vda", flags=["active"])  # to the lowest
        await ready(engine)
        await engine.abort_block_job("real", "vda", ["pivot"])
        await give(engine, "copy", images / "copy.img", BOTH)
        copy = "<disk type='file'><driver type='raw'/><source fdgroup='copy'/></disk>"
        with pytest.raises(InvalidXML, match="reuse-external"):
            await engine.block_copy("real", "vda", copy)
        await engine.block_copy("real", "vda", copy, flags=["reuse-external"])
        await ready(engine)
        await engine.abort_block_job("real", "vda", ["pivot"])
        assert "fdgroup='copy'" in await engine.guest_xml("real")
        names = {node["node-name"] for node in await ask(engine, "query-named-block-nodes", flat=True)}
        assert not names & {"frontinus-1-format", "frontinus-2-format"}
    assert all(b"D" * 65536 in (images / name).read_bytes() for name in ("top.qcow2", "base.img", "copy.img"))


async def ready(engine: Engine) -> None:
    """Wait until a copy has caught up."""
    async with asyncio.timeout(60):
        while not ((job := await engine.block_job("real", "vda")) and job.ready):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.needs("root")
async def test_the_command_line_gives_them_and_uses_them_in_one_line(daemon: Daemon, images: Path) -> None:
    async with daemon.engine() as engine:
        await engine.define(GUEST.format(disk=CHAIN))
    with opened(images / "base.img", READING) as base, opened(images / "top.qcow2", BOTH) as top:
        given = "dom-fd-associate --domain real --name {} --pass-fds {}"
        line = f"{given.format('base', base[0])}; {given.format('top', ','.join(map(str, top)))}; start real"
        program = Path(sys.executable).with_name("frontinus")
        alone = await asyncio.to_thread(run, program, daemon, [given.format("base", base[0])], [*base, *top])
        assert alone.returncode == 0
        refused = await asyncio.to_thread(run, program, daemon, ["start real"], [])
        assert refused.returncode == 1 and "no descriptors are associated" in refused.stderr
        done = await asyncio.to_thread(run, program, daemon, [line], [*base, *top])
        assert (done.returncode, done.stdout) == (0, "Guest 'real' started\n"), done.stderr
    async with daemon.engine() as engine:
        assert (await engine.guest("real")).state == "running"


def run(program: Path, daemon: Daemon, words: Sequence[str], fds: Sequence[int]) -> subprocess.CompletedProcess[str]:
    line = words[0].split() if ";" not in words[0] else words
    return subprocess.run(
        [program, "--socket", daemon.socket, *line], pass_fds=fds, capture_output=True, text=True, check=False
    )
