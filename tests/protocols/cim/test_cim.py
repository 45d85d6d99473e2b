"""The CIM provider as pywbem and sblim's wbemcli see it, beside an engine of mock guests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pywbem

from support.cim import Rig, rig

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
TEST = '/root/virt:KVM_ComputerSystem.CreationClassName="KVM_ComputerSystem",Name="test"'


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        yield made


def guest(name: str = "test") -> pywbem.CIMInstanceName:
    keys = {"CreationClassName": "KVM_ComputerSystem", "Name": name}
    return pywbem.CIMInstanceName("KVM_ComputerSystem", keys, namespace="root/virt")


async def state(cim: Rig, name: str = "test") -> int:
    return int((await cim.ask("GetInstance", guest(name)))["EnabledState"])


async def test_guests_are_listed_by_their_class_and_its_superclasses(cim: Rig) -> None:
    names = {i["Name"] for i in await cim.ask("EnumerateInstances", "KVM_ComputerSystem")}
    assert names == {"test", "guest-00000", "guest-00001"}
    systems = await cim.ask("EnumerateInstances", "CIM_System", DeepInheritance=False)
    assert {i.classname for i in systems} == {"KVM_ComputerSystem", "KVM_HostSystem", "KVM_VirtualEthernetSwitch"}
    assert all("UUID" not in i for i in systems), "only the properties of CIM_System"
    paths = await cim.ask("EnumerateInstanceNames", "CIM_ComputerSystem")
    assert {path["Name"] for path in paths} == names | {cim.world.host.hostname, "default"}


async def test_an_instance_shows_the_properties_that_were_asked_for(cim: Rig) -> None:
    found = await cim.ask("GetInstance", guest(), PropertyList=["enabledstate", "NAME", "Nothing"])
    assert dict(found.properties.items()).keys() == {"EnabledState", "Name"}
    assert (found["EnabledState"], found["Name"]) == (2, "test")


async def test_devices_and_settings_are_those_of_the_definition(cim: Rig) -> None:
    near = await cim.ask("Associators", guest("guest-00000"), AssocClass="KVM_SystemDevice")
    classes = [i.classname for i in near]
    assert classes.count("KVM_Processor") == 2 and classes.count("KVM_LogicalDisk") == 1
    disk = next(i for i in near if i.classname == "KVM_LogicalDisk")
    assert disk["DeviceID"] == "guest-00000/vda"
    (settings,) = await cim.ask("Associators", disk.path, AssocClass="CIM_SettingsDefineState")
    assert settings["VirtualDevice"] == "vda" and settings["Address"] == "/var/lib/mock/0.img"
    assert (settings["BusType"], settings["DriverType"], settings["ResourceType"]) == ("virtio", "raw", 17)
    (whole,) = await cim.ask("Associators", settings.path, ResultClass="CIM_VirtualSystemSettingData")
    assert whole["InstanceID"] == "KVM:guest-00000" and whole["Machine"].startswith("pc-q35")
    parts = await cim.ask("Associators", whole.path, AssocClass="CIM_VirtualSystemSettingDataComponent")
    memory = next(i for i in parts if i["ResourceType"] == 4)
    assert (memory["VirtualQuantity"], memory["AllocationUnits"]) == (512 * 1024, "byte*2^10")


async def test_associations_are_filtered_by_role_and_class(cim: Rig) -> None:
    assert not await cim.ask("AssociatorNames", guest(), AssocClass="KVM_SystemDevice", Role="PartComponent")
    found = await cim.ask("AssociatorNames", guest(), Role="GroupComponent", ResultClass="CIM_Processor")
    assert {path.classname for path in found} == {"KVM_Processor"} and len(found) == 2
    references = await cim.ask("References", guest(), ResultClass="CIM_SettingsDefineState")
    assert [r.classname for r in references] == ["KVM_SettingsDefineState"]
    assert references[0]["ManagedElement"]["Name"] == "test"
    again = await cim.ask("GetInstance", references[0].path)
    assert again["SettingData"]["InstanceID"] == references[0]["SettingData"]["InstanceID"] == "KVM:test"
    names = {found[1].classname for found in await cim.ask("Associators", "KVM_ComputerSystem")}
    assert {"CIM_LogicalDevice", "CIM_SettingData"} <= names


async def test_a_guest_is_led_through_its_states(cim: Rig) -> None:
    for wanted, becomes in ((9, 9), (2, 2), (11, 2), (4, 3), (2, 2), (6, 6), (2, 2), (3, 3)):
        value, _ = await cim.ask("InvokeMethod", "RequestStateChange", guest(), RequestedState=pywbem.Uint16(wanted))
        assert (value, await state(cim)) == (0, becomes), wanted
    assert (await cim.engine.guest("test")).state == "shutoff"
    value, _ = await cim.ask("InvokeMethod", "RequestStateChange", guest(), RequestedState=pywbem.Uint16(9))
    assert value == 4097, "a guest that is off cannot be paused: Invalid State Transition"


async def test_a_monitor_only_reads(cim: Rig) -> None:
    assert await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem", user="eye")
    with pytest.raises(pywbem.CIMError) as denied:
        await cim.ask("InvokeMethod", "RequestStateChange", guest(), RequestedState=pywbem.Uint16(3), user="eye")
    assert denied.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
    assert (await cim.engine.guest("test")).state == "running"


async def test_enumerations_are_pulled(cim: Rig) -> None:
    first = await cim.ask("OpenEnumerateInstances", "CIM_LogicalDevice", MaxObjectCount=3)
    assert len(first.instances) == 3 and not first.eos
    found, context = list(first.instances), first.context
    while True:
        more = await cim.ask("PullInstancesWithPath", context, 7)
        found += more.instances
        if more.eos:
            break
    assert len(found) == len(await cim.ask("EnumerateInstances", "CIM_LogicalDevice"))
    with pytest.raises(pywbem.CIMError) as stale:
        await cim.ask("PullInstancesWithPath", context, 7)
    assert stale.value.status_code == pywbem.CIM_ERR_INVALID_ENUMERATION_CONTEXT
    chosen = await cim.ask("OpenEnumerateInstances", "CIM_ComputerSystem", MaxObjectCount=9,
                           FilterQueryLanguage="DMTF:FQL", FilterQuery="Name LIKE 'guest-%' AND EnabledState = 2")  # fmt: skip
    assert chosen.eos and len(chosen.instances) == 2
    opened = await cim.ask("OpenAssociatorInstancePaths", guest(), MaxObjectCount=1)
    await cim.ask("CloseEnumeration", opened.context)
    assert not cim.service.contexts.open


async def test_queries(cim: Rig) -> None:
    text = "SELECT Name FROM KVM_ComputerSystem WHERE EnabledState = 2 AND NOT Name = 'test'"
    found = await cim.ask("ExecQuery", "WQL", text)
    assert sorted(i["Name"] for i in found) == ["guest-00000", "guest-00001"]
    assert all(set(i.properties.keys()) == {"Name"} for i in found)
    opened = await cim.ask("OpenQueryInstances", "DMTF:CQL", text, MaxObjectCount=5)
    assert len(opened.instances) == 2 and opened.eos


ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any], int]] = [
    ("GetInstance", (guest("nobody"),), {}, pywbem.CIM_ERR_NOT_FOUND),
    ("EnumerateInstances", ("KVM_Nothing",), {}, pywbem.CIM_ERR_INVALID_CLASS),
    ("EnumerateInstances", ("KVM_ComputerSystem",), {"namespace": "root/none"}, pywbem.CIM_ERR_INVALID_NAMESPACE),
    ("GetClass", ("KVM_Nothing",), {}, pywbem.CIM_ERR_NOT_FOUND),
    ("InvokeMethod", ("Fly", guest()), {}, pywbem.CIM_ERR_METHOD_NOT_FOUND),
    ("InvokeMethod", ("RequestStateChange", guest(), [("Wanted", "x")]), {}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("ExecQuery", ("SQL", "select"), {}, pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED),
    ("ExecQuery", ("WQL", "select * from KVM_ComputerSystem where"), {}, pywbem.CIM_ERR_INVALID_QUERY),
    ("DeleteClass", ("KVM_ComputerSystem",), {}, pywbem.CIM_ERR_NOT_SUPPORTED),
    ("OpenEnumerateInstances", ("KVM_ComputerSystem",), {"OperationTimeout": 0}, pywbem.CIM_ERR_INVALID_OPERATION_TIMEOUT),
    ("PullInstancesWithPath", (("forged", "root/virt"), 5), {}, pywbem.CIM_ERR_INVALID_ENUMERATION_CONTEXT),
]  # fmt: skip


async def test_each_wrong_question_has_its_answer(cim: Rig) -> None:
    for operation, words, more, status in ERRORS:
        with pytest.raises(pywbem.CIMError) as told:
            await cim.ask(operation, *words, **more)
        assert told.value.status_code == status, (operation, words, told.value)


async def test_every_class_and_qualifier_reads_back_as_pywbem_knows_it(cim: Rig) -> None:
    classes = await cim.ask("EnumerateClasses", DeepInheritance=True, LocalOnly=False, IncludeQualifiers=True)
    assert {c.classname for c in classes} == set(cim.service.schema.classes)
    named = await cim.ask("GetClass", "CIM_LogicalDisk", LocalOnly=False, IncludeClassOrigin=True)
    assert named.properties["DeviceID"].class_origin == "CIM_LogicalDevice" and named.properties["DeviceID"].propagated
    assert named.qualifiers["Description"].value == "A disk as its users see it."
    assert set(await cim.ask("EnumerateClassNames", ClassName="CIM_ResourcePool")) >= {"KVM_DiskPool", "KVM_MemoryPool"}
    key = await cim.ask("GetQualifier", "Key")
    assert (key.type, key.overridable, key.value) == ("boolean", False, False)
    assert len(await cim.ask("EnumerateQualifiers")) == len(cim.service.schema.qualifiers)


@pytest.mark.needs("wbemcli")
async def test_wbemcli_reads_all_that_it_has_words_for(cim: Rig) -> None:
    said: dict[str, str] = {}
    for command, where, *more in (
        ("ei", "/root/virt:KVM_ComputerSystem"), ("ein", "/root/virt:CIM_LogicalDevice"), ("gi", TEST), ("ai", TEST),
        ("ain", TEST), ("ri", TEST), ("rin", TEST), ("gc", "/root/virt:KVM_ComputerSystem"), ("ecn", "/root/virt"),
        ("gp", TEST, "EnabledState"),
    ):  # fmt: skip
        code, said[command] = await cim.wbemcli(command, where, *more)
        assert code == 0 and said[command].strip(), (command, said[command])
    assert said["ei"].count("-EnabledState=2") == 3
    assert said["gp"].strip() == "2"
    code, answer = await cim.wbemcli("cm", TEST, "RequestStateChange.RequestedState=9")
    assert code == 0 and answer.strip().endswith("RequestStateChange: 0") and await state(cim) == 9
    code, answer = await cim.wbemcli("gi", TEST.replace("test", "nobody"))
    assert code != 0 and "NOT_FOUND" in answer.upper()
