"""Virtual Ethernet switches on the mock engine: what is shown of networks and bridges, and what can be done with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint16, Uint64

from support.cim import Rig, rig

NETWORK = """<network><name>office</name><bridge name='virbr7'/><mac address='52:54:00:00:07:00'/>
<ip address='10.7.7.1' netmask='255.255.255.0'/></network>"""
MACS = ("52:54:00:00:07:01", "52:54:00:00:07:02", "52:54:00:00:07:03")
GUEST = """<domain type='qemu'><name>plug</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<interface type='network'><mac address='{}'/><source network='office'/><bandwidth><inbound average='100' peak='200'/></bandwidth>
</interface><interface type='bridge'><mac address='{}'/><source bridge='br7'/>
<vlan trunk='yes'><tag id='7'/><tag id='9' nativeMode='untagged'/></vlan></interface>
<interface type='user'><mac address='{}'/></interface></devices></domain>""".format(*MACS)
SERVICE, NET = "KVM_VirtualEthernetSwitchManagementService", "KVM_NetResourceAllocationSettingData"
SETTINGS, PORT_SETTINGS = "KVM_VirtualEthernetSwitchSettingData", "KVM_EthernetSwitchPortSettingData"
OFFICE = CIMInstanceName("KVM_VirtualEthernetSwitch", {"CreationClassName": "KVM_VirtualEthernetSwitch", "Name": "office"},
                         namespace="root/virt")  # fmt: skip


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=1) as made:
        await made.engine.define_network(NETWORK)
        await made.engine.start_network("office")
        await made.engine.define(GUEST)
        await made.engine.start("plug")
        await made.settled()
        yield made


def named(cls: str, number: str) -> CIMInstanceName:
    return CIMInstanceName(cls, {"InstanceID": number}, namespace="root/virt")


async def invoke(cim: Rig, method: str, **given: Any) -> tuple[int, Any]:
    (service,) = await cim.ask("EnumerateInstanceNames", SERVICE)
    value, out = await cim.ask("InvokeMethod", method, service, **given)
    return value, out


async def test_networks_and_bridges_are_switches_and_guests_alone_are_guests(cim: Rig) -> None:
    found = {i["Name"]: i for i in await cim.ask("EnumerateInstances", "KVM_VirtualEthernetSwitch")}
    assert set(found) == {"default", "office", "br7"} and all(i["Dedicated"] == [38] for i in found.values())
    assert [found[n]["AvailableRequestedStates"] for n in ("office", "br7")] == [[3], []]
    assert {i["Name"] for i in await cim.ask("EnumerateInstances", "KVM_ComputerSystem")} == {
        "test",
        "guest-00000",
        "plug",
    }
    assert {i["Name"] for i in await cim.ask("EnumerateInstances", "KVM_SwitchService")} == {"virbr0", "virbr7", "br7"}


async def test_the_way_from_a_guest_to_its_switch_and_back(cim: Rig) -> None:
    nics = await cim.ask("EnumerateInstances", "KVM_NetworkPort")
    ways = {}
    for nic in (nic for nic in nics if nic["SystemName"] == "plug"):
        (end,) = await cim.ask("Associators", nic.path, AssocClass="CIM_DeviceSAPImplementation")
        assert end["MACAddress"] == nic["PermanentAddress"] and end["ProtocolIFType"] == 6
        beyond = await cim.ask(
            "Associators", end.path, AssocClass="CIM_ActiveConnection", ResultClass="CIM_LANEndpoint"
        )
        for other in beyond:
            (port,) = await cim.ask(
                "Associators", other.path, AssocClass="CIM_DeviceSAPImplementation", Role="Dependent"
            )
            (switch,) = await cim.ask("AssociatorNames", port.path, AssocClass="CIM_SystemDevice")
            assert end["LANID"] == switch["Name"]
            (again,) = await cim.ask("AssociatorNames", other.path, AssocClass="CIM_ActiveConnection")
            assert again == end.path
            ways[nic["DeviceID"]] = switch["Name"], port["Name"], port["PermanentAddress"]
        if not beyond:
            assert end["LANID"] is None
    assert {number.removeprefix("plug/"): way[0] for number, way in ways.items()} == {MACS[0]: "office", MACS[1]: "br7"}
    assert ways[f"plug/{MACS[0]}"][1].startswith("vnet")
    ports = await cim.ask("Associators", OFFICE, AssocClass="CIM_SystemDevice")
    assert {p["DeviceID"]: p["PermanentAddress"] for p in ports} == {
        f"office/plug/{MACS[0]}": "525400000701", "office/virbr7": "525400000700"}  # fmt: skip


async def test_a_port_goes_when_its_guest_stops_and_its_settings_stay(cim: Rig) -> None:
    port = CIMInstanceName("KVM_EthernetSwitchPort", {
        "SystemCreationClassName": "KVM_VirtualEthernetSwitch", "SystemName": "office",
        "CreationClassName": "KVM_EthernetSwitchPort", "DeviceID": f"office/plug/{MACS[0]}"}, namespace="root/virt")  # fmt: skip
    assert (await cim.ask("GetInstance", port))["EnabledState"] == 2
    await cim.engine.destroy("plug")
    await cim.settled()
    with pytest.raises(pywbem.CIMError) as told:
        await cim.ask("GetInstance", port)
    assert told.value.status_code == pywbem.CIM_ERR_NOT_FOUND
    assert [p["DeviceID"] for p in await cim.ask("AssociatorNames", OFFICE, AssocClass="CIM_SystemDevice")] == [
        "office/virbr7"
    ]
    settings = await cim.ask("GetInstance", named(PORT_SETTINGS, f"Switch:office/plug/{MACS[0]}"))
    assert settings["Connection"] == [f"plug/{MACS[0]}"] and settings["ResourceType"] == 30
    assert not await cim.ask("AssociatorNames", settings.path, AssocClass="CIM_SettingsDefineState")


async def test_both_views_of_an_interface_and_its_xml_say_the_same(cim: Rig) -> None:
    """What one of them is told the others say."""
    at = [named(NET, f"plug/{MACS[0]}"), named(PORT_SETTINGS, f"Switch:office/plug/{MACS[0]}")]
    for number, path in enumerate(at):
        one = await cim.ask("GetInstance", path)
        assert one["ReceiveBandwidthPeak"] == 200 and one["AllocationUnits"] == "byte / second * 10^3"
        one["ReceiveBandwidthLimit"] = Uint64(150 + number)
        await cim.ask("ModifyInstance", one)
        for other in at:
            assert (await cim.ask("GetInstance", other))["ReceiveBandwidthLimit"] == 150 + number
        for inactive in ([], ["inactive"]):
            xml = await cim.engine.guest_xml("plug", inactive)  # type: ignore[arg-type]
            assert f"<inbound average='{150 + number}' peak='200'/>" in xml
    assert at[0].classname in {
        path.classname for path in await cim.ask("EnumerateInstanceNames", "CIM_EthernetPortAllocationSettingData")}  # fmt: skip


async def test_a_port_with_vlans_has_an_endpoint_that_names_them(cim: Rig) -> None:
    (end,) = await cim.ask("EnumerateInstances", "CIM_VLANEndpoint")
    assert (end["SystemName"], end["OperationalEndpointMode"], end["OperationalVLANTrunkEncapsulation"]) == (
        "br7",
        5,
        3,
    )
    (vlans,) = await cim.ask("Associators", end.path, AssocClass="CIM_ElementSettingData")
    assert (vlans["TrunkedVLANList"], vlans["NativeVLAN"], vlans["AccessVLAN"]) == ([7, 9], 9, None)
    (port,) = await cim.ask("Associators", end.path, AssocClass="CIM_DeviceSAPImplementation")
    assert port["DeviceID"] == f"br7/plug/{MACS[1]}"
    settings = await cim.ask("GetInstance", named(NET, f"plug/defined/{MACS[1]}"))
    assert (settings["DesiredVLANEndpointMode"], settings["PortVID"]) == (5, 9)
    settings["DesiredVLANEndpointMode"], settings["PortVID"] = Uint16(2), Uint16(12)
    await cim.ask("ModifyInstance", settings)
    assert "<vlan>\n        <tag id='12'/>\n      </vlan>" in await cim.engine.guest_xml("plug", ["inactive"])


async def test_what_old_clients_send_as_texts_is_taken(cim: Rig) -> None:
    """VSITypeID and its version were strings in libvirt-cim; they are numbers in DMTF's superclass."""
    given = CIMInstance(NET, {"NetworkType": "direct", "SourceDevice": "eth0", "NetworkMode": "vepa", "VSIType": "802.1Qbg",
                              "VSIManagerID": "11", "VSITypeID": "1193047", "VSITypeIDVersion": "2", "Address": MACS[2][:-1] + "9",
                              "VSIInstanceID": "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"})  # fmt: skip
    (service,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemManagementService")
    await cim.ask("InvokeMethod", "AddResourceSettings", service, ResourceSettings=[given],
                  AffectedConfiguration=named("KVM_VirtualSystemSettingData", "KVM:plug/defined"))  # fmt: skip
    xml = await cim.engine.guest_xml("plug", ["inactive"])
    assert "<parameters managerid='11' typeid='1193047' typeidversion='2'" in xml


async def test_an_address_changes_while_the_guest_is_off_and_not_while_it_runs(cim: Rig) -> None:
    new = "52:54:00:00:07:0a"
    (service,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemManagementService")
    live, later = (
        CIMInstance(NET, {"InstanceID": f"plug{more}/{MACS[0]}", "Address": new}) for more in ("", "/defined")
    )
    with pytest.raises(pywbem.CIMError) as told:
        await cim.ask("InvokeMethod", "ModifyResourceSettings", service, ResourceSettings=[live])
    assert told.value.status_code == pywbem.CIM_ERR_NOT_SUPPORTED
    value, out = await cim.ask("InvokeMethod", "ModifyResourceSettings", service, ResourceSettings=[later])
    assert value == 0 and [path["InstanceID"] for path in out["ResultingResourceSettings"]] == [f"plug/defined/{new}"]
    assert new in await cim.engine.guest_xml("plug", ["inactive"]) and new not in await cim.engine.guest_xml("plug")


async def test_an_interface_moves_to_another_switch(cim: Rig) -> None:
    """Of a guest that is off: named by the path of its settings."""
    await cim.engine.destroy("plug")
    await cim.settled()
    plug = CIMInstance(PORT_SETTINGS, {"Connection": [named(NET, f"plug/{MACS[0]}").to_wbem_uri("canonical")]})
    value, out = await invoke(cim, "AddResourceSettings", AffectedConfiguration=named(SETTINGS, "Switch:default"),
                              ResourceSettings=[plug])  # fmt: skip
    assert value == 0 and [p["InstanceID"] for p in out["ResultingResourceSettings"]] == [
        f"Switch:default/plug/{MACS[0]}"
    ]
    xml = await cim.engine.guest_xml("plug")
    assert "<source network='default'/>" in xml and "network='office'" not in xml


async def test_a_switch_is_made_with_a_port_or_not_at_all(cim: Rig) -> None:
    await cim.engine.destroy("plug")
    await cim.settled()
    whole = CIMInstance(SETTINGS, {"VirtualSystemIdentifier": "vault"})
    good, bad = (
        CIMInstance(PORT_SETTINGS, {"Connection": ["plug"], "Address": mac})
        for mac in ("52:54:00:00:07:0b", "01:00:00:00:00:01")
    )
    with pytest.raises(pywbem.CIMError):
        await invoke(cim, "DefineSystem", SystemSettings=whole, ResourceSettings=[bad])
    assert {n.name for n in await cim.engine.networks()} == {"default", "office"}
    value, _ = await invoke(cim, "DefineSystem", SystemSettings=whole, ResourceSettings=[good])
    assert value == 0 and "<source network='vault'/>" in await cim.engine.guest_xml("plug")
    like = CIMInstance(SETTINGS, {"VirtualSystemIdentifier": "cellar"})
    value, out = await invoke(
        cim, "DefineSystem", SystemSettings=like, ReferenceConfiguration=named(SETTINGS, "Switch:office")
    )
    assert value == 0 and out["ResultingSystem"]["Name"] == "cellar"
    assert "<ip address='10.7.7.1' netmask='255.255.255.0'" in await cim.engine.network_xml("cellar")


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("DefineSystem", {"SystemSettings": CIMInstance(SETTINGS, {"VirtualSystemIdentifier": "office"})},
     pywbem.CIM_ERR_ALREADY_EXISTS),
    ("DefineSystem", {"SystemSettings": CIMInstance("KVM_VirtualSystemSettingData", {"ElementName": "x"})},
     pywbem.CIM_ERR_INVALID_PARAMETER),
    ("DefineSystem", {"SystemSettings": CIMInstance(SETTINGS, {"ElementName": "x", "Address": "10.300.1.1"})},
     pywbem.CIM_ERR_INVALID_PARAMETER),
    ("DefineSystem", {}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("DestroySystem", {"AffectedSystem": CIMInstanceName(OFFICE.classname, {**OFFICE.keybindings, "Name": "br7"})},
     pywbem.CIM_ERR_NOT_SUPPORTED),
    ("DestroySystem", {"AffectedSystem": CIMInstanceName(OFFICE.classname, {**OFFICE.keybindings, "Name": "none"})},
     pywbem.CIM_ERR_NOT_FOUND),
    ("ModifySystemSettings", {"SystemSettings": CIMInstance(SETTINGS, {"InstanceID": "Switch:none"})}, pywbem.CIM_ERR_NOT_FOUND),
    ("ModifySystemSettings", {"SystemSettings": CIMInstance(SETTINGS, {"InstanceID": "Switch:br7", "MTU": pywbem.Uint32(9000)})},
     pywbem.CIM_ERR_NOT_SUPPORTED),
    ("ModifySystemSettings", {"SystemSettings": CIMInstance(SETTINGS, {
        "InstanceID": "Switch:office", "VirtualSystemIdentifier": "other"})}, pywbem.CIM_ERR_NOT_SUPPORTED),
    ("AddResourceSettings", {"AffectedConfiguration": named(SETTINGS, "Switch:office")}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("AddResourceSettings", {"AffectedConfiguration": named(SETTINGS, "Switch:office"),
                             "ResourceSettings": [CIMInstance(PORT_SETTINGS, {"Connection": ["nobody"]})]},
     pywbem.CIM_ERR_NOT_FOUND),
    ("AddResourceSettings", {"AffectedConfiguration": named(SETTINGS, "Switch:office"),
                             "ResourceSettings": [CIMInstance(PORT_SETTINGS, {"Limit": Uint64(1)})]},
     pywbem.CIM_ERR_INVALID_PARAMETER),
    ("AddResourceSettings", {"AffectedConfiguration": named(SETTINGS, "Switch:office"), "ResourceSettings": [
        CIMInstance("KVM_DiskResourceAllocationSettingData", {"VirtualDevice": "vda"})]}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("ModifyResourceSettings", {"ResourceSettings": [CIMInstance(PORT_SETTINGS, {"InstanceID": f"Switch:br7/plug/{MACS[0]}"})]},
     pywbem.CIM_ERR_NOT_FOUND),
    ("RemoveResourceSettings", {"ResourceSettings": [named(PORT_SETTINGS, "Switch:office/plug/none")]}, pywbem.CIM_ERR_NOT_FOUND),
    ("RemoveResourceSettings", {}, pywbem.CIM_ERR_INVALID_PARAMETER),
]  # fmt: skip


async def test_what_cannot_be_done_is_refused(cim: Rig) -> None:
    before = {
        network.uuid: await cim.engine.network_xml(network.uuid, inactive=True)
        for network in await cim.engine.networks()
    }
    for method, given, status in REFUSED:
        with pytest.raises(pywbem.CIMError) as told:
            await invoke(cim, method, **given)
        assert told.value.status_code == status, (method, given, told.value)
    for path, wanted, value in ((OFFICE, 9, 5), (OFFICE, 2, 0), (CIMInstanceName(OFFICE.classname, {
            **OFFICE.keybindings, "Name": "br7"}, namespace="root/virt"), 3, 5)):  # fmt: skip
        assert (await cim.ask("InvokeMethod", "RequestStateChange", path, RequestedState=Uint16(wanted)))[0] == value
    assert before == {n.uuid: await cim.engine.network_xml(n.uuid, inactive=True) for n in await cim.engine.networks()}
    (guests,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualSystemManagementService")
    with pytest.raises(pywbem.CIMError) as told:
        await cim.ask(
            "InvokeMethod", "DefineSystem", guests, SystemSettings=CIMInstance(SETTINGS, {"ElementName": "x"})
        )
    assert SERVICE in told.value.status_description


async def test_a_switch_stops_with_the_ports_of_its_guests(cim: Rig) -> None:
    for state, active in ((3, False), (2, True)):
        assert (await cim.ask("InvokeMethod", "RequestStateChange", OFFICE, RequestedState=Uint16(state)))[0] == 0
        shown = await cim.ask("GetInstance", OFFICE)
        assert (shown["EnabledState"], shown["RequestedState"]) == (state, state)
        assert (await cim.engine.network("office")).active == active
        ports = await cim.ask("AssociatorNames", OFFICE, AssocClass="CIM_SystemDevice")
        assert len(ports) == (2 if active else 1)
