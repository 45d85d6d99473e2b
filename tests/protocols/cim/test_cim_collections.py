"""Filters that are there anyhow, collections of them, and subscriptions to a collection (DSP1054)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName

from frontinus_cim.subscriptions import predefined
from frontinus_cim.subscriptions.store import Destination, Filter, Subscription, Subscriptions
from support.cim import Rig, rig, schema
from support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
INTEROP = "root/interop"
ALL, GUESTS, ALERTS = (f"Frontinus:{name}" for name in ("All", "Guests", "Alerts"))


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


async def ask(cim: Rig, operation: str, *args: Any, **more: Any) -> Any:
    return await cim.ask(operation, *args, namespace=INTEROP, **more)


def collection(name: str) -> CIMInstanceName:
    return CIMInstanceName("CIM_FilterCollection", {"InstanceID": name}, namespace=INTEROP)


async def subscribe(cim: Rig, name: str, **more: Any) -> CIMInstanceName:
    handler = await ask(cim, "CreateInstance", CIMInstance("CIM_ListenerDestinationCIMXML", {
        "Name": f"to-{name}", "Destination": "http://127.0.0.1:9/"}))  # fmt: skip
    ends = {"Filter": collection(name), "Handler": handler}
    return await ask(cim, "CreateInstance", CIMInstance("CIM_FilterCollectionSubscription", {**ends, **more}))


def heard(cim: Rig) -> list[tuple[str, str, str | None]]:
    """What is given to delivery from now on: subscription, class of indication, filter."""
    told: list[tuple[str, str, str | None]] = []
    cim.delivery.send = lambda on, to, made, passed=None: told.append((on, made.cls, passed))  # type: ignore[method-assign,assignment]
    return told


async def test_every_filter_is_in_a_collection_that_leads_to_it_and_back(cim: Rig) -> None:
    names = {i["CollectionName"] for i in await ask(cim, "EnumerateInstances", "CIM_FilterCollection")}
    assert names == set(predefined.COLLECTIONS)
    (host,) = await ask(cim, "EnumerateInstanceNames", "KVM_HostSystem")
    for name, inside in predefined.COLLECTIONS.items():
        members = await ask(
            cim, "Associators", collection(name), AssocClass="CIM_MemberOfCollection", Role="Collection"
        )
        assert {m["Name"] if "Name" in m else m["InstanceID"] for m in members} == set(inside)
        for member in members:
            holders = await ask(cim, "AssociatorNames", member.path, AssocClass="CIM_MemberOfCollection", Role="Member")
            assert name in {holder["InstanceID"] for holder in holders}
            if member.classname == "CIM_IndicationFilter":
                assert member["SystemName"] == host["Name"] and member["QueryLanguage"] == "WQL" and member["Query"]
                assert (await ask(cim, "GetInstance", member.path))["Name"] == member["Name"]
    assert {name for name in cim.world.subscriptions.collections.filters_of(ALL)} <= set(predefined.QUERIES)


async def test_the_service_of_indications_leads_to_filters_collections_and_receivers(cim: Rig) -> None:
    await subscribe(cim, GUESTS)
    (service,) = await ask(cim, "EnumerateInstanceNames", "CIM_IndicationService")
    found = await ask(cim, "AssociatorNames", service, AssocClass="CIM_ServiceAffectsElement")
    assert {p.classname for p in found} == {
        "CIM_IndicationFilter",
        "CIM_FilterCollection",
        "CIM_ListenerDestinationCIMXML",
    }


async def test_a_subscription_to_a_collection_is_to_all_in_it(cim: Rig) -> None:
    made = await subscribe(cim, ALL, SubscriptionInfo="all of it")
    told = heard(cim)
    await cim.engine.suspend("test")
    await until(lambda: any(cls == "KVM_ComputerSystemModifiedIndication" for _, cls, _ in told))
    assert all(on == ALL for on, _, _ in told) and ("Frontinus:GuestModified" in {passed for _, _, passed in told})
    (shown,) = await ask(cim, "EnumerateInstances", "CIM_FilterCollectionSubscription")
    assert shown["SubscriptionInfo"] == "all of it" and shown["Filter"]["InstanceID"] == ALL
    (receiver,) = await ask(cim, "AssociatorNames", collection(ALL), ResultClass="CIM_ListenerDestination")
    (back,) = await ask(cim, "AssociatorNames", receiver, AssocClass="CIM_AbstractIndicationSubscription")
    assert back["InstanceID"] == ALL
    shown["SubscriptionState"] = pywbem.Uint16(4)
    await ask(cim, "ModifyInstance", shown, PropertyList=["SubscriptionState"])
    told.clear()
    await cim.engine.resume("test")
    await cim.settled()
    assert not told
    await ask(cim, "DeleteInstance", made)
    assert not await ask(cim, "EnumerateInstances", "CIM_FilterCollectionSubscription")


async def test_what_passes_two_filters_of_a_collection_is_told_once(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = ["Frontinus:GuestModified", "Frontinus:GuestStateChanged"]
    monkeypatch.setattr(predefined, "COLLECTIONS", {**predefined.COLLECTIONS, GUESTS: twice})
    await subscribe(cim, GUESTS)
    told = heard(cim)
    await cim.engine.suspend("test")
    await cim.settled()
    assert [cls for _, cls, _ in told] == ["KVM_ComputerSystemModifiedIndication"]


async def test_what_does_not_pass_is_not_told(cim: Rig) -> None:
    await subscribe(cim, ALERTS)
    told = heard(cim)
    await cim.engine.suspend("test")
    await cim.settled()
    assert not told


async def test_filters_of_the_provider_can_be_subscribed_to_and_stay(cim: Rig) -> None:
    path = next(
        p
        for p in await ask(cim, "EnumerateInstanceNames", "CIM_IndicationFilter")
        if p["Name"].endswith("GuestModified")
    )
    handler = await ask(cim, "CreateInstance", CIMInstance("CIM_ListenerDestinationCIMXML", {
        "Name": "h", "Destination": "http://127.0.0.1:9/"}))  # fmt: skip
    await ask(cim, "CreateInstance", CIMInstance("CIM_IndicationSubscription", {"Filter": path, "Handler": handler}))
    told = heard(cim)
    await cim.engine.suspend("test")
    await until(lambda: bool(told))
    with pytest.raises(pywbem.CIMError) as refused:
        await ask(cim, "DeleteInstance", path)
    assert refused.value.status_code == pywbem.CIM_ERR_NOT_SUPPORTED
    with pytest.raises(pywbem.CIMError) as reserved:
        await ask(cim, "CreateInstance", CIMInstance("CIM_IndicationFilter", {
            "Name": "Frontinus:Mine", "Query": "SELECT * FROM CIM_AlertIndication", "QueryLanguage": "WQL"}))  # fmt: skip
    assert reserved.value.status_code == pywbem.CIM_ERR_INVALID_PARAMETER
    with pytest.raises(pywbem.CIMError) as wrong:
        await ask(
            cim,
            "CreateInstance",
            CIMInstance("CIM_IndicationSubscription", {"Filter": collection(ALL), "Handler": handler}),
        )
    assert wrong.value.status_code == pywbem.CIM_ERR_INVALID_PARAMETER


async def test_subscriptions_to_collections_are_kept_and_those_to_what_is_gone_are_not(tmp_path: Path) -> None:
    kept = Subscriptions(schema(), tmp_path)
    kept.destinations["d"] = Destination(name="d", url="http://127.0.0.1:9/", system=("s", "h"))
    kept.filters["f"] = Filter(name="f", query="SELECT * FROM CIM_AlertIndication", language="WQL", system=("s", "h"))
    for name in (GUESTS, "f", "Frontinus:FromAnotherVersion"):
        kept.subscriptions[name, "d"] = Subscription(filter=name, destination="d")
    await kept.save()
    again = Subscriptions(schema(), tmp_path)
    assert set(again.subscriptions) == {(GUESTS, "d"), ("f", "d")} and set(again.filters) == {"f"}
    assert {one.filter.name for one in again.active()} == {"f", *predefined.COLLECTIONS[GUESTS]}


async def test_enumeration_count(cim: Rig) -> None:
    """DSP0200 5.3.2 EnumerationCount: how many are still to be pulled."""
    total = len(await cim.ask("EnumerateInstanceNames", "CIM_ManagedElement"))
    opened = await cim.ask("OpenEnumerateInstancePaths", "CIM_ManagedElement", MaxObjectCount=3)

    def count() -> int:
        connection = cim.connection()
        try:
            reply = connection._imethodcall("EnumerationCount", "root/virt", EnumerationContext=opened.context[0])
        finally:
            connection.close()
        return int(reply[0][2][0])

    assert await asyncio.to_thread(count) == total - 3
    await cim.ask("PullInstancePaths", opened.context, 2)
    assert await asyncio.to_thread(count) == total - 5
    await cim.ask("CloseEnumeration", opened.context)
    with pytest.raises(pywbem.CIMError) as closed:
        await asyncio.to_thread(count)
    assert closed.value.status_code == pywbem.CIM_ERR_INVALID_ENUMERATION_CONTEXT


async def test_associations_of_classes(cim: Rig) -> None:
    """DSP0200 5.3.2: what instances of a class can be associated with, by the schema."""
    found = {
        cls.classname: cls
        for _, cls in await cim.ask("Associators", "KVM_ComputerSystem", AssocClass="CIM_SystemDevice")
    }
    assert found.keys() == {"CIM_LogicalDevice"} and found["CIM_LogicalDevice"].qualifiers["Description"].value
    names = {p.classname for p in await cim.ask("ReferenceNames", "KVM_ComputerSystem", ResultClass="CIM_Component")}
    assert {"KVM_SystemDevice", "CIM_SystemDevice"} <= names and "KVM_HostedDependency" not in names
    dependents = await cim.ask("ReferenceNames", "KVM_ComputerSystem", ResultClass="CIM_Dependency", Role="Dependent")
    assert "KVM_HostedDependency" in {p.classname for p in dependents}
    (whole,) = [
        c
        for _, c in await cim.ask(
            "References", "KVM_Processor", ResultClass="KVM_SettingsDefineState", Role="ManagedElement"
        )
    ]
    assert whole.classname == "KVM_SettingsDefineState" and "SettingData" in whole.properties


async def test_an_association_may_be_asked_what_it_is_associated_with(cim: Rig) -> None:
    """DSP0200 5.3.2: any instance may be the source, one of an association as well; no other association refers to it."""
    source = (await cim.ask("EnumerateInstanceNames", "KVM_HostedDependency"))[0]
    absent = source.copy()
    absent["Dependent"] = source["Dependent"].copy()
    absent["Dependent"]["Name"] = "nobody"
    for operation in ("Associators", "AssociatorNames", "References", "ReferenceNames"):
        assert await cim.ask(operation, source) == []
        with pytest.raises(pywbem.CIMError) as refused:
            await cim.ask(operation, absent)
        assert refused.value.status_code == pywbem.CIM_ERR_NOT_FOUND
    for operation in ("OpenAssociatorInstances", "OpenReferenceInstancePaths"):
        opened = await cim.ask(operation, source)
        assert opened.eos and not (opened.instances if operation == "OpenAssociatorInstances" else opened.paths)


async def test_classes_come_with_their_descriptions(cim: Rig) -> None:
    found = await cim.ask("GetClass", "KVM_ComputerSystem", LocalOnly=False)
    assert found.qualifiers["Description"].value
    for part in (*found.properties.values(), *found.methods.values()):
        assert part.qualifiers["Description"].value, part.name
    bare = await cim.ask("GetClass", "KVM_ComputerSystem", LocalOnly=False, IncludeQualifiers=False)
    assert not bare.qualifiers and not bare.properties["Name"].qualifiers
