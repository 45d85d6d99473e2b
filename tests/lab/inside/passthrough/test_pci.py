"""A PCI function of the VM goes to a guest in it, by its real IOMMU and vfio-pci, and comes back."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, HostFailed, Unresponsive
from support import traces
from trial import Daemon

pytestmark = pytest.mark.asyncio(loop_scope="session")

CARD = "0000:00:10.0"
DEVICE = Path("/sys/bus/pci/devices", CARD)
MIB = 2**20
HOSTDEV = """<hostdev mode='subsystem' type='pci' managed='{managed}'>
<source><address domain='0x0000' bus='0x00' slot='0x10' function='0x0'/></source><rom bar='off'/></hostdev>"""
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>{devices}</devices></domain>"""


def driver() -> str | None:
    link = DEVICE / "driver"
    return link.resolve().name if link.exists() else None


def node() -> Path:
    return Path("/dev/vfio", (DEVICE / "iommu_group").resolve().name)


@pytest.fixture(autouse=True)
def card() -> Iterator[None]:
    """The card belongs to the VM's own driver before and after."""
    for module in ("e1000e", "vfio-pci"):
        subprocess.run(["modprobe", module], check=True)
    assert driver() == "e1000e"
    yield
    assert driver() == "e1000e" and (DEVICE / "driver_override").read_text().strip() in ("", "(null)")


@pytest_asyncio.fixture(loop_scope="session")
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine
    async with daemon.engine() as engine:
        for guest in await engine.guests():
            if guest.state != "shutoff":
                await engine.destroy(guest.uuid)
            await engine.undefine(guest.uuid)


async def has_card(engine: Engine, guest: str) -> bool:
    answer = await engine.monitor_command(guest, json.dumps({"execute": "query-pci"}))
    (bus,) = json.loads(answer)["return"]
    return any((d["id"]["vendor"], d["id"]["device"]) == (0x8086, 0x10D3) for d in bus["devices"])


def pid_of(daemon: Daemon) -> int:
    found = [pid for pid, line in traces.processes(f"{daemon.folder}/state").items() if "qemu-system" in line]
    assert len(found) == 1
    return found[0]


def locked(pid: int) -> int:
    """Bytes that a process may lock in memory."""
    return resource.prlimit(pid, resource.RLIMIT_MEMLOCK)[0]


async def start(engine: Engine, name: str, devices: str = "") -> None:
    await engine.define(GUEST.format(name=name, devices=devices))
    await engine.start(name, paused=True)


async def test_a_guest_starts_with_the_card_and_gives_it_back(daemon: Daemon, engine: Engine) -> None:
    await start(engine, "one", HOSTDEV.format(managed="yes"))
    assert driver() == "vfio-pci" and await has_card(engine, "one")
    qemu = pid_of(daemon)
    assert Path(f"/proc/{qemu}").stat().st_uid != 0, "QEMU is an ordinary user"
    assert node() in {link.resolve() for link in Path(f"/proc/{qemu}/fd").iterdir()}, (
        "and was let at the group all the same"
    )
    assert locked(qemu) >= 64 * MIB
    await engine.destroy("one")
    assert driver() == "e1000e"


async def test_one_card_is_one_guests(engine: Engine) -> None:
    await start(engine, "one", HOSTDEV.format(managed="yes"))
    with pytest.raises(FrontinusError):
        await start(engine, "two", HOSTDEV.format(managed="yes"))
    assert driver() == "vfio-pci" and await has_card(engine, "one")
    await engine.destroy("one")


async def test_a_card_that_is_not_managed_must_be_free_already(engine: Engine) -> None:
    with pytest.raises(HostFailed, match="belongs to the host's driver e1000e"):
        await start(engine, "one", HOSTDEV.format(managed="no"))
    assert driver() == "e1000e"


async def test_the_card_comes_and_goes_while_the_guest_runs(daemon: Daemon, engine: Engine) -> None:
    """The guest has no system that would let the card go: a reset does, and the engine hears of it late."""
    await start(engine, "one")
    qemu = pid_of(daemon)
    before = locked(qemu)
    await engine.attach_device("one", HOSTDEV.format(managed="yes"), live=True)
    assert driver() == "vfio-pci" and await has_card(engine, "one") and locked(qemu) >= 64 * MIB
    assert "<hostdev" in await engine.guest_xml("one")
    with pytest.raises(Unresponsive):
        await engine.detach_device("one", HOSTDEV.format(managed="yes"), live=True)
    await engine.resume("one")
    await engine.reset("one")
    async with asyncio.timeout(60):
        async for _ in engine.watch():  # the last of the news is that the guest has changed
            if driver() == "e1000e":
                break
    assert "<hostdev" not in await engine.guest_xml("one")
    assert not await has_card(engine, "one") and locked(qemu) == before
    await engine.destroy("one")


async def test_an_engine_that_is_killed_gives_the_card_back_all_the_same(daemon: Daemon, engine: Engine) -> None:
    await start(engine, "one", HOSTDEV.format(managed="yes"))
    await daemon.kill()
    assert driver() == "vfio-pci", "the guest runs on"
    await daemon.start()
    async with daemon.engine() as again:
        assert await has_card(again, "one")
        await again.destroy("one")
    assert driver() == "e1000e"
