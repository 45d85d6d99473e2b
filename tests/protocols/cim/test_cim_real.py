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
from support.ports import free_port
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


async def test_a_guest_of_settings_boots_and_its_crash_is_told(
    cim: Provider, daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    """DefineSystem, start, a crash of the hypervisor: the indication of it reaches a listener."""
    heard: asyncio.Queue[pywbem.CIMInstance] = asyncio.Queue()
    loop, port = asyncio.get_running_loop(), free_port()
    listener = pywbem.WBEMListener("127.0.0.1", http_port=port)
    listener.add_callback(lambda found, host: loop.call_soon_threadsafe(heard.put_nowait, found))
    listener.start()
    try:
        made = []
        for cls, values in (
            (
                "CIM_IndicationFilter",
                {"Name": "f", "Query": "SELECT * FROM CIM_AlertIndication", "QueryLanguage": "WQL"},
            ),
            ("CIM_ListenerDestinationCIMXML", {"Name": "d", "Destination": f"http://127.0.0.1:{port}"}),
        ):
            made.append(await cim.ask("CreateInstance", pywbem.CIMInstance(cls, values), namespace="root/interop"))
        subscription = pywbem.CIMInstance("CIM_IndicationSubscription", {"Filter": made[0], "Handler": made[1]})
        await cim.ask("CreateInstance", subscription, namespace="root/interop")
        image = files(place, guest_image)
        whole = pywbem.CIMInstance(
            "KVM_VirtualSystemSettingData",
            {
                "VirtualSystemIdentifier": "shown",
                "VirtualSystemType": "QEMU",
                "Machine": "q35",
                "Arch": "x86_64",
                "EnableACPI": True,
                "Kernel": image["kernel"],
                "Ramdisk": image["initrd"],
                "CommandLine": image["cmdline"],
            },
        )
        amount = {"VirtualQuantity": pywbem.Uint64(192), "AllocationUnits": "byte*2^20"}
        disk = {"Address": image["disk"], "VirtualDevice": "vda", "BusType": "virtio"}
        resources = [
            pywbem.CIMInstance(f"KVM_{kind}ResourceAllocationSettingData", values)
            for kind, values in (
                ("Mem", amount),
                ("Proc", {"VirtualQuantity": pywbem.Uint64(1)}),
                ("Disk", disk),
                ("Console", {"SourceType": "pty"}),
            )
        ]
        (service,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemManagementService")
        value, out = await cim.ask(
            "InvokeMethod", "DefineSystem", service, SystemSettings=whole, ResourceSettings=resources
        )
        assert value == 0 and out["ResultingSystem"]["Name"] == "shown"
        assert await ask_for(cim, 2) in (0, 4096)
        await becomes(cim, 2)
        async with daemon.engine() as engine:
            await answers(engine, "shown")
            pids = [
                pid for pid, argv in traces.processes(str(place)).items() if argv.startswith("/usr/bin/qemu-system")
            ]
            os.kill(pids[0], signal.SIGKILL)
        async with asyncio.timeout(60):
            told = await heard.get()
        assert (told.classname, told["EventID"]) == ("KVM_AlertIndication", "crashed")
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
