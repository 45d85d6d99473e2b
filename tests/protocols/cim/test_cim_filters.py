"""Network filters over CIM: read as their documents say, made, changed, put into others and on ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint8, Uint16

from frontinus.client.details import details
from support.cim import Rig, rig

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
WEB = """<filter name='web' chain='root'><uuid>8c5a1b2e-7b7e-4f2e-9c53-9a0a0a0a0a01</uuid>
<rule action='accept' direction='in' priority='200'>
  <tcp srcipaddr='10.1.2.3' srcipmask='255.255.255.0' dstportstart='80' dstportend='443'/></rule>
<filterref filter='no-mac-spoofing'/>
<rule action='drop' direction='out'><mac srcmacaddr='52:54:00:00:00:01' srcmacmask='ff:ff:ff:ff:ff:00'/></rule>
<rule action='reject' direction='inout' priority='900'><all/></rule></filter>"""
NIC = "<interface type='bridge'><source bridge='br0'/><mac address='52:54:00:00:aa:01'/><filterref filter='web'/></interface>"
GUEST = """<domain type='qemu'><name>walled</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>{}</devices></domain>"""


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        await made.engine.define_filter(WEB)
        await made.engine.define(GUEST.format(NIC))
        await made.settled()
        yield made


async def listed(cim: Rig, name: str) -> CIMInstanceName:
    paths = await cim.ask("EnumerateInstanceNames", "KVM_FilterList")
    return next(path for path in paths if path["Name"] == name)


async def entries(cim: Rig, name: str) -> list[Any]:
    found = await cim.ask("Associators", await listed(cim, name), AssocClass="KVM_EntriesInFilterList")
    return sorted(found, key=lambda one: int(one["Name"].rpartition(":")[2]))


async def create(cim: Rig, cls: str, **values: Any) -> CIMInstanceName:
    return await cim.ask("CreateInstance", CIMInstance(cls, values))


async def test_a_filter_is_shown_as_its_document_says(cim: Rig) -> None:
    web, mac, rest = await entries(cim, "web")
    assert [one.classname for one in (web, mac, rest)] == [
        "KVM_IPHeadersFilter",
        "KVM_Hdr8021Filter",
        "KVM_IPHeadersFilter",
    ]
    assert (web["Action"], web["Direction"], web["Priority"], web["HdrProtocolID"]) == (1, 1, 200, 6)
    assert (web["HdrSrcAddress"], web["HdrSrcMask"]) == ([10, 1, 2, 3], [255, 255, 255, 0])
    assert (web["HdrDestPortStart"], web["HdrDestPortEnd"], web["HdrIPVersion"]) == (80, 443, 4)
    assert mac["HdrSrcMACAddr8021"] == [0x52, 0x54, 0, 0, 0, 1] and (mac["Action"], mac["Direction"]) == (2, 2)
    assert [one["Name"] for one in (web, mac, rest)] == ["web:0", "web:2", "web:3"], "as libvirt-cim counts them"
    nested = await cim.ask(
        "AssociatorNames", await listed(cim, "web"), AssocClass="KVM_NestedFilterList", Role="Antecedent"
    )
    assert [one["Name"] for one in nested] == ["no-mac-spoofing"]
    ports = await cim.ask("AssociatorNames", await listed(cim, "web"), AssocClass="KVM_AppliedFilterList")
    assert [one["DeviceID"] for one in ports] == ["walled/52:54:00:00:aa:01"]
    for view in await cim.engine.filters():
        rules = (await cim.engine.filter_xml(view.uuid)).count("<rule ")
        assert len(await entries(cim, view.name)) == rules, view.name
    (host,) = await cim.ask("AssociatorNames", await listed(cim, "web"), AssocClass="KVM_HostedFilterList")
    assert host.classname == "KVM_HostSystem"


async def test_a_filter_is_made_filled_changed_and_removed(cim: Rig) -> None:
    path = await create(cim, "KVM_FilterList", Name="own", InstanceID="8c5a1b2e-7b7e-4f2e-9c53-9a0a0a0a0a02")
    assert (await cim.engine.filter("own")).uuid == "8c5a1b2e-7b7e-4f2e-9c53-9a0a0a0a0a02" and path["Name"] == "own"
    ssh = await create(
        cim, "KVM_IPHeadersFilter", Name="own", Action=Uint16(1), Direction=Uint16(1), Priority=Uint16(300), HdrIPVersion=Uint8(4),
        HdrProtocolID=Uint16(6), HdrSrcAddress=[Uint8(n) for n in (192, 0, 2, 7)], HdrDestPortStart=Uint16(22))  # fmt: skip
    six = await create(
        cim, "KVM_IPHeadersFilter", Name="own:0", HdrIPVersion=Uint8(6), HdrProtocolID=Uint16(17), Action=Uint16(2),
        HdrSrcAddress=[Uint8(n) for n in bytes.fromhex("20010db8000000000000000000000001")])  # fmt: skip
    mac = [Uint8(n) for n in (2, 0, 0, 0, 0, 9)]
    arp = await create(cim, "KVM_Hdr8021Filter", Name="own", HdrProtocolID8021=Uint16(0x806), HdrSrcMACAddr8021=mac)
    await create(cim, "KVM_FilterEntry", Name="own", MatchConditionValue="stp", Action=Uint16(2))
    assert (ssh["Name"], six["Name"], arp["Name"]) == ("own:0", "own:1", "own:2")
    xml = " ".join((await cim.engine.filter_xml("own")).split())
    assert "<tcp srcipaddr='192.0.2.7' dstportstart='22'/>" in xml and "<udp-ipv6 srcipaddr='2001:db8::1'/>" in xml
    assert "<arp srcmacaddr='02:00:00:00:00:09'/>" in xml and "<stp/>" in xml
    changed = await cim.ask("GetInstance", ssh)
    changed["HdrDestPortStart"], changed["Action"] = Uint16(2222), Uint16(2)
    await cim.ask("ModifyInstance", changed)
    again = await cim.ask("GetInstance", ssh)
    assert (again["HdrDestPortStart"], again["Action"], again["HdrSrcAddress"]) == (2222, 2, [192, 0, 2, 7])
    await cim.ask("DeleteInstance", six)
    assert [one["Name"] for one in await entries(cim, "own")] == ["own:0", "own:1", "own:2"], "those behind it moved up"
    await cim.ask("DeleteInstance", path)
    assert "own" not in {view.name for view in await cim.engine.filters()}


async def test_filters_are_put_into_others_and_on_ports(cim: Rig) -> None:
    await cim.engine.start("walled")
    web, own = await listed(cim, "web"), await create(cim, "KVM_FilterList", Name="own")
    nested = await create(cim, "KVM_NestedFilterList", Antecedent=own, Dependent=web)
    assert "<filterref filter='web'/>" in await cim.engine.filter_xml("own")
    (port,) = await cim.ask("EnumerateInstanceNames", "KVM_NetworkPort")
    applied = await create(cim, "KVM_AppliedFilterList", Antecedent=own, Dependent=port)
    assert details(await cim.engine.guest_xml("walled")).of("interface")[0]["filterref/@filter"] == "own"
    with pytest.raises(pywbem.CIMError, match="own"):
        await cim.ask("DeleteInstance", own)  # a port has it
    await cim.ask("DeleteInstance", applied)
    assert "filterref" not in await cim.engine.guest_xml("walled")
    await cim.ask("DeleteInstance", nested)
    assert "filterref" not in await cim.engine.filter_xml("own")
    await cim.ask("DeleteInstance", own)


WRONG: list[tuple[str, dict[str, Any], int]] = [
    ("KVM_FilterList", {"Name": "web"}, pywbem.CIM_ERR_ALREADY_EXISTS),
    ("KVM_FilterList", {"InstanceID": "x"}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("KVM_FilterList", {"Name": "x", "InstanceID": "no uuid"}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("KVM_IPHeadersFilter", {"Name": "nothing:0"}, pywbem.CIM_ERR_NOT_FOUND),
    ("KVM_IPHeadersFilter", {"Name": "web", "HdrProtocolID": Uint16(250)}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("KVM_IPHeadersFilter", {"Name": "web", "Action": Uint16(77)}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("KVM_IPHeadersFilter", {"Name": "web", "HdrSrcAddress": [Uint8(1)] * 3}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("KVM_Hdr8021Filter", {"Name": "web", "HdrSrcMACAddr8021": [Uint8(1)] * 4}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("KVM_FilterEntry", {"Name": "web", "MatchConditionValue": "no such"}, pywbem.CIM_ERR_INVALID_PARAMETER),
]


async def test_what_cannot_be_changes_nothing(cim: Rig) -> None:
    was = await cim.engine.filter_xml("web")
    for cls, values, status in WRONG:
        with pytest.raises(pywbem.CIMError) as told:
            await create(cim, cls, **values)
        assert told.value.status_code == status, (cls, values, told.value)
    with pytest.raises(pywbem.CIMError) as denied:
        await cim.ask("DeleteInstance", await listed(cim, "web"), user="eye")
    assert denied.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
    assert await cim.engine.filter_xml("web") == was
