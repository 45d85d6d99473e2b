"""Collections of filters that clients make: filled, subscribed to, kept over restarts, removed in order (DSP1054)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName

from frontinus_cim.subscriptions import store
from frontinus_cim.subscriptions.store import Subscriptions
from frontinus_cim.wire.model import Embedded
from support.cim import Rig, rig, schema
from support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
INTEROP = "root/interop"
MADE = "SELECT * FROM KVM_ComputerSystemModifiedIndication"


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


async def ask(cim: Rig, operation: str, *args: Any, **more: Any) -> Any:
    return await cim.ask(operation, *args, namespace=INTEROP, **more)


async def create(cim: Rig, cls: str, **values: Any) -> CIMInstanceName:
    found = await ask(cim, "CreateInstance", CIMInstance(cls, values))
    assert isinstance(found, CIMInstanceName)
    return found


async def made(cim: Rig, name: str = "Ours:Collected", **more: Any) -> CIMInstanceName:
    return await create(cim, "CIM_FilterCollection", InstanceID=name, CollectionName=name, **more)


async def filtered(cim: Rig, name: str = "f", query: str = MADE) -> CIMInstanceName:
    return await create(cim, "CIM_IndicationFilter", Name=name, Query=query, QueryLanguage="WQL")


async def put(cim: Rig, collection: CIMInstanceName, member: CIMInstanceName) -> CIMInstanceName:
    return await create(cim, "CIM_MemberOfCollection", Collection=collection, Member=member)


async def subscribed(cim: Rig, collection: CIMInstanceName) -> CIMInstanceName:
    handler = await create(cim, "CIM_ListenerDestinationCIMXML", Name="to", Destination="http://127.0.0.1:9/")
    return await create(cim, "CIM_FilterCollectionSubscription", Filter=collection, Handler=handler)


async def refused(cim: Rig, status: int, operation: str, *args: Any) -> str:
    with pytest.raises(pywbem.CIMError) as told:
        await ask(cim, operation, *args)
    assert told.value.status_code == status, told.value
    return str(told.value)


async def test_a_collection_is_made_filled_subscribed_to_and_told_of(cim: Rig) -> None:
    collection, own = await made(cim, ElementName="ours"), await filtered(cim)
    member = await put(cim, collection, own)
    told: list[tuple[str, str | None]] = []
    cim.delivery.send = lambda on, to, what, passed=None: told.append((on, passed))  # type: ignore[method-assign,assignment]
    subscription = await subscribed(cim, collection)
    await cim.engine.suspend("test")
    await until(lambda: ("Ours:Collected", "f") in told)
    shown = await ask(cim, "GetInstance", collection)
    assert (shown["CollectionName"], shown["ElementName"]) == ("Ours:Collected", "ours")
    assert [p["Name"] for p in await ask(cim, "AssociatorNames", collection, AssocClass="CIM_MemberOfCollection")] == [
        "f"
    ]
    assert (await ask(cim, "GetInstance", member))["Member"]["Name"] == "f"
    await ask(cim, "DeleteInstance", member)
    told.clear()
    await cim.engine.resume("test")
    await cim.settled()
    assert not told, "nothing is in it any more"
    assert (await ask(cim, "EnumerateInstances", "CIM_FilterCollectionSubscription"))[0].path == subscription


async def test_the_service_of_indications_owns_every_collection(cim: Rig) -> None:
    await made(cim)
    (service,) = await ask(cim, "EnumerateInstanceNames", "CIM_IndicationService")
    owned = await ask(cim, "AssociatorNames", service, AssocClass="CIM_OwningCollectionElement", Role="OwningElement")
    every = await ask(cim, "EnumerateInstanceNames", "CIM_FilterCollection")
    assert {p["InstanceID"] for p in owned} == {p["InstanceID"] for p in every} > {"Ours:Collected"}
    for collection in every:
        (owner,) = await ask(cim, "AssociatorNames", collection, AssocClass="CIM_OwningCollectionElement")
        assert owner.classname == "KVM_IndicationService"


async def test_a_collection_holds_collections_and_the_providers_filters(cim: Rig) -> None:
    outer, inner = await made(cim, "Ours:Outer"), await made(cim, "Ours:Inner")
    every = await ask(cim, "EnumerateInstanceNames", "CIM_FilterCollection")
    alerts = next(p for p in every if p["InstanceID"] == "Frontinus:Alerts")
    for holder, member in ((outer, inner), (inner, alerts), (outer, alerts)):
        await put(cim, holder, member)
    await subscribed(cim, outer)
    kept = cim.world.subscriptions
    assert [one.filter.name for one in kept.active()] == ["Frontinus:Alert"], "once, whatever the way"
    for holder, member in ((inner, outer), (inner, inner)):
        words = await refused(cim, pywbem.CIM_ERR_INVALID_PARAMETER, "CreateInstance", CIMInstance(
            "CIM_MemberOfCollection", {"Collection": holder, "Member": member}))  # fmt: skip
        assert "itself" in words
    again = CIMInstance("CIM_MemberOfCollection", {"Collection": outer, "Member": inner})
    await refused(cim, pywbem.CIM_ERR_ALREADY_EXISTS, "CreateInstance", again)


async def test_what_is_needed_stays_until_what_needs_it_is_gone(cim: Rig) -> None:
    collection, own = await made(cim), await filtered(cim)
    member, subscription = await put(cim, collection, own), await subscribed(cim, collection)
    assert "collection" in await refused(cim, pywbem.CIM_ERR_FAILED, "DeleteInstance", own)
    assert "subscription" in await refused(cim, pywbem.CIM_ERR_FAILED, "DeleteInstance", collection)
    for path in (subscription, member, own, collection):
        await ask(cim, "DeleteInstance", path)
    await refused(cim, pywbem.CIM_ERR_NOT_FOUND, "DeleteInstance", collection)


async def test_a_collection_goes_with_what_is_in_it_left_behind(cim: Rig) -> None:
    collection, own = await made(cim), await filtered(cim)
    await put(cim, collection, own)
    await ask(cim, "DeleteInstance", collection)
    await ask(cim, "DeleteInstance", own)


async def test_collections_are_kept_over_restarts(cim: Rig) -> None:
    collection, own = await made(cim), await filtered(cim)
    await put(cim, collection, own)
    await subscribed(cim, collection)
    again = Subscriptions(schema(), cim.folder / "cim")
    assert [(one.subscription.filter, one.filter.name) for one in again.active()] == [("Ours:Collected", "f")]


WRONG: list[tuple[str, dict[str, Any], int]] = [
    ("CIM_FilterCollection", {"InstanceID": "Frontinus:Mine"}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("CIM_FilterCollection", {"CollectionName": "Frontinus:Mine"}, pywbem.CIM_ERR_INVALID_PARAMETER),
    ("CIM_FilterCollection", {"InstanceID": "Ours:Collected"}, pywbem.CIM_ERR_ALREADY_EXISTS),
    ("CIM_FilterCollection", {"InstanceID": "f"}, pywbem.CIM_ERR_ALREADY_EXISTS),
    ("CIM_FilterCollection", {"InstanceID": "x" * 5000}, pywbem.CIM_ERR_INVALID_PARAMETER),
    (
        "CIM_IndicationFilter",
        {"Name": "Ours:Collected", "Query": MADE, "QueryLanguage": "WQL"},
        pywbem.CIM_ERR_ALREADY_EXISTS,
    ),
]


async def test_what_cannot_be_changes_nothing(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    collection, own = await made(cim), await filtered(cim)
    before = (cim.folder / "cim" / store.FILE).read_bytes()
    for cls, values, status in WRONG:
        await refused(cim, status, "CreateInstance", CIMInstance(cls, values))
    every = {p["InstanceID"]: p for p in await ask(cim, "EnumerateInstanceNames", "CIM_FilterCollection")}
    (service,) = await ask(cim, "EnumerateInstanceNames", "CIM_IndicationService")
    for holder, member, status in (
        (every["Frontinus:All"], own, pywbem.CIM_ERR_NOT_SUPPORTED),
        (collection, service, pywbem.CIM_ERR_INVALID_PARAMETER),
        (
            CIMInstanceName("CIM_FilterCollection", {"InstanceID": "no"}, namespace=INTEROP),
            own,
            pywbem.CIM_ERR_INVALID_PARAMETER,
        ),
    ):
        given = {"Collection": holder, "Member": member}
        await refused(cim, status, "CreateInstance", CIMInstance("CIM_MemberOfCollection", given))
    for path in (
        every["Frontinus:All"],
        *await ask(cim, "ReferenceNames", every["Frontinus:Jobs"], ResultClass="CIM_MemberOfCollection"),
    ):
        await refused(cim, pywbem.CIM_ERR_NOT_SUPPORTED, "DeleteInstance", path)
    with pytest.raises(pywbem.CIMError) as denied:
        await cim.ask(
            "CreateInstance", CIMInstance("CIM_FilterCollection", {"InstanceID": "y"}), namespace=INTEROP, user="eye"
        )
    assert denied.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
    monkeypatch.setattr(store, "MOST", 1)
    await put(cim, collection, own)
    other = CIMInstance("CIM_MemberOfCollection", {"Collection": collection, "Member": every["Frontinus:All"]})
    for given in (other, CIMInstance("CIM_FilterCollection", {"InstanceID": "more"})):
        await refused(cim, 27, "CreateInstance", given)
    await ask(
        cim, "DeleteInstance", (await ask(cim, "ReferenceNames", collection, ResultClass="CIM_MemberOfCollection"))[0]
    )
    assert (cim.folder / "cim" / store.FILE).read_bytes() == before


async def test_more_than_can_be_read_again_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Subscriptions(schema(), tmp_path)
    monkeypatch.setattr(store.private, "MOST", 2000)
    await kept.add_collection(Embedded("CIM_FilterCollection", {"InstanceID": "small"}))
    with pytest.raises(store.CimError) as refusal:
        for number in range(10):
            await kept.add_collection(Embedded("CIM_FilterCollection", {"InstanceID": f"{number}" * 900}))
    assert refusal.value.status == 27
    monkeypatch.undo()
    assert set(Subscriptions(schema(), tmp_path).collections.made) == set(kept.collections.made)
