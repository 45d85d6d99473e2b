"""Disks of real guests: made, written from outside, and compared by checksum whatever their format and layers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path

from frontinus.api.engine import Engine
from guest_image import GuestImage
from support.waiting import eventually

MIB = 1 << 20

XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>160</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
<cmdline>{cmdline}</cmdline></os><features><acpi/></features><cpu mode='maximum'/>
<devices>{disks}<serial type='pty'/>{more}</devices></domain>"""


def image(path: Path, size: int = 32 * MIB, kind: str = "qcow2", backing: Path | None = None) -> Path:
    """An image, over another qcow2 perhaps."""
    below = ["-F", "qcow2", "-b", str(backing)] if backing else []
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *below, str(path), str(size)], check=True)
    path.chmod(0o644)
    return path


def fill(path: Path, byte: int, offset: int = 0, length: int = MIB) -> None:
    """Write a pattern into a qcow2 that nobody has open."""
    command = f"write -P {byte} {offset} {length}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(path)], check=True, stdout=subprocess.DEVNULL)


def disk(path: Path, target: str = "vda", kind: str = "qcow2", backing: str = "") -> str:
    return (f"<disk type='file'><driver name='qemu' type='{kind}'/><source file='{path}'/>{backing}"
            f"<target dev='{target}' bus='virtio'/></disk>")  # fmt: skip


def guest_xml(place: Path, built: GuestImage, disks: str, job: str = "idle", name: str = "real", more: str = "") -> str:
    """A guest around some disks, whose kernel its own user can read."""
    for file, source in (("kernel", built.kernel), ("initrd", built.initrd)):
        if not (place / file).exists():
            (place / file).write_bytes(source.read_bytes())
    return XML.format(name=name, kernel=place / "kernel", initrd=place / "initrd", cmdline=built.cmdline(job),
                      disks=disks, more=more)  # fmt: skip


BARE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{disks}</devices></domain>"""


def bare_xml(disks: str, name: str = "bare") -> str:
    """A guest whose firmware finds nothing to boot: it starts at once, and writes nothing."""
    return BARE.format(name=name, disks=disks)


def content(path: Path, kind: str = "qcow2", *, base: Path | None = None) -> str:
    """The checksum of what a guest sees in an image, also while it is open. `base`: the qcow2 that is to lie below."""
    graph: dict[str, object] = {"driver": kind, "file": {"driver": "file", "filename": str(path), "locking": "off"}}
    if base is not None:
        graph["backing"] = {"driver": "qcow2", "file": {"driver": "file", "filename": str(base), "locking": "off"}}
    raw = path.with_name(f"{path.name}.{time.monotonic_ns()}.raw")
    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", "json:" + json.dumps(graph), str(raw)], check=True)
    try:
        return hashlib.sha256(raw.read_bytes()).hexdigest()
    finally:
        raw.unlink()


def backing_of(path: Path) -> str | None:
    """What the header of a qcow2 says lies below."""
    done = subprocess.run(["qemu-img", "info", "-U", "--output=json", str(path)], check=True, capture_output=True)
    found: str | None = json.loads(done.stdout).get("full-backing-filename")
    return found


async def written_out(engine: Engine, guest: str) -> None:
    """Have QEMU write out what it keeps in memory of the images of a running guest, as every stop does."""
    await engine.suspend(guest)
    await engine.resume(guest)


async def job_gone(engine: Engine, guest: str, target: str = "vda") -> None:
    async def gone() -> bool:
        return await engine.block_job(guest, target) is None

    await eventually(gone, f"the job on {target} does not end")


async def job_ready(engine: Engine, guest: str, target: str = "vda") -> None:
    async def ready() -> bool:
        job = await engine.block_job(guest, target)
        assert job is not None, "the job is gone"
        return job.ready

    await eventually(ready, f"the job on {target} does not get ready")


async def writing(engine: Engine, guest: str, beyond: int = MIB) -> None:
    """Wait until the guest has written so many bytes more."""

    async def written() -> int:
        (stats,) = await engine.stats([guest], ["block"])
        return sum(block.write_bytes or 0 for block in stats.blocks)

    start = await written()

    async def enough() -> bool:
        return await written() >= start + beyond

    await eventually(enough, "the guest does not write")
