"""No property of a resource's settings is lost in silence: a change is done and shown, or refused by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint32

from support.cim import Rig, rig, schema
from support.cim_resources import DOMAIN, MAC, PARTS, Changer, class_of, properties

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
