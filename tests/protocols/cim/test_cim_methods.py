"""Every extrinsic method, one row each, in the order of a life: it works, or it answers what the capabilities say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint16, Uint32, Uint64

from frontinus.api.errors import NoSuchGuest
from frontinus_cim.host import jobs
from frontinus_cim.instances import bounds
from frontinus_cim.methods.calls import METHODS, READING
from support.cim import Rig, rig
from support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
NOT_SUPPORTED = 1
MANAGEMENT, POOLS = "KVM_VirtualSystemManagementService", "KVM_ResourcePoolConfigurationService"
SNAPSHOTS, MIGRATION = "KVM_VirtualSystemSnapshotService", "KVM_VirtualSystemMigrationService"
METRICS, SWITCHES = "KVM_MetricService", "KVM_VirtualEthernetSwitchManagementService"


def name(cls: str, **keys: str) -> CIMInstanceName:
    return CIMInstanceName(f"KVM_{cls}", keys, namespace="root/virt")


def guest(of: str = "made") -> CIMInstanceName:
    return name("ComputerSystem", CreationClassName="KVM_ComputerSystem", Name=of)


def settings(kind: str, **values: Any) -> CIMInstance:
    return CIMInstance(f"KVM_{kind}", values)


def rasd(kind: str, **values: Any) -> CIMInstance:
    return settings(f"{kind}ResourceAllocationSettingData", **values)


@dataclass(frozen=True)
class Row:
    """A method, what it is called on (the one instance of a class, else a path), with what, and what comes of it."""

    on: str | CIMInstanceName
    method: str
    given: dict[str, Any]
    value: int = 0
    then: Callable[[Rig, Any], Awaitable[None]] | None = None


# --- what comes of them


async def defined(cim: Rig, out: Any) -> None:
    assert out["ResultingSystem"]["Name"] == "made" and (await cim.engine.guest("made")).memory == 256 * 2**20


async def added(cim: Rig, out: Any) -> None:
    assert [path["InstanceID"] for path in out["ResultingResourceSettings"]] == ["made/vda"]


async def grown(cim: Rig, out: Any) -> None:
    assert (await cim.engine.guest("made")).memory == 512 * 2**20


async def described(cim: Rig, out: Any) -> None:
    assert "<description>of rows</description>" in await cim.engine.guest_xml("made")


async def started(cim: Rig, out: Any) -> None:
    assert (await cim.engine.guest("made")).state == "running"


async def snapshotted(cim: Rig, out: Any) -> None:
    (there,) = await cim.engine.snapshots("made")
    assert there.name == "first" and out["ResultingSnapshot"]["InstanceID"] == "KVM:made/snapshot/first"
    (last,) = await cim.ask("AssociatorNames", guest(), AssocClass="CIM_LastAppliedSnapshot")
    (of,) = await cim.ask("AssociatorNames", last, AssocClass="CIM_SnapshotOfVirtualSystem")
    assert last == out["ResultingSnapshot"] and of["Name"] == "made"
    await cim.engine.suspend("made")


async def applied(cim: Rig, out: Any) -> None:
    assert (await cim.engine.guest("made")).state == "running", "as it was when the snapshot was made"


async def no_snapshot(cim: Rig, out: Any) -> None:
    assert not await cim.engine.snapshots("made")
    assert not await cim.ask("AssociatorNames", guest(), AssocClass="CIM_SnapshotOfVirtualSystem")


async def movable(cim: Rig, out: Any) -> None:
    assert "IsMigratable" in out


async def pooled(cim: Rig, out: Any) -> None:
    assert out["Pool"]["InstanceID"] == "DiskPool/rows"
    pool = await cim.ask("GetInstance", out["Pool"])
    assert (pool["Path"], pool["ResourceSubType"], pool["OperationalStatus"]) == ("/rows", "dir", [2])
    view = await cim.engine.pool("rows")
    assert view.active and view.autostart


async def networked(cim: Rig, out: Any) -> None:
    assert out["Pool"]["InstanceID"] == "NetworkPool/lan" and (await cim.engine.network("lan")).active
    said = await cim.ask("GetInstance", name("NetPoolResourceAllocationSettingData", InstanceID="NetworkPool/lan"))
    assert (said["Address"], said["Netmask"], said["IPRangeStart"]) == ("10.77.0.1", "255.255.255.0", "10.77.0.9")


async def volumes(cim: Rig, out: Any) -> None:
    assert [v.name for v in await cim.engine.volumes("rows")] == ["one.img"] and out["Resource"] == "/rows/one.img"
    found = await cim.ask("EnumerateInstances", "KVM_StorageVolume")
    assert [v["DeviceID"] for v in found] == ["DiskPool/rows/one.img"]


async def no_volumes(cim: Rig, out: Any) -> None:
    assert not await cim.engine.volumes("rows") and not await cim.ask("EnumerateInstances", "KVM_StorageVolume")


async def no_pool(cim: Rig, out: Any) -> None:
    assert {pool.name for pool in await cim.engine.pools()} == {"default-pool"}
    with pytest.raises(pywbem.CIMError):
        await cim.ask("GetInstance", name("DiskPool", InstanceID="DiskPool/rows"))


async def bare(cim: Rig, out: Any) -> None:
    found = await cim.ask("EnumerateInstanceNames", "KVM_DiskResourceAllocationSettingData")
    assert {p["InstanceID"].rpartition("/")[2] for p in found} == set(bounds.RANGES), "of no guest: what pools give"


async def gone(cim: Rig, out: Any) -> None:
    with pytest.raises(NoSuchGuest):
        await cim.engine.guest("made")


async def switched(cim: Rig, out: Any) -> None:
    assert out["ResultingSystem"].keybindings == LANE.keybindings
    network = await cim.engine.network("lane")
    assert (network.active, network.autostart, network.bridge, network.forward) == (False, True, "virbr78", "nat")
    assert "<ip address='10.78.0.1' netmask='255.255.255.0'" in await cim.engine.network_xml("lane")


async def up(cim: Rig, out: Any) -> None:
    assert (await cim.engine.network("lane")).active
    assert (await cim.ask("GetInstance", LANE))["EnabledState"] == 2


async def plugged(cim: Rig, out: Any) -> None:
    assert [path["InstanceID"] for path in out["ResultingResourceSettings"]] == [f"Switch:lane/made/{MAC}"]
    assert [port.mac for port in await cim.engine.network_ports("lane")] == [MAC]
    for live in ([], ["inactive"]):
        xml = await cim.engine.guest_xml("made", live)  # type: ignore[arg-type]
        assert MAC in xml and "<outbound average='2000'/>" in xml and "network='lane'" in xml


async def slower(cim: Rig, out: Any) -> None:
    """8 Mbit/s are 1000 kilobytes a second."""
    assert "<outbound average='1000'/>" in await cim.engine.guest_xml("made")
    assert (await cim.ask("GetInstance", out["ResultingResourceSettings"][0]))["Limit"] == 1000


async def unplugged(cim: Rig, out: Any) -> None:
    assert not await cim.engine.network_ports("lane") and MAC not in await cim.engine.guest_xml("made", ["inactive"])


async def rewired(cim: Rig, out: Any) -> None:
    assert "lane.example" not in await cim.engine.network_xml("lane")
    later = await cim.engine.network_xml("lane", inactive=True)
    assert "<domain name='lane.example'/>" in later and "<mtu size='9000'/>" in later
    now, then = [
        await cim.ask("GetInstance", name("VirtualEthernetSwitchSettingData", InstanceID=f"Switch:lane{more}"))
        for more in ("", "/defined")
    ]
    assert (now["DomainName"], then["DomainName"], then["MTU"]) == (None, "lane.example", 9000)


async def switchless(cim: Rig, out: Any) -> None:
    assert [network.name for network in await cim.engine.networks()] == ["default", "lan"]


async def shown(cim: Rig, out: Any) -> None:
    assert "CPUTime" in out["MetricNames"]


MEMORY = rasd("Mem", VirtualQuantity=Uint64(256), AllocationUnits="byte*2^20")
DISK = rasd("Disk", Address="/rows/one.img", VirtualDevice="vda", BusType="virtio")
HERE = name("VirtualSystemSettingData", InstanceID="KVM:made")
POOL = name("DiskPool", InstanceID="DiskPool/rows")
SNAPSHOT = name("VirtualSystemSnapshotSettingData", InstanceID="KVM:made/snapshot/first")
TO_HOST = {"ComputerSystem": guest(), "DestinationHost": "other.example.org"}
OTHER = name("HostSystem", CreationClassName="KVM_HostSystem", Name="other")
TO_SYSTEM = {"ComputerSystem": guest(), "DestinationSystem": OTHER}
ADDRESSES = {
    "Address": "10.77.0.1",
    "Netmask": "255.255.255.0",
    "IPRangeStart": "10.77.0.9",
    "IPRangeEnd": "10.77.0.99",
}
LAN = rasd("NetPool", ForwardMode="nat", **ADDRESSES)
NEW = settings("VirtualSystemSettingData", VirtualSystemIdentifier="made", Machine="q35", Arch="x86_64")
TEXT = settings("VirtualSystemSettingData", InstanceID="KVM:made", Description="of rows")
MORE = rasd("Mem", InstanceID="made/mem", VirtualQuantity=Uint64(2**19))
DIRECTORY = rasd("DiskPool", Path="/rows", Type=Uint16(1))
FIRST = settings("VirtualSystemSnapshotSettingData", ElementName="first")
FULL = {"AffectedSystem": guest(), "SnapshotType": Uint16(2), "SnapshotSettings": FIRST}
VOLUME = rasd("StorageVolume", VolumeName="one.img", Capacity=Uint64(2**20), Allocation=Uint64(0), FormatType="raw")
ADDED = name("DiskResourceAllocationSettingData", InstanceID="made/vda")
DEFINITION = CIMInstanceName("KVM_BaseMetricDefinition", {"Id": "Frontinus:CPUTime"}, namespace="root/virt")
WIRED = settings("VirtualEthernetSwitchSettingData", VirtualSystemIdentifier="lane", ForwardMode="nat", BridgeName="virbr78",
                 Address="10.78.0.1", Netmask="255.255.255.0", AutomaticStartupAction=Uint16(4))  # fmt: skip
REWIRED = settings(
    "VirtualEthernetSwitchSettingData", InstanceID="Switch:lane/defined", DomainName="lane.example", MTU=Uint32(9000)
)
LANE = name("VirtualEthernetSwitch", CreationClassName="KVM_VirtualEthernetSwitch", Name="lane")
WIRING = name("VirtualEthernetSwitchSettingData", InstanceID="Switch:lane")
MAC = "52:54:00:00:78:01"
PLUG = settings("EthernetSwitchPortSettingData", Connection=["made"], Address=MAC, Limit=Uint64(2000))
SLOWER = settings("EthernetSwitchPortSettingData", InstanceID=f"Switch:lane/made/{MAC}", Limit=Uint64(8),
                  AllocationUnits="bit / second * 10^6")  # fmt: skip
PLUGGED = name("EthernetSwitchPortSettingData", InstanceID=f"Switch:lane/made/{MAC}")
SCREEN = """<domain type='qemu'><name>seen</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><graphics type='vnc' port='5907' listen='127.0.0.1'/></devices></domain>"""
ROWS = [
    Row(MANAGEMENT, "DefineSystem", {"SystemSettings": NEW, "ResourceSettings": [MEMORY]}, then=defined),
    Row(MANAGEMENT, "ModifyResourceSettings", {"ResourceSettings": [MORE]}, then=grown),
    Row(MANAGEMENT, "ModifySystemSettings", {"SystemSettings": TEXT}, then=described),
    Row(POOLS, "CreateChildResourcePool", {"ElementName": "rows", "Settings": [DIRECTORY]}, then=pooled),
    Row(POOLS, "CreateChildResourcePool", {"ElementName": "lan", "Settings": [LAN]}, then=networked),
    Row(POOLS, "CreateResourceInPool", {"Pool": POOL, "Settings": VOLUME}, then=volumes),
    Row(POOLS, "RefreshResourcesInPool", {"Pool": POOL}),
    Row(MANAGEMENT, "AddResourceSettings", {"AffectedConfiguration": HERE, "ResourceSettings": [DISK]}, then=added),
    Row(MANAGEMENT, "RemoveResourceSettings", {"ResourceSettings": [ADDED]}, then=bare),
    Row(guest(), "RequestStateChange", {"RequestedState": Uint16(2)}, then=started),
    Row(SWITCHES, "DefineSystem", {"SystemSettings": WIRED}, then=switched),
    Row(LANE, "RequestStateChange", {"RequestedState": Uint16(2)}, then=up),
    Row(SWITCHES, "AddResourceSettings", {"AffectedConfiguration": WIRING, "ResourceSettings": [PLUG]}, then=plugged),
    Row(SWITCHES, "ModifyResourceSettings", {"ResourceSettings": [SLOWER]}, then=slower),
    Row(SWITCHES, "RemoveResourceSettings", {"ResourceSettings": [PLUGGED]}, then=unplugged),
    Row(SWITCHES, "ModifySystemSettings", {"SystemSettings": REWIRED}, then=rewired),
    Row(SWITCHES, "DestroySystem", {"AffectedSystem": LANE}, then=switchless),
    Row(SNAPSHOTS, "CreateSnapshot", FULL, then=snapshotted),
    Row(SNAPSHOTS, "ApplySnapshot", {"Snapshot": SNAPSHOT}, then=applied),
    Row(SNAPSHOTS, "DestroySnapshot", {"AffectedSnapshot": SNAPSHOT}, then=no_snapshot),
    Row(MIGRATION, "CheckVirtualSystemIsMigratableToHost", TO_HOST, then=movable),
    Row(MIGRATION, "CheckVirtualSystemIsMigratableToSystem", TO_SYSTEM, then=movable),
    Row(MIGRATION, "MigrateVirtualSystemToHost", TO_HOST, NOT_SUPPORTED),
    Row(MIGRATION, "MigrateVirtualSystemToSystem", TO_SYSTEM, NOT_SUPPORTED),
    Row(MIGRATION, "MigrateSSHKeyCopy", {"SSH_Key_Src": "/x"}, NOT_SUPPORTED),
    Row(MIGRATION, "MigrateSSHKeyDelete", {"SSH_Key_Src": "/x"}, NOT_SUPPORTED),
    Row(METRICS, "ShowMetrics", {"Subject": guest()}, then=shown),
    Row(METRICS, "ShowMetricsByClass", {"Subject": guest()}, NOT_SUPPORTED),
    Row(METRICS, "ControlMetrics", {"Subject": guest(), "MetricCollectionEnabled": Uint16(2)}, NOT_SUPPORTED),
    Row(METRICS, "GetMetricValues", {"Definition": DEFINITION, "Range": Uint16(2), "Count": Uint16(1)}, NOT_SUPPORTED),
    Row("KVM_ConsoleRedirectionService", "RequestStateChange", {"RequestedState": Uint16(3)}, NOT_SUPPORTED),
    Row(POOLS, "CreateResourcePool", {"ElementName": "x"}, NOT_SUPPORTED),
    Row(POOLS, "AddResourcesToResourcePool", {"Pool": POOL}, NOT_SUPPORTED),
    Row(POOLS, "RemoveResourcesFromResourcePool", {"Pool": POOL}, NOT_SUPPORTED),
    Row(POOLS, "DeleteResourceInPool", {"Pool": POOL, "Resource": rasd("StorageVolume", VolumeName="one.img")}, then=no_volumes),
    Row(POOLS, "DeleteResourcePool", {"Pool": name("NetworkPool", InstanceID="NetworkPool/lan")}),
    Row(POOLS, "DeleteResourcePool", {"Pool": POOL}, then=no_pool),
    Row(MANAGEMENT, "DestroySystem", {"AffectedSystem": guest()}, then=gone),
]  # fmt: skip


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


async def test_every_method_in_the_order_of_a_life(cim: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Each is refused to a monitor unless it only reads, and each call of it is in the audit log with who made it."""
    caplog.set_level(logging.INFO, "frontinus.audit")
    for row in ROWS:
        on = row.on
        if isinstance(on, str):
            (on,) = await cim.ask("EnumerateInstanceNames", on)
        caplog.clear()
        try:
            await cim.ask("InvokeMethod", row.method, on, user="eye", **row.given)
        except pywbem.CIMError as denied:
            assert denied.status_code == pywbem.CIM_ERR_ACCESS_DENIED, (row.method, denied)
            assert METHODS[on.classname, row.method] not in READING
        else:
            assert METHODS[on.classname, row.method] in READING, f"{row.method} was not refused"
        try:
            value, out = await cim.ask("InvokeMethod", row.method, on, **row.given)
        except pywbem.Error as error:
            raise AssertionError(f"{row.method}: {error}") from error
        assert value == row.value, (row.method, value)
        said = [record.getMessage() for record in caplog.records if record.name == "frontinus.audit"]
        assert f"cim user=admin operation={on.classname}.{row.method} allowed=True" in said, said
        assert sum("cim user=eye" in line for line in said) == 1
        if row.then is not None:
            await row.then(cim, out)


ELSEWHERE = {
    ("CIM_ConcreteJob", "RequestStateChange"), ("CIM_ConcreteJob", "GetErrors"), ("CIM_RegisteredProfile", "GetCentralInstances"),
    ("KVM_KVMRedirectionSAP", "RequestStateChange"),
}  # fmt: skip
"""Methods of what no row makes: `test_jobs_profiles_and_displays_have_methods_too`."""


LIBVIRT_CIM = {
    "KVM_ComputerSystem": ["RequestStateChange"],
    MANAGEMENT: ["DefineSystem", "DestroySystem", "AddResourceSettings", "ModifyResourceSettings", "ModifySystemSettings",
                 "RemoveResourceSettings"],
    POOLS: ["CreateChildResourcePool", "DeleteResourcePool", "CreateResourceInPool", "DeleteResourceInPool",
            "RefreshResourcesInPool", "CreateResourcePool", "AddResourcesToResourcePool", "RemoveResourcesFromResourcePool"],
    MIGRATION: ["CheckVirtualSystemIsMigratableToHost", "CheckVirtualSystemIsMigratableToSystem", "MigrateVirtualSystemToHost",
                "MigrateVirtualSystemToSystem", "MigrateSSHKeyCopy", "MigrateSSHKeyDelete"],
    SNAPSHOTS: ["CreateSnapshot", "DestroySnapshot", "ApplySnapshot"],
}  # fmt: skip
"""The methods that libvirt-cim has, by class."""
REFUSED = {
    "CreateResourcePool", "AddResourcesToResourcePool", "RemoveResourcesFromResourcePool",  # there too
    "MigrateVirtualSystemToHost", "MigrateVirtualSystemToSystem", "MigrateSSHKeyCopy", "MigrateSSHKeyDelete",  # not yet
}  # fmt: skip
"""Those of them that answer Not Supported."""


def test_each_method_of_libvirt_cim_has_a_row_and_works_but_those_that_say_so() -> None:
    answers = {(row.on if isinstance(row.on, str) else row.on.classname, row.method): row.value for row in ROWS}
    found = {(cls, method): answers[cls, method] for cls, methods in LIBVIRT_CIM.items() for method in methods}
    assert found == {(cls, method): NOT_SUPPORTED * (method in REFUSED) for cls, method in found}


def test_no_method_is_without_a_row() -> None:
    rows = {(row.on if isinstance(row.on, str) else row.on.classname, row.method) for row in ROWS}
    assert rows | ELSEWHERE == set(METHODS)


async def test_capabilities_name_the_methods_that_work(cim: Rig) -> None:
    """What is in SynchronousMethodsSupported answers something else than Not Supported, and the others that."""
    works, seen = {(row.on, row.method): row.value != NOT_SUPPORTED for row in ROWS if isinstance(row.on, str)}, 0
    for service in (MANAGEMENT, SWITCHES, POOLS, SNAPSHOTS, MIGRATION):
        (path,) = await cim.ask("EnumerateInstanceNames", service)
        (able,) = await cim.ask("Associators", path, AssocClass="CIM_ElementCapabilities")
        declared = cim.service.schema[able.classname].by_name["synchronousmethodssupported"]
        words, numbers = declared.qualifier("Values"), declared.qualifier("ValueMap")
        assert isinstance(words, list) and isinstance(numbers, list)
        for number, word in zip(numbers, words, strict=True):
            method = str(word).replace(" ", "").removesuffix("Supported").removesuffix("issupported")
            if (service, method) in works:
                seen += 1
                assert works[service, method] == (int(str(number)) in able["SynchronousMethodsSupported"]), (
                    service,
                    method,
                )
    assert seen > 12


@pytest.mark.parametrize("cls", ["KVM_HostSystem", MANAGEMENT, "KVM_IndicationService"])
async def test_what_the_schema_has_and_nobody_offers_is_not_available(cim: Rig, cls: str) -> None:
    space = "root/interop" if cls == "KVM_IndicationService" else "root/virt"
    (path,) = await cim.ask("EnumerateInstanceNames", cls, namespace=space)
    with pytest.raises(pywbem.CIMError) as told:
        await cim.ask("InvokeMethod", "RequestStateChange", path, namespace=space, RequestedState=Uint16(3))
    assert told.value.status_code == pywbem.CIM_ERR_METHOD_NOT_AVAILABLE


async def test_jobs_profiles_and_displays_have_methods_too(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = (await cim.ask("EnumerateInstanceNames", "CIM_RegisteredProfile", namespace="root/interop"))[0]
    value, out = await cim.ask("InvokeMethod", "GetCentralInstances", profile, namespace="root/interop", user="eye")
    assert value == 0 and out["CentralInstances"]
    await cim.engine.define(SCREEN)
    await cim.settled()
    (display,) = await cim.ask("EnumerateInstanceNames", "KVM_KVMRedirectionSAP")
    assert (await cim.ask("InvokeMethod", "RequestStateChange", display, RequestedState=Uint16(3)))[0] == NOT_SUPPORTED
    monkeypatch.setattr(jobs, "PATIENCE", 0.0)
    (service,) = await cim.ask("EnumerateInstanceNames", POOLS)

    async def held(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("frontinus_cim.methods.pools._refresh", held)
    pool = name("DiskPool", InstanceID="DiskPool/default-pool")
    value, out = await cim.ask("InvokeMethod", "RefreshResourcesInPool", service, Pool=pool)
    assert value == 4096
    assert (await cim.ask("InvokeMethod", "RequestStateChange", out["Job"], RequestedState=Uint16(2)))[0] == 5
    assert (await cim.ask("InvokeMethod", "RequestStateChange", out["Job"], RequestedState=Uint16(4)))[0] == 0
    await until(lambda: all(job.state == jobs.TERMINATED for job in cim.world.jobs.all()))
    assert (await cim.ask("InvokeMethod", "RequestStateChange", out["Job"], RequestedState=Uint16(4)))[0] == 4097
    value, errors = await cim.ask("InvokeMethod", "GetErrors", out["Job"], user="eye")
    assert value == 0 and not errors.get("Errors")
    await cim.ask("DeleteInstance", out["Job"])
    assert not cim.world.jobs.jobs
