"""Guests made, changed and removed by settings, over CIM, beside an engine of mock guests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint16, Uint64

from frontinus.api.errors import NoSuchGuest
from frontinus.client.details import details
from frontinus_cim.host import jobs
from support.cim import Rig, rig

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
VSSD = "KVM_VirtualSystemSettingData"


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


def rasd(kind: str, **values: Any) -> CIMInstance:
    return CIMInstance(f"KVM_{kind}ResourceAllocationSettingData", values)


def whole(**values: Any) -> CIMInstance:
    return CIMInstance(VSSD, values)


MEMORY = rasd("Mem", ResourceType=Uint16(4), VirtualQuantity=Uint64(256), AllocationUnits="byte*2^20")
PROCESSORS = rasd("Proc", ResourceType=Uint16(3), VirtualQuantity=Uint64(2), Limit=Uint64(4))
DISK = rasd(
    "Disk",
    ResourceType=Uint16(17),
    Address="/var/lib/mock/x.img",
    VirtualDevice="vda",
    BusType="virtio",
    DriverType="qcow2",
)
PORT = rasd("Net", ResourceType=Uint16(10), NetworkType="user", Address="52:54:00:00:00:77", ResourceSubType="virtio")
SCREEN = rasd("Graphics", ResourceType=Uint16(24), ResourceSubType="vnc", Address="127.0.0.1:5917", KeyMap="de")


async def call(cim: Rig, method: str, **values: Any) -> tuple[int, Any]:
    (service,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemManagementService")
    value, outputs = await cim.ask("InvokeMethod", method, service, **values)
    return int(value), outputs


async def define(cim: Rig, name: str = "new", *more: CIMInstance | str) -> None:
    settings = whole(VirtualSystemIdentifier=name, Machine="q35", Arch="x86_64", EnableACPI=True)
    value, outputs = await call(
        cim, "DefineSystem", SystemSettings=settings, ResourceSettings=[MEMORY, PROCESSORS, *more]
    )
    assert value == 0 and outputs["ResultingSystem"]["Name"] == name


def part(kind: str, number: str) -> CIMInstanceName:
    return CIMInstanceName(f"KVM_{kind}ResourceAllocationSettingData", {"InstanceID": number}, namespace="root/virt")


async def test_a_guest_is_defined_by_its_settings_and_reads_back_the_same(cim: Rig) -> None:
    await define(cim, "new", DISK, PORT.tomof(), SCREEN)
    view = await cim.engine.guest("new")
    assert (view.memory, view.vcpus, view.max_vcpus, view.state) == (256 * 2**20, 2, 4, "shutoff")
    said = details(await cim.engine.guest_xml("new"))
    (disk,), (nic,), (screen,) = said.of("disk"), said.of("interface"), said.of("graphics")
    assert (disk["source/@file"], disk["driver/@type"], disk["target/@bus"]) == (
        "/var/lib/mock/x.img",
        "qcow2",
        "virtio",
    )
    assert (nic["@type"], nic["mac/@address"], nic["model/@type"]) == ("user", "52:54:00:00:00:77", "virtio")
    assert (screen["@port"], screen["@keymap"]) == ("5917", "de")
    for kind, number, given in (
        ("Disk", "new/vda", DISK),
        ("Net", "new/52:54:00:00:00:77", PORT),
        ("Graphics", "new/graphics:vnc", SCREEN),
    ):
        found = await cim.ask("GetInstance", part(kind, number))
        assert {name: found[name] for name in given} == dict(given.items()), kind


async def test_settings_are_added_changed_and_removed(cim: Rig) -> None:
    await define(cim)
    configuration = CIMInstanceName(VSSD, {"InstanceID": "KVM:new"}, namespace="root/virt")
    value, outputs = await call(
        cim, "AddResourceSettings", AffectedConfiguration=configuration, ResourceSettings=[DISK, PORT]
    )
    assert value == 0
    assert {p["InstanceID"] for p in outputs["ResultingResourceSettings"]} == {"new/vda", "new/52:54:00:00:00:77"}
    changes = [
        rasd("Mem", InstanceID="new/mem", VirtualQuantity=Uint64(512 * 1024)),
        rasd("Proc", InstanceID="new/proc", VirtualQuantity=Uint64(3)),
        rasd("Disk", InstanceID="new/vda", DriverCache="none"),
    ]
    assert (await call(cim, "ModifyResourceSettings", ResourceSettings=changes))[0] == 0
    view = await cim.engine.guest("new")
    assert (view.memory, view.vcpus) == (512 * 2**20, 3)
    assert details(await cim.engine.guest_xml("new")).of("disk")[0]["driver/@cache"] == "none"
    assert (await call(cim, "RemoveResourceSettings", ResourceSettings=[part("Disk", "new/vda")]))[0] == 0
    assert not details(await cim.engine.guest_xml("new")).of("disk")
    with pytest.raises(pywbem.CIMError) as gone:
        await cim.ask("GetInstance", part("Disk", "new/vda"))
    assert gone.value.status_code == pywbem.CIM_ERR_NOT_FOUND


async def test_a_guest_is_changed_as_a_whole_and_destroyed(cim: Rig) -> None:
    await define(cim)
    settings = whole(
        InstanceID="KVM:new",
        VirtualSystemIdentifier="other",
        AutoStart=Uint16(1),
        AutomaticRecoveryAction=Uint16(3),
        BootDevices=["network", "hd"],
        ClockOffset="localtime",
        EnableACPI=False,
        Description="for a test",
    )
    assert (await call(cim, "ModifySystemSettings", SystemSettings=settings))[0] == 0
    view = await cim.engine.guest("other")
    said = details(await cim.engine.guest_xml("other"))
    assert view.autostart and said["on_crash"] == "restart" and said["clock/@offset"] == "localtime"
    assert (said["os/boot/@dev"], said["os/boot#2/@dev"], said["description"]) == ("network", "hd", "for a test")
    assert "features/acpi" not in said.facts
    await cim.engine.start("other")
    system = CIMInstanceName(
        "KVM_ComputerSystem", {"CreationClassName": "KVM_ComputerSystem", "Name": "other"}, namespace="root/virt"
    )
    await cim.settled()
    assert (await call(cim, "DestroySystem", AffectedSystem=system))[0] == 0
    with pytest.raises(NoSuchGuest):
        await cim.engine.guest("other")


async def test_a_guest_is_made_after_another(cim: Rig) -> None:
    await define(cim, "first", DISK, PORT)
    like = CIMInstanceName(VSSD, {"InstanceID": "KVM:first"}, namespace="root/virt")
    settings = whole(VirtualSystemIdentifier="second")
    value, _ = await call(
        cim, "DefineSystem", SystemSettings=settings, ResourceSettings=[], ReferenceConfiguration=like
    )
    one, two = await cim.engine.guest("first"), await cim.engine.guest("second")
    assert value == 0 and one.uuid != two.uuid and one.memory == two.memory
    macs = [
        details(await cim.engine.guest_xml(name)).of("interface")[0]["mac/@address"] for name in ("first", "second")
    ]
    assert macs[0] != macs[1]


NAMED = {"VirtualSystemIdentifier": "x"}
CPU_OF_POWER = CIMInstance("CIM_ResourceAllocationSettingData", {"ResourceType": Uint16(28)})
WRONG: list[tuple[list[Any], dict[str, Any], str]] = [
    ([MEMORY], {}, "name the guest"),
    ([rasd("Mem")], NAMED, "memory"),
    ([MEMORY, rasd("Disk", Address="/x")], NAMED, "VirtualDevice"),
    ([rasd("Mem", VirtualQuantity=Uint64(1), AllocationUnits="parsec")], NAMED, "AllocationUnits"),
    ([MEMORY], {"VirtualSystemIdentifier": "a/b"}, "slash"),
    ([MEMORY], {**NAMED, "Machine": "nosuch"}, "machine"),
    ([CPU_OF_POWER], NAMED, "ResourceType"),
    (["instance of KVM_MemResourceAllocationSettingData { VirtualQuantity = "], NAMED, "VirtualQuantity"),
    (["<INSTANCE CLASSNAME='KVM_ComputerSystem'></INSTANCE>"], NAMED, "is no CIM_Resource"),
    (["<!DOCTYPE x><INSTANCE/>"], NAMED, "document type"),
]


async def test_settings_that_cannot_be_are_refused_by_name(cim: Rig) -> None:
    for resources, system, words in WRONG:
        with pytest.raises((pywbem.CIMError, pywbem.HTTPError)) as told:
            await call(cim, "DefineSystem", SystemSettings=whole(**system), ResourceSettings=resources)
        if isinstance(told.value, pywbem.CIMError):
            assert told.value.status_code in (pywbem.CIM_ERR_INVALID_PARAMETER, pywbem.CIM_ERR_NOT_SUPPORTED), system
        assert words in str(told.value), (words, told.value)
    assert [guest.name for guest in await cim.engine.guests()] == ["test"]


async def test_work_that_takes_long_becomes_a_job(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE", 0.0)
    settings = whole(VirtualSystemIdentifier="slow")
    value, outputs = await call(cim, "DefineSystem", SystemSettings=settings, ResourceSettings=[MEMORY])
    assert value == 4096
    async with asyncio.timeout(60):
        while True:
            job = await cim.ask("GetInstance", outputs["Job"])
            if job["JobState"] == 7:
                break
            await asyncio.sleep(0.02)
    assert (job["PercentComplete"], job["Owner"], job["ErrorCode"]) == (100, "admin", 0)
    (about,) = await cim.ask("Associators", outputs["Job"], AssocClass="CIM_AffectedJobElement")
    assert about["Name"] == "slow"
    value, outputs = await call(
        cim,
        "DefineSystem",
        SystemSettings=whole(VirtualSystemIdentifier="bad", Machine="nosuch"),
        ResourceSettings=[MEMORY],
    )
    async with asyncio.timeout(60):
        while True:
            if (await cim.ask("GetInstance", outputs["Job"]))["JobState"] == 10:
                break
            await asyncio.sleep(0.02)
    value, errors = await cim.ask("InvokeMethod", "GetErrors", outputs["Job"])
    assert value == 0 and errors["Errors"][0]["CIMStatusCode"] in (4, 7)
