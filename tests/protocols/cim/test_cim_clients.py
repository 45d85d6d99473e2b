"""pywbem, pywbemcli and sblim's wbemcli: each leads a real guest through its life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pywbem import CIMInstanceName

from guest_image import GuestImage
from support.cim import Provider, provider
from support.cim_clients import CLIENTS, ByPywbem, ByWbemcli, Client, local
from support.real import daemon, guest_image, place
from support.real_console import answers
from system.test_guest_life import Watcher
from trial import Daemon

__all__ = ["daemon", "guest_image", "place"]
pytestmark = [pytest.mark.needs("root", "qemu-system-x86_64", "wbemcli"),
              pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")]  # fmt: skip
MANAGEMENT = "KVM_VirtualSystemManagementService"
ENABLED, DISABLED, SHUT_DOWN, QUIESCE, RESET = 2, 3, 4, 9, 11
WHOLE = (
    "instance of KVM_VirtualSystemSettingData {{ VirtualSystemIdentifier = \"{name}\"; Machine = \"q35\"; Arch = \"x86_64\"; "
    "EnableACPI = true; Kernel = \"{kernel}\"; Ramdisk = \"{initrd}\"; CommandLine = \"{cmdline}\"; "
    "VirtualSystemType = \"QEMU\"; }};"
)  # fmt: skip
PARTS = [
    f"instance of KVM_{kind}ResourceAllocationSettingData {{ {values} }};"
    for kind, values in (
        ("Mem", 'VirtualQuantity = 192; AllocationUnits = "byte*2^20";'),
        ("Proc", "VirtualQuantity = 1;"),
        ("Disk", 'Address = "DISK"; VirtualDevice = "vda"; BusType = "virtio";'),
        ("Net", 'NetworkType = "user"; ResourceSubType = "virtio";'),
        ("Console", 'SourceType = "pty";'),
        ("Graphics", 'ResourceSubType = "vnc"; Address = "127.0.0.1:-1";'),
    )
]


@pytest.fixture
async def cim(daemon: Daemon, place: Path, tmp_path: Path) -> AsyncIterator[Provider]:
    async with provider(tmp_path, daemon.socket, max_age=0.5) as made:
        yield made


def guest(name: str) -> CIMInstanceName:
    keys = {"CreationClassName": "KVM_ComputerSystem", "Name": name}
    return CIMInstanceName("KVM_ComputerSystem", keys, namespace="root/virt")


async def becomes(client: Client, name: str, wanted: int) -> None:
    async with asyncio.timeout(90):
        while True:
            if await client.value(guest(name), "EnabledState") == wanted:
                return
            await asyncio.sleep(0.3)


async def define(client: Client, service: CIMInstanceName, name: str, whole: str, parts: list[str]) -> None:
    """At once; by wbemcli part by part, for it loses what comes after the first of several embedded instances."""
    first = parts[:1] if isinstance(client, ByWbemcli) else parts
    assert await client.call(service, "DefineSystem", SystemSettings=whole, ResourceSettings=first) == 0
    here = f"localhost/root/virt:KVM_VirtualSystemSettingData.InstanceID=KVM:{name}"
    for part in parts[len(first) :]:
        more = {"AffectedConfiguration": here, "ResourceSettings": part}
        assert await client.call(service, "AddResourceSettings", **more) == 0


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__)
async def test_a_client_leads_a_guest_through_its_life(
    kind: type[Any], cim: Provider, daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    client: Client = kind(cim)
    (place / "disk.img").write_bytes(bytes(2**20))
    for name, source in (("kernel", guest_image.kernel), ("initrd", guest_image.initrd)):
        (place / name).write_bytes(source.read_bytes())
    (service,) = await cim.ask("EnumerateInstanceNames", MANAGEMENT)
    name = "led"
    whole = WHOLE.format(
        name=name, kernel=place / "kernel", initrd=place / "initrd", cmdline=guest_image.cmdline("idle")
    )
    parts = [part.replace("DISK", str(place / "disk.img")) for part in PARTS]

    async def ask_for(state: int) -> None:
        assert await client.call(guest(name), "RequestStateChange", RequestedState=str(state)) in (0, 4096), state

    await define(client, service, name, whole, parts)
    async with daemon.engine() as engine:
        watcher = await Watcher(engine).ready()
        await ask_for(ENABLED)
        for state in (QUIESCE, ENABLED, RESET):
            await ask_for(state)
            await becomes(client, name, ENABLED if state == RESET else state)
        await watcher.until("RebootEvent")
        watcher.close()
        await answers(engine, name)
        await ask_for(SHUT_DOWN)
        await becomes(client, name, DISABLED)
        await ask_for(ENABLED)
        await ask_for(DISABLED)
        await becomes(client, name, DISABLED)
        system = {
            ByPywbem: f"/root/virt:{local(guest(name))}",
            ByWbemcli: f"localhost/root/virt:{local(guest(name))}",
        }.get(kind, f"root/virt:{local(guest(name))}")
        assert await client.call(service, "DestroySystem", AffectedSystem=system) == 0
        assert not await engine.guests()
    await cim.world.settled()
    assert guest(name) not in await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")
