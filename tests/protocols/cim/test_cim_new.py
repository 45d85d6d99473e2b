"""No property of what is new is lost in silence: it is so in what was made, or nothing is made and an error names it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, CIMProperty, Uint16, Uint64

from frontinus.api.errors import NoSuchGuest
from frontinus.client.details import details
from support.cim import Rig, rig, schema
from support.cim_resources import MAC, STATUS, VSSD, WRITE_ONLY, class_of, other, properties

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
SERVICE, POOLS = "KVM_VirtualSystemManagementService", "KVM_ResourcePoolConfigurationService"
PROVIDERS = {"InstanceID", "Caption"}
"""What the provider says of settings themselves."""
BASE: Mapping[str, Mapping[str, Any]] = {
    "Disk": {"VirtualDevice": "vda", "BusType": "virtio", "Address": "/var/lib/mock/a.img"},
    "Net": {"Address": MAC, "NetworkType": "network", "NetworkName": "default"},
    "Mem": {"VirtualQuantity": Uint64(128 * 1024), "Limit": Uint64(256 * 1024)},
    "Proc": {"VirtualQuantity": Uint64(1), "Limit": Uint64(2)},
    "Graphics": {"ResourceSubType": "vnc", "Address": "127.0.0.1:5939"},
    "Console": {"SourceType": "pty"},
    "Input": {"ResourceSubType": "tablet", "BusType": "usb"},
    "Controller": {"ResourceSubType": "virtio-serial", "Index": Uint64(0)},
}
NEEDED = {
    "Disk": {"BusType", "DriverType", "DriverCache", "Address", "AccessMode", "readonly", "shareable"},
    "Net": {"Address", "ResourceSubType", "NetworkName", "FilterRef", "Limit", "VirtualDevice"},
    "Mem": {"VirtualQuantity", "Limit", "dumpCore", "AllocationUnits"}, "Proc": {"VirtualQuantity", "Limit", "Weight"},
    "Graphics": {"Address", "KeyMap", "Password"}, "Console": {"SourceType"}, "Input": {"ResourceSubType", "BusType"},
    "Controller": {"Index", "Ports"},
}  # fmt: skip
"""At least these are what they are given as."""


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


async def define(cim: Rig, whole: Mapping[str, Any], *resources: CIMInstance | str) -> Any:
    settings = CIMInstance(VSSD, {"VirtualSystemIdentifier": "new", **whole})
    return await cim.ask(
        "InvokeMethod", "DefineSystem", SERVICE, SystemSettings=settings, ResourceSettings=list(resources)
    )


def told(prop: str, words: str) -> bool:
    """Whether an error names a property, or the element that it stands in, for the engine speaks of its XML."""
    return prop in words or "<" in words


async def absent(cim: Rig) -> None:
    with pytest.raises(NoSuchGuest):
        await cim.engine.guest("new")


def settings(kind: str, *changed: CIMProperty) -> CIMInstance:
    made = CIMInstance(class_of(kind), dict(BASE[kind]))
    for one in changed:
        made[one.name] = one
    return made


@pytest.mark.parametrize("kind", BASE)
async def test_each_property_of_a_new_resource_is_so_or_is_refused_by_name(cim: Rig, kind: str) -> None:
    done = set[str]()
    for prop in properties(schema(), kind):
        if prop.name in PROVIDERS:
            continue
        wanted = other(kind, prop, BASE[kind].get(prop.name))
        given = settings(kind, wanted)
        try:
            await define(cim, {}, given)
        except pywbem.CIMError as error:
            assert error.status_code in STATUS and told(prop.name, error.status_description), (prop.name, error)
            await absent(cim)
            continue
        found = [
            one for one in await cim.ask("EnumerateInstances", given.classname) if one["InstanceID"].startswith("new/")
        ]
        shown = [one[prop.name] for one in found]
        if prop.name == "AllocationUnits":
            assert [one["VirtualQuantity"] for one in found] == [128 * 2**20], "the amounts count in them"
        else:
            assert prop.name == WRITE_ONLY or wanted.value in shown, (prop.name, wanted.value, shown)
        done.add(prop.name)
        await cim.engine.undefine("new")
    assert done >= NEEDED[kind], NEEDED[kind] - done


async def test_each_property_of_a_new_guest_too(cim: Rig) -> None:
    done = set[str]()
    for prop in properties(schema(), "System"):
        if prop.name in PROVIDERS:
            continue
        wanted = other("System", prop, None)
        try:
            _, out = await define(cim, {prop.name: wanted}, settings("Mem"))
        except pywbem.CIMError as error:
            assert error.status_code in STATUS and told(prop.name, error.status_description), (prop.name, error)
            assert not [one for one in await cim.engine.guests() if one.name != "test"]
            continue
        name = out["ResultingSystem"]["Name"]
        shown = await cim.ask(
            "GetInstance", CIMInstanceName(VSSD, {"InstanceID": f"KVM:{name}"}, namespace="root/virt")
        )
        if prop.name != "Machine":  # the engine writes out which q35 it is
            assert shown[prop.name] == wanted.value, prop.name
        done.add(prop.name)
        await cim.engine.undefine(name)
    assert done >= {
        "UUID",
        "Description",
        "EnableACPI",
        "BootDevices",
        "BootDevice",
        "AutomaticStartupAction",
        "ClockOffset",
    }


async def test_a_resource_that_cannot_be_had_leaves_those_beside_it_unmade(cim: Rig) -> None:
    await define(cim, {}, settings("Mem"))
    here = CIMInstanceName(VSSD, {"InstanceID": "KVM:new"}, namespace="root/virt")
    weighed = settings("Net", CIMProperty("Weight", Uint16(7), type="uint32"))
    with pytest.raises(pywbem.CIMError, match="Weight"):
        await cim.ask("InvokeMethod", "AddResourceSettings", SERVICE, AffectedConfiguration=here,
                      ResourceSettings=[settings("Disk"), weighed])  # fmt: skip
    assert not details(await cim.engine.guest_xml("new")).of("disk", "interface")


POOL_SETTINGS = {"ElementName": "rows", "Path": "/rows", "Type": Uint16(1)}
ONE_POOL = [
    ({"Autostart": Uint16(0)}, None), ({"PoolID": "DiskPool/rows"}, None), ({"Weight": pywbem.Uint32(3)}, "Weight"),
    ({"Autostart": Uint16(7)}, "Autostart"), ({"HostResource": ["/x"]}, "HostResource"), ({"PoolID": "DiskPool/x"}, "PoolID"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "refused"), ONE_POOL)
async def test_a_pool_is_what_its_settings_say(cim: Rig, more: dict[str, Any], refused: str | None) -> None:
    given = CIMInstance(class_of("DiskPool"), {**POOL_SETTINGS, **more})
    words = {"ElementName": "rows", "Settings": [given]}
    if refused is not None:
        with pytest.raises(pywbem.CIMError, match=refused):
            await cim.ask("InvokeMethod", "CreateChildResourcePool", POOLS, **words)
        assert "rows" not in {pool.name for pool in await cim.engine.pools()}
        return
    await cim.ask("InvokeMethod", "CreateChildResourcePool", POOLS, **words)
    shown = await cim.ask(
        "GetInstance", CIMInstanceName(class_of("DiskPool"), {"InstanceID": "DiskPool/rows"}, namespace="root/virt")
    )
    assert all(shown[name] == value for name, value in given.items())


async def test_a_volume_is_what_its_settings_say(cim: Rig) -> None:
    pool = CIMInstanceName("KVM_DiskPool", {"InstanceID": "DiskPool/rows"}, namespace="root/virt")
    made = {"ElementName": "rows", "Settings": [CIMInstance(class_of("DiskPool"), POOL_SETTINGS)]}
    await cim.ask("InvokeMethod", "CreateChildResourcePool", POOLS, **made)
    volume = {
        "VolumeName": "one.img",
        "Capacity": Uint64(3),
        "AllocationQuantityUnits": "MegaBytes",
        "FormatType": "raw",
    }
    for prop, value in (("Weight", pywbem.Uint32(3)), ("Path", "/elsewhere"), ("AllocationQuantityUnits", "parsec")):
        with pytest.raises(pywbem.CIMError, match=prop):
            await cim.ask("InvokeMethod", "CreateResourceInPool", POOLS, Pool=pool,
                          Settings=CIMInstance(class_of("StorageVolume"), {**volume, prop: value}))  # fmt: skip
    assert not await cim.engine.volumes("rows")
    await cim.ask("InvokeMethod", "CreateResourceInPool", POOLS, Pool=pool,
                  Settings=CIMInstance(class_of("StorageVolume"), {**volume, "Path": "/rows"}))  # fmt: skip
    assert [one.capacity for one in await cim.engine.volumes("rows")] == [3 * 2**20]


async def test_what_the_provider_shows_as_usual_can_be_given_back_with_some_of_it_made_another(cim: Rig) -> None:
    """As clients of libvirt-cim do it: they begin with the defaults that a pool's capabilities lead to, as MOF."""
    changed: Mapping[str, Mapping[str, Any]] = {
        "Mem": {"VirtualQuantity": Uint64(256), "Limit": Uint64(256), "AllocationUnits": "MegaBytes"},
        "Proc": {"VirtualQuantity": Uint64(2)}, "Disk": {"VirtualDevice": "vda", "Address": "/var/lib/mock/a.img"},
        "Net": {"Address": MAC}, "Graphics": {}, "Input": {},
    }  # fmt: skip
    given: list[str] = []
    for kind, values in changed.items():
        path = CIMInstanceName(class_of(kind), {"InstanceID": "Default"}, namespace="root/virt")
        usual = await cim.ask("GetInstance", path)
        usual.update(values)
        given.append("\n".join(line for line in usual.tomof().splitlines() if not line.endswith("NULL;")))
    await define(cim, {}, *given)
    view, said = await cim.engine.guest("new"), details(await cim.engine.guest_xml("new"))
    assert (view.memory, view.vcpus) == (256 * 2**20, 2)
    assert [device["target/@dev"] for device in said.of("disk")] == ["vda"] and said.of("interface")[0][
        "@type"
    ] == "user"


OLDER_GUEST = """instance of KVM_VirtualSystemSettingData {{
InstanceID = "KVM:new"; Caption = "Virtual System"; Description = "Virtual System"; VirtualSystemIdentifier = "new";
ElementName = "new"; VirtualSystemType = "KVM"; CreationClassName = "KVM_VirtualSystemSettingData"; AutomaticShutdownAction = 2;
AutomaticRecoveryAction = 2; isFullVirt = {whole}; BootDevice = "hd"; ClockOffset = 1; EnablePAE = false; EnableACPI = true; }};"""
OLDER_PARTS = [
    'instance of KVM_MemResourceAllocationSettingData { ResourceType = 4; VirtualQuantity = 128; AllocationUnits = "MegaBytes";'
    ' InstanceID = "new/mem"; };',
    'instance of KVM_ProcResourceAllocationSettingData { ResourceType = 3; VirtualQuantity = 1; InstanceID = "new/proc"; };',
    'instance of KVM_GraphicsResourceAllocationSettingData { InstanceID = "new/graphics"; ResourceType = 24;'
    ' ResourceSubType = "vnc"; KeyMap = "en-us"; };',
    'instance of KVM_ControllerResourceAllocationSettingData { InstanceID = "new/controller:pci:0"; ResourceType = 32771;'
    ' ResourceSubType = "pci"; Index = 0; Model = "pci-root"; };',
]


async def test_what_clients_of_libvirt_cim_say_of_a_guest_is_taken(cim: Rig) -> None:
    """Properties that its class does not have there, numbers for words, and blanks for no reference."""
    given = {
        "SystemSettings": OLDER_GUEST.format(whole="true"),
        "ResourceSettings": OLDER_PARTS,
        "ReferenceConfiguration": " ",
    }
    value, _ = await cim.ask("InvokeMethod", "DefineSystem", SERVICE, **given)
    assert value == 0
    said = details(await cim.engine.guest_xml("new"))
    assert (said["clock/@offset"], said["os/boot/@dev"], said["description"]) == ("localtime", "hd", "Virtual System")
    await cim.engine.undefine("new")
    with pytest.raises(pywbem.CIMError, match="IsFullVirt"):
        await cim.ask(
            "InvokeMethod", "DefineSystem", SERVICE, **{**given, "SystemSettings": OLDER_GUEST.format(whole="false")}
        )


async def test_a_guest_may_be_named_by_the_class_of_its_settings_too(cim: Rig) -> None:
    """libvirt-cim's clients say CreationClassName of settings, whose only key is InstanceID."""
    await define(cim, {}, settings("Mem"))
    keys = {"InstanceID": "KVM:new", "CreationClassName": VSSD}
    here = CIMInstanceName(VSSD, keys, namespace="root/virt")
    value, _ = await cim.ask(
        "InvokeMethod", "AddResourceSettings", SERVICE, AffectedConfiguration=here, ResourceSettings=[settings("Disk")]
    )
    assert value == 0 and details(await cim.engine.guest_xml("new")).of("disk")
    assert (await cim.ask("GetInstance", here))["InstanceID"] == "KVM:new"
    for wrong in ({"CreationClassName": "KVM_Memory"}, {"Name": "new"}):
        with pytest.raises(pywbem.CIMError, match=next(iter(wrong)).lower()) as refused:
            await cim.ask("GetInstance", CIMInstanceName(VSSD, {**keys, **wrong}, namespace="root/virt"))
        assert refused.value.status_code == pywbem.CIM_ERR_INVALID_PARAMETER


async def test_a_snapshot_is_what_its_settings_say(cim: Rig) -> None:
    await define(cim, {}, settings("Mem"))
    await cim.engine.start("new")
    await cim.settled()
    guest = CIMInstanceName(
        "KVM_ComputerSystem", {"CreationClassName": "KVM_ComputerSystem", "Name": "new"}, namespace="root/virt"
    )
    said = {"ElementName": "first", "Description": "before the change"}

    async def snapshot(kind: int, **more: Any) -> Any:
        given = CIMInstance("KVM_VirtualSystemSnapshotSettingData", {**said, **more})
        return await cim.ask("InvokeMethod", "CreateSnapshot", "KVM_VirtualSystemSnapshotService", AffectedSystem=guest,
                             SnapshotSettings=given, SnapshotType=Uint16(kind))  # fmt: skip

    with pytest.raises(pywbem.CIMError, match="Machine"):
        await snapshot(2, Machine="isapc")
    assert not await cim.engine.snapshots("new")
    value, out = await snapshot(32768, VirtualSystemIdentifier="new")
    assert value == 0
    shown = await cim.ask("GetInstance", out["ResultingSnapshot"])
    assert {name: shown[name] for name in said} == said and shown["SnapshotType"] == 2


SWITCH_SETTINGS, SWITCHES = "KVM_VirtualEthernetSwitchSettingData", "KVM_VirtualEthernetSwitchManagementService"


async def test_each_property_of_a_new_switch_too(cim: Rig) -> None:
    done = set[str]()
    for prop in schema()[SWITCH_SETTINGS].properties:
        if prop.name in {*PROVIDERS, "VirtualSystemIdentifier"}:
            continue
        wanted = other("Switch", prop, None)
        given = CIMInstance(
            SWITCH_SETTINGS, {"VirtualSystemIdentifier": "lane", "BridgeName": "virbr7", prop.name: wanted}
        )
        try:
            await cim.ask("InvokeMethod", "DefineSystem", SWITCHES, SystemSettings=given)
        except pywbem.CIMError as error:
            assert error.status_code in STATUS and told(prop.name, error.status_description), (prop.name, error)
            assert "lane" not in {network.name for network in await cim.engine.networks()}
            continue
        path = CIMInstanceName(SWITCH_SETTINGS, {"InstanceID": "Switch:lane"}, namespace="root/virt")
        assert (await cim.ask("GetInstance", path))[prop.name] == wanted.value, prop.name
        done.add(prop.name)
        await cim.engine.undefine_network("lane")
        await cim.settled()
    assert done >= {"BridgeName", "ForwardMode", "MTU", "DomainName", "SpanningTree", "AutomaticStartupAction"}


async def test_a_port_and_a_rule_are_what_their_settings_say_too(cim: Rig) -> None:
    await define(cim, {}, settings("Mem"))
    here = CIMInstanceName(SWITCH_SETTINGS, {"InstanceID": "Switch:default"}, namespace="root/virt")
    port = CIMInstance(
        "KVM_EthernetSwitchPortSettingData", {"Connection": ["new"], "Address": MAC, "Weight": pywbem.Uint32(3)}
    )
    with pytest.raises(pywbem.CIMError, match="Weight"):
        await cim.ask(
            "InvokeMethod", "AddResourceSettings", SWITCHES, AffectedConfiguration=here, ResourceSettings=[port]
        )
    assert not details(await cim.engine.guest_xml("new")).of("interface")
    await cim.ask("CreateInstance", CIMInstance("KVM_FilterList", {"Name": "own"}))
    rule = {"Name": "own", "Action": Uint16(2), "Direction": Uint16(1), "HdrProtocolID": pywbem.Uint8(6)}
    with pytest.raises(pywbem.CIMError, match="IsNegated"):
        await cim.ask("CreateInstance", CIMInstance("KVM_IPHeadersFilter", {**rule, "IsNegated": True}))
    assert "<rule" not in await cim.engine.filter_xml("own")
    await cim.ask("CreateInstance", CIMInstance("KVM_IPHeadersFilter", {**rule, "HdrDestPortStart": Uint16(22)}))
    assert "dstportstart='22'" in await cim.engine.filter_xml("own")
