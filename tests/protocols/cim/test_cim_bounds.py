"""How much of each kind of resource a guest can have: settings that say the least, the most, the usual and the step (DSP1043)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, Uint64

from frontinus_cim.instances import bounds, pools, settings
from support.cim import Rig, rig

BOUNDING = "KVM_SettingsDefineCapabilities"
MANAGEMENT = "KVM_VirtualSystemManagementService"
ROLES = {"Default": (0, 0, 0), "Minimum": (0, 3, 1), "Maximum": (0, 3, 2), "Increment": (0, 3, 3)}
"""PropertyPolicy, ValueRole and ValueRange, as libvirt-cim has them."""


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=1) as made:
        yield made


async def capabilities(cim: Rig) -> list[Any]:
    return list(await cim.ask("EnumerateInstanceNames", "KVM_AllocationCapabilities"))


async def bounded(cim: Rig, pool: str) -> dict[str, CIMInstance]:
    path = next(path for path in await capabilities(cim) if path["InstanceID"] == pool)
    found = await cim.ask("Associators", path, AssocClass=BOUNDING)
    return {instance["InstanceID"]: instance for instance in found}


async def test_every_pool_says_what_can_be_had_of_it(cim: Rig) -> None:
    for path in await capabilities(cim):
        family = pools.BY_PREFIX[path["InstanceID"].partition("/")[0]]
        found = await cim.ask("References", path, ResultClass="CIM_SettingsDefineCapabilities")
        said = {
            one["PartComponent"]["InstanceID"]: (one["PropertyPolicy"], one["ValueRole"], one["ValueRange"])
            for one in found
        }
        own = path["InstanceID"].endswith("/0")
        wanted = ROLES if own else {f"{path['InstanceID']}/{name}": role for name, role in ROLES.items()}
        assert said == wanted | ({} if own else {"Default": (0, 3, 0)}), path
        assert {one["PartComponent"].classname for one in found} == {settings.FAMILIES[family].cls}
        for one in await cim.ask("Associators", path, AssocClass=BOUNDING):
            assert one["ResourceType"] == pools.CLASSES[family].type and one["VirtualQuantity"] >= 1, one.path
            assert (await cim.ask("GetInstance", one.path))["InstanceID"] == one["InstanceID"]
            back = {p["InstanceID"] for p in await cim.ask("AssociatorNames", one.path, AssocClass=BOUNDING)}
            of_kind = {
                p["InstanceID"] for p in await capabilities(cim) if pools.CLASSES[family].prefix in p["InstanceID"]
            }
            assert back == (of_kind if one["InstanceID"] == "Default" else {path["InstanceID"]})


async def test_the_figures_are_those_of_the_host_and_its_emulator(cim: Rig) -> None:
    host = await cim.engine.host()
    processors, memory = await bounded(cim, "ProcessorPool/0"), await bounded(cim, "MemoryPool/0")
    assert [processors[name]["VirtualQuantity"] for name in ROLES] == [1, 1, 288, 1], "q35 of the mock takes 288"
    assert (
        memory["Maximum"]["VirtualQuantity"] == host.memory // 1024
        and memory["Maximum"]["Limit"] == host.memory // 1024
    )
    assert (memory["Minimum"]["VirtualQuantity"], memory["Increment"]["VirtualQuantity"]) == (1024, 1024)
    assert {one["AllocationUnits"] for one in memory.values()} == {"byte*2^10"}
    assert memory["Default"]["PoolID"] == "MemoryPool/0"
    (pool,) = await cim.ask("EnumerateInstances", "KVM_MemoryPool")
    assert memory["Maximum"]["VirtualQuantity"] == pool["Capacity"]


POOL = """<pool type='dir'><name>images</name><target><path>{}</path></target></pool>"""
NETWORK = (
    """<network><name>office</name><bridge name='virbr7'/><bandwidth><inbound average='5000'/></bandwidth></network>"""
)
ON_A_BRIDGE = """<domain type='qemu'><name>plug</name><memory>65536</memory><os><type>hvm</type></os><devices>
<interface type='bridge'><source bridge='br7'/><mac address='52:54:00:00:07:01'/></interface></devices></domain>"""


async def test_a_pool_bounds_what_is_taken_from_it(cim: Rig) -> None:
    """No disk is larger than its pool, no port is promised more than its network has; the default is on that network."""
    await cim.engine.define_pool(POOL.format(cim.folder))
    await cim.engine.build_pool("images")
    await cim.engine.start_pool("images")
    await cim.engine.define_network(NETWORK)
    await cim.engine.define(ON_A_BRIDGE)
    await cim.settled()
    disks = await bounded(cim, "DiskPool/images")
    (pool,) = [one for one in await cim.ask("EnumerateInstances", "KVM_DiskPool") if one["Name"] == "images"]
    most = disks["DiskPool/images/Maximum"]
    assert (most["Limit"], most["AllocationUnits"]) == (pool["Capacity"], pool["AllocationUnits"]) and pool[
        "Capacity"
    ] > 0
    assert most["PoolID"] == "DiskPool/images" and disks["DiskPool/images/Minimum"]["Limit"] is None
    ports = await bounded(cim, "NetworkPool/office")
    assert ports["NetworkPool/office/Maximum"]["ReceiveBandwidthReservation"] == 5000
    (service,) = await cim.ask("EnumerateInstanceNames", MANAGEMENT)
    for name, kind in (("office", "network"), ("br7", "bridge")):
        usual = (await bounded(cim, f"NetworkPool/{name}"))[f"NetworkPool/{name}/Default"]
        whole = CIMInstance("KVM_VirtualSystemSettingData", {"VirtualSystemIdentifier": f"on-{name}"})
        code, _ = await cim.ask("InvokeMethod", "DefineSystem", service, SystemSettings=whole, ResourceSettings=[usual])
        assert code == 0 and f"<source {kind}='{name}'/>" in await cim.engine.guest_xml(f"on-{name}")


@pytest.mark.parametrize("number", ["NetworkPool/none/Default", "NetworkPool/0/Default", "DiskPool/0/Maximum",
                                    "MemoryPool/0/Default", "NetworkPool/default/Most", "/Default"])  # fmt: skip
async def test_only_pools_that_are_there_bound_anything(cim: Rig, number: str) -> None:
    path = pywbem.CIMInstanceName("KVM_NetResourceAllocationSettingData", {"InstanceID": number}, namespace="root/virt")
    with pytest.raises(pywbem.CIMError) as absent:
        await cim.ask("GetInstance", path)
    assert absent.value.status_code == pywbem.CIM_ERR_NOT_FOUND


async def test_a_guest_is_made_of_what_is_usual(cim: Rig) -> None:
    """As cimtest does: the settings called Default, as they are."""
    usual = [(await bounded(cim, f"{prefix}/0"))["Default"] for prefix in (
        "MemoryPool", "ProcessorPool", "NetworkPool", "GraphicsPool", "InputPool")]  # fmt: skip
    (service,) = await cim.ask("EnumerateInstanceNames", MANAGEMENT)
    for name, given in (("usual", usual), ("bare", [])):
        whole = CIMInstance("KVM_VirtualSystemSettingData", {"VirtualSystemIdentifier": name})
        code, _ = await cim.ask("InvokeMethod", "DefineSystem", service, SystemSettings=whole, ResourceSettings=given)
        view = await cim.engine.guest(name)
        assert code == 0 and (view.vcpus, view.max_memory) == (1, 128 * 2**20), "without a word, the same"
    xml = await cim.engine.guest_xml("usual")
    assert "<interface type='user'>" in xml and "<graphics type='vnc'" in xml and "<input type='mouse' bus='ps2'" in xml


async def test_what_no_guest_has_is_in_no_guest(cim: Rig) -> None:
    path = next(path for path in await cim.ask("EnumerateInstanceNames", "KVM_MemResourceAllocationSettingData")
                if path["InstanceID"] == bounds.MAXIMUM)  # fmt: skip
    assert {p.classname for p in await cim.ask("ReferenceNames", path)} == {BOUNDING}
    changed = await cim.ask("GetInstance", path)
    changed["VirtualQuantity"] = Uint64(1)
    with pytest.raises(pywbem.CIMError) as refused:
        await cim.ask("ModifyInstance", changed)
    assert refused.value.status_code == pywbem.CIM_ERR_NOT_SUPPORTED
    (service,) = await cim.ask("EnumerateInstanceNames", MANAGEMENT)
    for method, given in (("RemoveResourceSettings", [path]), ("ModifyResourceSettings", [changed])):
        with pytest.raises(pywbem.CIMError) as absent:
            await cim.ask("InvokeMethod", method, service, ResourceSettings=given)
        assert absent.value.status_code == pywbem.CIM_ERR_NOT_FOUND


async def test_an_engine_that_cannot_say_how_many_processors_leaves_it_open(cim: Rig) -> None:
    cim.world.most_vcpus = None
    assert (await bounded(cim, "ProcessorPool/0"))["Maximum"]["VirtualQuantity"] is None


async def test_the_settings_of_a_move_are_the_default_of_what_can_be_moved(cim: Rig) -> None:
    (able,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemMigrationCapabilities")
    (link,) = await cim.ask("References", able, ResultClass=BOUNDING)
    assert link["PartComponent"]["InstanceID"] == "MigrationSettingData" and (
        link["ValueRole"],
        link["ValueRange"],
    ) == (0, 0)
