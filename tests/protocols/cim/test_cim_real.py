"""A real QEMU guest seen and led by CIM clients."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pywbem

from guest_image import GuestImage
from support import traces
from support.cim import Provider, provider
from support.cim_listener import Listener, subscribe
from support.real import daemon, guest_image, place
from support.real_console import answers
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
    async with asyncio.timeout(60):
        while True:
            if any(path["Name"] == "shown" for path in await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")):
                return
            await asyncio.sleep(0.05)


def of_settings(image: dict[str, str]) -> tuple[pywbem.CIMInstance, list[pywbem.CIMInstance]]:
    """The settings that a guest is made of: of the whole, and of its resources."""
    system = {
        "VirtualSystemIdentifier": "shown", "VirtualSystemType": "QEMU", "Machine": "q35", "Arch": "x86_64", "EnableACPI": True,
        "Kernel": image["kernel"], "Ramdisk": image["initrd"], "CommandLine": image["cmdline"],
    }  # fmt: skip
    resources: dict[str, dict[str, object]] = {
        "Mem": {"VirtualQuantity": pywbem.Uint64(192), "AllocationUnits": "byte*2^20"},
        "Proc": {"VirtualQuantity": pywbem.Uint64(1)},
        "Disk": {"Address": image["disk"], "VirtualDevice": "vda", "BusType": "virtio"},
        "Console": {"SourceType": "pty"},
    }
    return pywbem.CIMInstance("KVM_VirtualSystemSettingData", system), [
        pywbem.CIMInstance(f"KVM_{kind}ResourceAllocationSettingData", values) for kind, values in resources.items()]  # fmt: skip


async def test_a_guest_of_settings_boots_and_its_crash_is_told(
    cim: Provider, daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    """DefineSystem, start, a crash of the hypervisor: the indication of it reaches a listener."""
    listener = Listener()
    try:
        await subscribe(cim, listener.url, "SELECT * FROM CIM_AlertIndication WHERE EventID = 'crashed'")
        (service,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemManagementService")
        whole, parts = of_settings(files(place, guest_image))
        value, out = await cim.ask(
            "InvokeMethod", "DefineSystem", service, SystemSettings=whole, ResourceSettings=parts
        )
        assert value == 0 and out["ResultingSystem"]["Name"] == "shown"
        assert await ask_for(cim, 2) in (0, 4096)
        await becomes(cim, 2)
        async with daemon.engine() as engine:
            await answers(engine, "shown")
            os.kill(traces.qemu(place), signal.SIGKILL)
        told = await listener.next("KVM_AlertIndication")
        assert told["EventID"] == "crashed"
        assert 'Name="shown"' in told["AlertingManagedElement"]
        await becomes(cim, 3)
        value, _ = await cim.ask("InvokeMethod", "DestroySystem", service, AffectedSystem=GUEST)
        assert value == 0
    finally:
        await asyncio.to_thread(listener.stop)


async def test_pools_volumes_and_snapshots_of_a_real_guest(cim: Provider, daemon: Daemon, place: Path) -> None:
    """A pool, a volume in it, a guest on that, a snapshot with its memory and one of its disk: all by methods, for real."""
    (pools,) = await cim.ask("EnumerateInstanceNames", "KVM_ResourcePoolConfigurationService")
    (snapshots,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemSnapshotService")
    (place / "pool").mkdir(mode=0o711)

    async def call(service: pywbem.CIMInstanceName, method: str, **given: object) -> dict[str, object]:
        value, out = await cim.ask("InvokeMethod", method, service, **given)
        assert value == 0, (method, value)
        return dict(out)

    directory = pywbem.CIMInstance(
        "KVM_DiskPoolResourceAllocationSettingData", {"Path": str(place / "pool"), "Type": pywbem.Uint16(1)}
    )
    pool = (await call(pools, "CreateChildResourcePool", ElementName="real", Settings=[directory]))["Pool"]
    volume = pywbem.CIMInstance("KVM_StorageVolumeResourceAllocationSettingData", {
        "VolumeName": "disk.qcow2", "Capacity": pywbem.Uint64(8 * 2**20), "FormatType": "qcow2"})  # fmt: skip
    path = str((await call(pools, "CreateResourceInPool", Pool=pool, Settings=volume))["Resource"])
    assert Path(path).read_bytes()[:4] == b"QFI\xfb"
    (place / "pool/found.img").write_bytes(bytes(2**20))
    await call(pools, "RefreshResourcesInPool", Pool=pool)
    names = [v["DeviceID"] for v in await cim.ask("EnumerateInstances", "KVM_StorageVolume")]
    assert sorted(names) == ["DiskPool/real/disk.qcow2", "DiskPool/real/found.img"]
    async with daemon.engine() as engine:
        await engine.define(
            XML.format(kernel="", initrd="", cmdline="", disk=path).replace("type='raw'", "type='qcow2'")
        )
        await becomes_known(cim)
        assert await ask_for(cim, 2) in (0, 4096)
        full = {"AffectedSystem": GUEST, "SnapshotType": pywbem.Uint16(2), "SnapshotSettings": named_snapshot("full")}
        await call(snapshots, "CreateSnapshot", **full)
        assert [(s.name, s.memory) for s in await engine.snapshots("shown")] == [("full", "internal")]
        (last,) = await cim.ask("AssociatorNames", GUEST, AssocClass="KVM_LastAppliedSnapshot")
        assert await ask_for(cim, 9) == 0
        await call(snapshots, "ApplySnapshot", Snapshot=last)
        await becomes(cim, 2)
        disk = {**full, "SnapshotType": pywbem.Uint16(3), "SnapshotSettings": named_snapshot("disk")}
        await call(snapshots, "CreateSnapshot", **disk)
        found = await cim.ask("AssociatorNames", GUEST, AssocClass="KVM_SnapshotOfVirtualSystem")
        assert {p["InstanceID"] for p in found} == {"KVM:shown/snapshot/full", "KVM:shown/snapshot/disk"}
        await ask_for(cim, 3)
        await becomes(cim, 3)
        for one in sorted(found, key=lambda p: str(p["InstanceID"])):
            await call(snapshots, "DestroySnapshot", AffectedSnapshot=one)
        assert not await engine.snapshots("shown")
        await engine.undefine("shown")
    gone = pywbem.CIMInstance("KVM_StorageVolumeResourceAllocationSettingData", {"VolumeName": "disk.qcow2"})
    await call(pools, "DeleteResourceInPool", Pool=pool, Resource=gone)
    assert not Path(path).exists()
    await call(pools, "DeleteResourcePool", Pool=pool)
    assert not await cim.ask("EnumerateInstances", "KVM_StorageVolume") and (place / "pool/found.img").exists()


def named_snapshot(name: str) -> pywbem.CIMInstance:
    return pywbem.CIMInstance("KVM_VirtualSystemSnapshotSettingData", {"ElementName": name})
