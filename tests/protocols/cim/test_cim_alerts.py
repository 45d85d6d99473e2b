"""Every alert of docs/cim.md reaches pywbem's listener: by rows beside mock guests, and for real where that takes seconds."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import pywbem
from pywbem import CIMInstance

from frontinus.api.errors import FrontinusError
from frontinus_cim.indications import alerts
from support.cim import Provider, Rig, provider, rig
from support.cim_listener import Listener, subscribe
from support.mounts import unmount
from support.real import daemon, place
from trial import Daemon

__all__ = ["daemon", "place"]
pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
ALL = "SELECT * FROM CIM_AlertIndication"


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    yield made
    await asyncio.to_thread(made.stop)


async def told(listener: Listener, *ids: str) -> dict[str, CIMInstance]:
    """The first alert of each of these EventIDs, in whatever order they come."""
    found: dict[str, CIMInstance] = {}
    async with asyncio.timeout(90):
        while not found.keys() >= set(ids):
            one = await listener.next("KVM_AlertIndication")
            found.setdefault(one["EventID"], one)
    return found


# --- beside mock guests: what the hypervisor tells, and what the alert says

NEWS: list[tuple[str, dict[str, object], str, str]] = [
    ("io-error", {"device": "virtio-disk0", "action": "report", "reason": "enospc", "path": "/x.img"}, "io-error", "enospc"),
    ("watchdog", {"action": "none"}, "watchdog", "none"),
    ("memory-failure", {"recipient": "guest", "action": "inject"}, "memory-failure", "inject"),
    ("write-threshold", {"layer": 0, "threshold": 512, "excess": 77}, "block-threshold", "77"),
    ("lost", {"reason": "the monitor closed"}, "control-error", "the monitor closed"),
    ("crashed", {}, "crashed", "crashed"),
]  # fmt: skip
SAYS = {row.id: row for row in (*alerts.ALERTS.values(), alerts.CRASHED, alerts.POOL_FULL)}


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


async def test_every_trouble_of_a_guest_is_an_alert(cim: Rig, listener: Listener) -> None:
    await subscribe(cim, listener.url, ALL)
    mock = next(iter(cim.local.world.hypervisor.guests.values()))  # type: ignore[attr-defined]
    assert {row[2] for row in NEWS} | {"pool-full"} == set(SAYS), "an alert without a row here"
    for name, data, number, words in NEWS:
        mock.tell(name, **data)
        found = (await told(listener, number))[number]
        row = SAYS[number]
        assert (found["AlertType"], found["PerceivedSeverity"]) == (row.type, row.severity), number
        assert found["ProbableCauseDescription"] == row.cause and words in found["Message"]
        assert 'root/virt:KVM_ComputerSystem.Name="test"' in found["AlertingManagedElement"]


# --- for real

CODE = bytes.fromhex(
    "31c0 8ed8 8ed0 bc007c"  # segments and stack
    "be407c b80043 b280 cd13"  # write a sector of the first disk as `PACKET` says (INT 13h, 43h)
    "b80043 b281 cd13"  # and of the second
    "ba4304 b00e ee"  # let the watchdog ib700 bite in two seconds
    "b486 b93d00 ba0009 cd15"  # wait for four (INT 15h, 86h)
    "ba0505 b001 ee"  # say by pvpanic that the system panicked
    "f4 ebfd".replace(" ", "")
)
SECTOR = 1024
PACKET = bytes([16, 0, 1, 0, 0x00, 0x7C, 0, 0]) + SECTOR.to_bytes(8, "little")
TROUBLED = """<domain type='qemu'><name>troubled</name><memory unit='MiB'>32</memory><on_crash>destroy</on_crash>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>
<disk type='file'><driver type='raw'/><source file='{boot}'/><target dev='hda' bus='ide'/></disk>
<disk type='file'><driver type='raw' error_policy='report'/><source file='{full}'/><target dev='hdb' bus='ide'/></disk>
<watchdog model='ib700' action='none'/><panic model='isa'/></devices></domain>"""


def sparse(path: Path, start: bytes = b"") -> Path:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(4 * 2**20)
    return path


@contextmanager
def small(folder: Path, size: str) -> Iterator[Path]:
    """A file system of so many octets."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        unmount(folder)


@pytest.fixture
async def real(daemon: Daemon, tmp_path: Path) -> AsyncIterator[Provider]:
    async with provider(tmp_path, daemon.socket, max_age=0.5) as made:
        yield made


@pytest.mark.needs("root", "qemu-system-x86_64", "mount")
async def test_a_real_guest_in_trouble(real: Provider, daemon: Daemon, place: Path, listener: Listener) -> None:
    """One guest of a boot sector: writes beyond a threshold, to a full disk, lets its watchdog bite, and panics."""
    boot = sparse(place / "boot.img", (CODE.ljust(0x40, b"\0") + PACKET).ljust(510, b"\0") + b"\x55\xaa")
    await subscribe(real, listener.url, ALL)
    with small(place / "small", "64k") as folder:
        full = sparse(folder / "full.img")
        (folder / "filler").write_bytes(bytes(64 * 2**10))
        async with daemon.engine() as engine:
            await engine.define(TROUBLED.format(boot=boot, full=full))
            await engine.start("troubled", paused=True)
            await engine.set_block_threshold("troubled", "hda", 4096)
            await engine.resume("troubled")
            try:
                found = await told(listener, "block-threshold", "io-error", "watchdog", "crashed")
            finally:
                with suppress(FrontinusError):
                    await engine.destroy("troubled")
            await engine.undefine("troubled")
    assert str(full) in found["io-error"]["Message"]
    assert "hda" in found["block-threshold"]["Message"] and "troubled" in found["crashed"]["AlertingManagedElement"]


@pytest.mark.needs("root", "mount")
async def test_a_real_pool_that_fills_up(real: Provider, place: Path, listener: Listener) -> None:
    """It is told once when 95 % are taken, and again only after there was room."""
    (service,) = await real.ask("EnumerateInstanceNames", "KVM_ResourcePoolConfigurationService")
    await subscribe(real, listener.url, ALL)
    with small(place / "small", "1m") as folder:
        given = CIMInstance(
            "KVM_DiskPoolResourceAllocationSettingData", {"Path": str(folder), "Type": pywbem.Uint16(1)}
        )
        _, out = await real.ask(
            "InvokeMethod", "CreateChildResourcePool", service, ElementName="tight", Settings=[given]
        )
        pool = out["Pool"]

        async def fill(size: int) -> None:
            (folder / "filler").write_bytes(bytes(size))
            assert (await real.ask("InvokeMethod", "RefreshResourcesInPool", service, Pool=pool))[0] == 0

        await fill(900 * 2**10)
        await fill(1000 * 2**10)
        first = (await told(listener, "pool-full"))["pool-full"]
        assert "tight" in first["Message"] and "DiskPool/tight" in first["AlertingManagedElement"]
        await fill(1001 * 2**10)
        await fill(100 * 2**10)
        await fill(1001 * 2**10)
        second = (await told(listener, "pool-full"))["pool-full"]
        assert second["SequenceNumber"] == first["SequenceNumber"] + 1, "no alert while it stayed full"
        await real.ask("InvokeMethod", "DeleteResourcePool", service, Pool=pool)
