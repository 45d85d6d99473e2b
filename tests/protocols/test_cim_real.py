"""A real QEMU guest seen and led by CIM clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pywbem

from guest_image import GuestImage
from support.cim import Provider, provider
from support.real import daemon, guest_image, place
from trial import Daemon

__all__ = ["daemon", "guest_image", "place"]
pytestmark = [pytest.mark.needs("root", "qemu-system-x86_64", "wbemcli"),
              pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")]  # fmt: skip
XML = """<domain type='qemu'>
  <name>shown</name><uuid>e3f3b3a3-f4f4-4555-8666-97979797c1c1</uuid><memory unit='MiB'>192</memory><vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{cmdline}</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/></interface>
    <serial type='pty'/>
  </devices>
</domain>"""
GUEST = pywbem.CIMInstanceName(
    "KVM_ComputerSystem", {"CreationClassName": "KVM_ComputerSystem", "Name": "shown"}, namespace="root/virt"
)
SAME = '/root/virt:KVM_ComputerSystem.CreationClassName="KVM_ComputerSystem",Name="shown"'


def files(place: Path, image: GuestImage) -> dict[str, str]:
    (place / "disk.img").write_bytes(bytes(2**20))
    for name, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        (place / name).write_bytes(source.read_bytes())
    return {"kernel": str(place / "kernel"), "initrd": str(place / "initrd"), "disk": str(place / "disk.img"),
            "cmdline": image.cmdline("idle")}  # fmt: skip


@pytest.fixture
async def cim(daemon: Daemon, place: Path, tmp_path: Path) -> AsyncIterator[Provider]:
    async with provider(tmp_path, daemon.socket, max_age=0.5) as made:
        yield made


async def becomes(cim: Provider, wanted: int) -> None:
    """Wait until the guest is shown in a state."""
    async with asyncio.timeout(90):
        while True:
            if int((await cim.ask("GetInstance", GUEST))["EnabledState"]) == wanted:
                return
            await asyncio.sleep(0.1)


async def ask_for(cim: Provider, wanted: int) -> int:
    value, _ = await cim.ask("InvokeMethod", "RequestStateChange", GUEST, RequestedState=pywbem.Uint16(wanted))
    return int(value)


async def test_a_real_guest_is_read_and_led(
    cim: Provider, daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    async with daemon.engine() as engine:
        await engine.define(XML.format(**files(place, guest_image)))
        await becomes_known(cim)
        assert await ask_for(cim, 2) in (0, 4096)
        await becomes(cim, 2)
        assert (await engine.guest("shown")).state == "running"
        near = await cim.ask("Associators", GUEST, AssocClass="KVM_SystemDevice")
        classes = [i.classname for i in near]
        assert classes.count("KVM_Processor") == 2 and {"KVM_Memory", "KVM_LogicalDisk", "KVM_NetworkPort"} <= set(
            classes
        )
        disk = next(i for i in near if i.classname == "KVM_LogicalDisk")
        assert (disk["DeviceID"], disk["NumberOfBlocks"] * disk["BlockSize"]) == ("shown/vda", 2**20)
        port = next(i for i in near if i.classname == "KVM_NetworkPort")
        assert port["PermanentAddress"] == "525400123456"
        code, said = await cim.wbemcli("gi", SAME)
        assert code == 0 and "-EnabledState=2" in said
        code, said = await cim.wbemcli("cm", SAME, "RequestStateChange.RequestedState=9")
        assert code == 0 and (await engine.guest("shown")).state == "paused"
        assert await ask_for(cim, 2) == 0
        assert await ask_for(cim, 3) == 0
        await becomes(cim, 3)
        assert (await engine.guest("shown")).state == "shutoff"


async def becomes_known(cim: Provider) -> None:
    async with asyncio.timeout(30):
        while True:
            if any(path["Name"] == "shown" for path in await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")):
                return
            await asyncio.sleep(0.05)
