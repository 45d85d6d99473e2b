"""Settings of a running guest beside those of its next start (DSP1057: state and defined configuration)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.cim import Rig, rig

XML = """<domain type='qemu'><name>two</name><memory>65536</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><disk type='file'><source file='/var/tmp/a.img'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""
DISK = "<disk type='file'><source file='/var/tmp/{0}.img'/><target dev='{0}' bus='virtio'/></disk>"
VSSD, RASD = "KVM_VirtualSystemSettingData", "KVM_DiskResourceAllocationSettingData"
SERVICE = "KVM_VirtualSystemManagementService"


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        await made.engine.define(XML)
        await made.settled()
        yield made


async def ids(cim: Rig, cls: str) -> list[str]:
    found = await cim.ask("EnumerateInstanceNames", cls)
    return sorted(path["InstanceID"] for path in found if "two" in path["InstanceID"])


async def at(cim: Rig, cls: str, number: str) -> Any:
    return next(path for path in await cim.ask("EnumerateInstanceNames", cls) if path["InstanceID"] == number)


async def when(cim: Rig, cls: str, number: str, role: str = "ManagedElement") -> dict[str, tuple[int, int, int]]:
    """By the id of the settings that those of `number` lead to: whether they count now, next, by default."""
    found = await cim.ask("References", await at(cim, cls, number), ResultClass="CIM_ElementSettingData", Role=role)
    return {r["SettingData"]["InstanceID"]: (r["IsCurrent"], r["IsNext"], r["IsDefault"]) for r in found}


async def test_settings_of_a_guest_that_is_off_are_its_state_and_its_next_start(cim: Rig) -> None:
    assert await ids(cim, VSSD) == ["KVM:two"] and await ids(cim, RASD) == ["two/vda"]
    assert await when(cim, VSSD, "KVM:two") == {"KVM:two": (1, 1, 1)}
    assert await when(cim, RASD, "two/vda") == {"two/vda": (1, 1, 1)}


async def test_the_emulator_is_the_one_that_the_definition_names(cim: Rig) -> None:
    xml = await cim.engine.guest_xml("two")
    (whole,) = [i for i in await cim.ask("EnumerateInstances", VSSD) if i["InstanceID"] == "KVM:two"]
    assert whole["Emulator"] and f"<emulator>{whole['Emulator']}</emulator>" in xml


async def test_a_running_guest_has_settings_of_its_own_for_the_next_start(cim: Rig) -> None:
    await cim.engine.start("two")
    await cim.engine.attach_device("two", DISK.format("vdb"), live=True, config=False)
    await cim.engine.attach_device("two", DISK.format("vdc"), live=False, config=True)
    await cim.engine.set_vcpus("two", 1, live=False, config=True)
    await cim.settled()
    assert await ids(cim, VSSD) == ["KVM:two", "KVM:two/defined"]
    assert await ids(cim, RASD) == ["two/defined/vda", "two/defined/vdc", "two/vda", "two/vdb"]
    assert await when(cim, VSSD, "KVM:two") == {"KVM:two/defined": (2, 1, 1)}
    assert await when(cim, RASD, "two/vda") == {"two/defined/vda": (2, 1, 1)}
    assert await when(cim, RASD, "two/vdb") == {}, "a disk that was only plugged in has no next"
    processors = {i["InstanceID"]: i["VirtualQuantity"]
                  for i in await cim.ask("EnumerateInstances", "KVM_ProcResourceAllocationSettingData")}  # fmt: skip
    assert (processors["two/proc"], processors["two/defined/proc"]) == (2, 1)
    guest = next(p for p in await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem") if p["Name"] == "two")
    (state,) = await cim.ask("AssociatorNames", guest, AssocClass="CIM_SettingsDefineState")
    assert state["InstanceID"] == "KVM:two"
    links = await cim.ask("References", guest, ResultClass="CIM_ElementSettingData")
    assert {r["SettingData"]["InstanceID"]: (r["IsCurrent"], r["IsNext"]) for r in links} == {
        "KVM:two": (1, 2), "KVM:two/defined": (2, 1)}  # fmt: skip


async def test_components_and_pools_of_both(cim: Rig) -> None:
    await cim.engine.start("two")
    await cim.engine.attach_device("two", DISK.format("vdb"), live=True, config=False)
    await cim.settled()
    for number, disks in (("KVM:two", {"two/vda", "two/vdb"}), ("KVM:two/defined", {"two/defined/vda"})):
        found = await cim.ask("AssociatorNames", await at(cim, VSSD, number),
                              AssocClass="CIM_VirtualSystemSettingDataComponent", ResultClass=RASD)  # fmt: skip
        assert {path["InstanceID"] for path in found} == disks
    for disk in ("two/vda", "two/defined/vda"):
        (pool,) = await cim.ask(
            "AssociatorNames", await at(cim, RASD, disk), AssocClass="CIM_ResourceAllocationFromPool"
        )
        assert pool["InstanceID"] == "DiskPool/0"
    assert await cim.ask("AssociatorNames", await at(cim, RASD, "two/vda"), AssocClass="CIM_SettingsDefineState")
    assert not await cim.ask(
        "AssociatorNames", await at(cim, RASD, "two/defined/vda"), AssocClass="CIM_SettingsDefineState"
    )


async def test_changes_of_settings_of_the_next_start_leave_the_running_guest_alone(cim: Rig) -> None:
    import pywbem

    await cim.engine.start("two")
    await cim.settled()
    (service,) = await cim.ask("EnumerateInstanceNames", SERVICE)
    new = pywbem.CIMInstance(
        RASD, {"ResourceType": pywbem.Uint16(17), "VirtualDevice": "vdb", "Address": "/var/tmp/b.img"}
    )
    code, outputs = await cim.ask("InvokeMethod", "AddResourceSettings", service,
                                  AffectedConfiguration=await at(cim, VSSD, "KVM:two/defined"), ResourceSettings=[new])  # fmt: skip
    assert code == 0 and [p["InstanceID"] for p in outputs["ResultingResourceSettings"]] == ["two/defined/vdb"]
    assert await ids(cim, RASD) == ["two/defined/vda", "two/defined/vdb", "two/vda"]
    gone = await at(cim, RASD, "two/defined/vda")
    assert (await cim.ask("InvokeMethod", "RemoveResourceSettings", service, ResourceSettings=[gone]))[0] == 0
    assert await ids(cim, RASD) == ["two/defined/vdb", "two/vda"]
    memory = await cim.ask("GetInstance", await at(cim, "KVM_MemResourceAllocationSettingData", "two/defined/mem"))
    memory["VirtualQuantity"] = pywbem.Uint64(32768)
    await cim.ask("ModifyInstance", memory, PropertyList=["VirtualQuantity"])
    sizes = {i["InstanceID"]: i["VirtualQuantity"]
             for i in await cim.ask("EnumerateInstances", "KVM_MemResourceAllocationSettingData")}  # fmt: skip
    assert (sizes["two/mem"], sizes["two/defined/mem"]) == (65536, 32768)
    await cim.engine.destroy("two")
    await cim.settled()
    assert await ids(cim, RASD) == ["two/vdb"] and await ids(cim, VSSD) == ["KVM:two"]


async def test_a_transient_guest_has_no_next_start(cim: Rig) -> None:
    await cim.engine.create(XML.replace("two", "two-for-now"))
    await cim.settled()
    assert await when(cim, VSSD, "KVM:two-for-now") == {"KVM:two-for-now": (1, 2, 2)}
