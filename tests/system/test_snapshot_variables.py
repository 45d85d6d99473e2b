"""UEFI variables and TPMs in snapshots: inside an image of their own, in the state of memory, or refused by name."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidXML
from support.disks import bare_xml, disk, image
from trial import Daemon

CODE, TEMPLATE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
SPARE = 0x83000
"""An offset that firmware which has barely begun does not come to."""


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    if not CODE.exists():
        pytest.skip("the package ovmf is not installed")
    async with daemon.engine() as engine:
        yield engine


async def defined(engine: Engine, place: Path, kind: str) -> Path:
    """A guest whose variables are in an image of a format."""
    store = place / f"vars.{kind}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, str(TEMPLATE), str(store)], check=True)
    firmware = (f"<loader readonly='yes' type='pflash'>{CODE}</loader><nvram format='{kind}'>{store}</nvram></os>"
                "<features><acpi/></features>")  # fmt: skip
    await engine.define(bare_xml(disk(image(place / "a.qcow2"))).replace("</os>", firmware))
    return store


def mark(store: Path, byte: int) -> None:
    command = f"write -P {byte} {SPARE} 512"
    subprocess.run(["qemu-io", "-f", store.suffix[1:], "-c", command, str(store)], check=True, capture_output=True)


def marked(store: Path, byte: int) -> bool:
    argv = ["qemu-io", "-U", "-r", "-f", store.suffix[1:], "-c", f"read -P {byte} {SPARE} 512", str(store)]
    return b"verification failed" not in subprocess.run(argv, check=False, capture_output=True).stdout


def inside(store: Path) -> str:
    argv = ["qemu-img", "snapshot", "-U", "-l", str(store)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def named(name: str, more: str = "") -> str:
    return f"<domainsnapshot><name>{name}</name>{more}</domainsnapshot>"


async def test_inside_their_own_image(engine: Engine, place: Path) -> None:
    store = await defined(engine, place, "qcow2")
    mark(store, 1)
    await engine.create_snapshot("bare", named("off"))
    mark(store, 2)
    await engine.start("bare", paused=True)
    await engine.create_snapshot("bare", named("memory"))
    await engine.create_snapshot(
        "bare", named("disks", "<memory snapshot='no'/><disks><disk name='vda' snapshot='internal'/></disks>")
    )
    await engine.destroy("bare")
    for name, byte in (("off", 1), ("disks", 2), ("off", 1), ("memory", 2)):
        await engine.revert_snapshot("bare", name)
        await engine.destroy("bare") if (await engine.guest("bare")).active else None
        assert marked(store, byte), f"after going back to '{name}' the variables are not of its moment"
    await engine.start("bare", paused=True)
    await engine.delete_snapshot("bare", "memory")
    await engine.destroy("bare")
    for name in ("off", "disks"):
        await engine.delete_snapshot("bare", name)
    assert inside(store).strip() == "", "a snapshot is left inside the image of the variables"


async def test_in_memory_alone(engine: Engine, place: Path) -> None:
    """A raw image has no snapshots; the state of memory has what the flash held, and writes it back when the guest runs."""
    store = await defined(engine, place, "raw")
    with pytest.raises(InvalidXML, match="<nvram>: format 'raw' has no snapshots inside"):
        await engine.create_snapshot("bare", named("off"))
    assert await engine.snapshots("bare") == []
    mark(store, 1)
    await engine.start("bare", paused=True)
    await engine.create_snapshot("bare", named("inside"))
    outside = f"<memory file='{place}/memory'/><disks><disk name='vda' snapshot='external'/></disks>"
    await engine.create_snapshot("bare", named("outside", outside))
    for name in ("outside", "inside"):
        await engine.destroy("bare")
        mark(store, 2)
        await engine.revert_snapshot("bare", name, ["running", "force"])
        assert marked(store, 1), f"after going back to '{name}' the variables are not of its moment"
    await engine.destroy("bare")


@pytest.mark.needs("swtpm", "swtpm_setup")
async def test_a_tpm_is_in_memory_too(engine: Engine, place: Path) -> None:
    """QEMU's state has what its TPM keeps for good: one whose state was lost meanwhile has it again, to the byte."""
    tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    await engine.define(bare_xml(disk(image(place / "a.qcow2")) + tpm))
    await engine.start("bare", paused=True)
    (state,) = (place / "state/swtpm").rglob("*.permall")
    was = state.read_bytes()
    await engine.create_snapshot("bare", named("inside"))
    outside = f"<memory file='{place}/memory'/><disks><disk name='vda' snapshot='external'/></disks>"
    await engine.create_snapshot("bare", named("outside", outside))
    for name in ("outside", "inside"):
        await engine.destroy("bare")
        state.unlink()
        await engine.revert_snapshot("bare", name, ["running", "force"])
        assert state.read_bytes() == was, f"after going back to '{name}' the TPM is another"
    await engine.destroy("bare")
