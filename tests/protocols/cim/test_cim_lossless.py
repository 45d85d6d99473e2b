"""No property of a resource's settings is lost in silence: a change is done and shown, or refused by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint32

from support.cim import Rig, rig, schema
from support.cim_resources import DOMAIN, MAC, PARTS, SERVICE, UUID, VSSD, Changer, class_of, other, properties

GUEST = {
    "name": "whole",
    "disk": "/var/lib/mock/a.img",
    "mac": MAC,
    "card": "bridge",
    "source": "<source bridge='br7'/>",
}
DONE = {
    "Disk": {"VirtualDevice", "BusType", "DriverType", "DriverCache", "Address", "HostResource", "AccessMode",
             "Access", "readonly", "shareable"},
    "Net": {"Address", "ResourceSubType", "NetworkName", "PoolID", "Connection", "VirtualDevice", "FilterRef",
            "Limit", "ReceiveBandwidthLimit"},
    "Mem": {"VirtualQuantity", "Limit", "dumpCore"}, "Proc": {"VirtualQuantity", "Limit", "Weight"},
    "Graphics": {"Address", "KeyMap", "Password"}, "Input": {"ResourceSubType", "BusType"}, "Console": set(), "Controller": set(),
}  # fmt: skip
"""At least these are done of a guest that is off."""
TYPES = {"readonly": "boolean"}
PORT_SETTINGS, SWITCHES = "KVM_EthernetSwitchPortSettingData", "KVM_VirtualEthernetSwitchManagementService"


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


@pytest.mark.parametrize("kind", PARTS)
async def test_each_property_is_changed_or_refused_by_name(cim: Rig, kind: str) -> None:
    client = cim.connection()
    changer, done = Changer(client, cim.engine, "whole"), set[str]()
    await cim.engine.define(DOMAIN.format(**GUEST))
    for prop in properties(schema(), kind):
        await cim.settled()
        if await changer.change(kind, prop) == "done":
            done.add(prop.name)
            await cim.engine.define(DOMAIN.format(**GUEST))
    client.close()
    assert DONE[kind] <= done


NETWORK = "<network><name>office</name><bridge name='virbr7'/><ip address='10.7.7.1' prefix='24'/></network>"
SWITCH_SETTINGS = "KVM_VirtualEthernetSwitchSettingData"
SWITCH_DONE = {
    "BridgeName",
    "ForwardMode",
    "Address",
    "Netmask",
    "DomainName",
    "MTU",
    "SpanningTree",
    "AutomaticStartupAction",
}
SYSTEM_DONE = {
    "VirtualSystemIdentifier", "Description", "AutoStart", "AutomaticStartupAction", "AutomaticRecoveryAction", "ClockOffset",
    "EnableACPI", "EnableAPIC", "EnablePAE", "BootDevices", "Kernel", "BootLoader",
}  # fmt: skip


async def test_each_property_of_a_guest_as_a_whole_too(cim: Rig) -> None:
    client, done = cim.connection(), set[str]()
    guest = Changer(client, cim.engine, UUID)
    for prop in properties(schema(), "System"):
        await cim.engine.define(DOMAIN.format(**GUEST))
        await cim.settled()
        path = CIMInstanceName(VSSD, {"InstanceID": "KVM:whole"}, namespace="root/virt")
        now, before = await guest.ask("GetInstance", path), await guest.document()
        wanted = other("System", prop, now.get(prop.name))
        given = CIMInstance(VSSD, {"InstanceID": "KVM:whole", prop.name: wanted})
        try:
            value, _ = await guest.ask("InvokeMethod", "ModifySystemSettings", SERVICE, SystemSettings=given)
        except pywbem.CIMError as error:
            assert prop.name in error.status_description and await guest.document() == before, (prop.name, error)
            continue
        name = (await cim.engine.guest(UUID)).name
        shown = await guest.ask(
            "GetInstance", CIMInstanceName(VSSD, {"InstanceID": f"KVM:{name}"}, namespace="root/virt")
        )
        assert value == 0 and shown[prop.name] == wanted.value, prop.name
        done.add(prop.name)
        await cim.engine.undefine(UUID)
    client.close()
    assert done >= SYSTEM_DONE, SYSTEM_DONE - done


async def test_each_property_of_a_switch_too(cim: Rig) -> None:
    client, done = cim.connection(), set[str]()
    await cim.engine.define_network(NETWORK)
    await cim.settled()
    path = CIMInstanceName(SWITCH_SETTINGS, {"InstanceID": "Switch:office"}, namespace="root/virt")
    guest = Changer(client, cim.engine, "office")
    for prop in (one for one in schema()[SWITCH_SETTINGS].properties if one.name != "InstanceID"):
        now, before = await guest.ask("GetInstance", path), await cim.engine.network_xml("office")
        wanted = other("Switch", prop, now.get(prop.name))
        given = CIMInstance(SWITCH_SETTINGS, {"InstanceID": "Switch:office", prop.name: wanted})
        try:
            value, _ = await guest.ask("InvokeMethod", "ModifySystemSettings", SWITCHES, SystemSettings=given)
        except pywbem.CIMError as error:
            assert prop.name in error.status_description, (prop.name, error)
            assert await cim.engine.network_xml("office") == before
            continue
        assert value == 0 and (await guest.ask("GetInstance", path))[prop.name] == wanted.value, prop.name
        done.add(prop.name)
    client.close()
    assert done >= SWITCH_DONE, SWITCH_DONE - done


async def test_null_takes_a_property_away_or_is_refused(cim: Rig) -> None:
    await cim.engine.define(DOMAIN.format(**GUEST))
    await cim.settled()
    for kind, name, value in (
        ("Net", "FilterRef", "clean-traffic"),
        ("Graphics", "KeyMap", "de"),
        ("Disk", "readonly", True),
    ):
        path = CIMInstanceName(class_of(kind), {"InstanceID": f"whole/{PARTS[kind]}"}, namespace="root/virt")
        for wanted in (value, None):
            given = CIMInstance(
                path.classname, [pywbem.CIMProperty(name, wanted, type=TYPES.get(name, "string"))], path=path
            )
            await cim.ask("ModifyInstance", given, PropertyList=[name])
            assert ((await cim.ask("GetInstance", path))[name] or None) == wanted, name
    xml = await cim.engine.guest_xml("whole")
    assert "filterref" not in xml and "keymap" not in xml and "readonly" not in xml
    memory = CIMInstanceName(class_of("Mem"), {"InstanceID": "whole/mem"}, namespace="root/virt")
    nothing = CIMInstance(memory.classname, [pywbem.CIMProperty("VirtualQuantity", None, type="uint64")], path=memory)
    with pytest.raises(pywbem.CIMError) as refused:
        await cim.ask("ModifyInstance", nothing)
    assert (
        refused.value.status_code == pywbem.CIM_ERR_NOT_SUPPORTED
        and "VirtualQuantity" in refused.value.status_description
    )


async def test_a_port_of_a_switch_is_changed_or_refused_by_name_too(cim: Rig) -> None:
    await cim.engine.define(DOMAIN.format(**GUEST))
    await cim.settled()
    path = CIMInstanceName(PORT_SETTINGS, {"InstanceID": f"Switch:br7/whole/{MAC}"}, namespace="root/virt")
    for name, value in (
        ("Connection", ["test"]),
        ("ElementName", "x"),
        ("ResourceSubType", "e1000"),
        ("Weight", Uint32(7)),
    ):
        given = CIMInstance(PORT_SETTINGS, {"InstanceID": path["InstanceID"], name: value})
        with pytest.raises(pywbem.CIMError) as refused:
            await cim.ask("InvokeMethod", "ModifyResourceSettings", SWITCHES, ResourceSettings=[given])
        assert name in refused.value.status_description
    moved = CIMInstance(PORT_SETTINGS, {"InstanceID": path["InstanceID"], "PoolID": "NetworkPool/default"})
    value, out = await cim.ask("InvokeMethod", "ModifyResourceSettings", SWITCHES, ResourceSettings=[moved])
    assert value == 0
    assert [one["InstanceID"] for one in out["ResultingResourceSettings"]] == [f"Switch:default/whole/{MAC}"]
    assert "<source network='default'/>" in await cim.engine.guest_xml("whole")
