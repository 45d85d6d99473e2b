"""Indications: subscribed to by pywbem's clients, made of the engine's news, received by pywbem's listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pywbem
from pywbem import CIMInstance, Uint16, Uint64

from frontinus_cim.indications import delivery
from frontinus_cim.indications.delivery import Delivery
from frontinus_cim.subscriptions.store import Destination, Subscriptions
from frontinus_cim.wire.model import Embedded
from support.cim import Rig, rig, schema
from support.cim_listener import INTEROP, Listener, create, subscribe
from support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    yield made
    await asyncio.to_thread(made.stop)


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


async def test_a_change_of_state_is_told(cim: Rig, listener: Listener) -> None:
    await subscribe(cim, listener.url, "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ComputerSystem"
                    " AND SourceInstance.EnabledState <> PreviousInstance.EnabledState")  # fmt: skip
    await cim.engine.suspend("test")
    told = await listener.next("KVM_ComputerSystemModifiedIndication")
    assert (told["SourceInstance"]["EnabledState"], told["PreviousInstance"]["EnabledState"]) == (9, 2)
    assert told["SourceInstance"]["Name"] == "test" and "EnabledState" in told["ChangedPropertyNames"]
    assert told["IndicationFilterName"] == "filter-a" and told["SequenceNumber"] == 0
    await cim.engine.resume("test")
    again = await listener.next("KVM_ComputerSystemModifiedIndication")
    assert again["SequenceNumber"] == 1 and again["SequenceContext"] == told["SequenceContext"]
    assert again["IndicationIdentifier"] != told["IndicationIdentifier"]


async def test_a_guest_that_comes_and_goes_is_told(cim: Rig, listener: Listener) -> None:
    await subscribe(cim, listener.url, "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA CIM_ComputerSystem")
    await cim.engine.define(
        "<domain type='qemu'><name>brief</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    )
    assert (await listener.next("KVM_ComputerSystemCreatedIndication"))["SourceInstance"]["Name"] == "brief"
    await cim.engine.undefine("brief")
    assert (await listener.next("KVM_ComputerSystemDeletedIndication"))["SourceInstance"]["Name"] == "brief"


async def test_a_guest_of_another_name_is_another_instance(cim: Rig, listener: Listener) -> None:
    """Its name is a key, and a key does not change."""
    await cim.engine.destroy("test")
    await cim.settled()
    await subscribe(cim, listener.url, "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA CIM_ComputerSystem")
    await cim.engine.rename("test", "other")
    told = [await listener.any() for _ in range(2)]
    assert [(one.classname, one["SourceInstance"]["Name"]) for one in told] == [
        ("KVM_ComputerSystemDeletedIndication", "test"), ("KVM_ComputerSystemCreatedIndication", "other")]  # fmt: skip


async def test_resources_that_come_change_and_go_are_told(cim: Rig, listener: Listener) -> None:
    await subscribe(
        cim, listener.url, "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA CIM_ResourceAllocationSettingData"
    )
    await cim.engine.destroy("test")
    disk = "<disk type='file' device='disk'><source file='/x.img'/><target dev='vdx' bus='virtio'/>{}</disk>"
    await cim.engine.attach_device("test", disk.format(""), config=True)
    created = await listener.next("KVM_ResourceAllocationSettingDataCreatedIndication")
    while created["SourceInstance"].classname != "KVM_DiskResourceAllocationSettingData":
        created = await listener.next("KVM_ResourceAllocationSettingDataCreatedIndication")
    assert created["SourceInstance"]["InstanceID"] == "test/vdx"
    await cim.engine.set_memory("test", 2**30, config=True)
    while True:
        changed = await listener.next("KVM_ResourceAllocationSettingDataModifiedIndication")
        if (
            changed["SourceInstance"]["InstanceID"] == "test/mem"
            and changed["SourceInstance"]["VirtualQuantity"] == 2**20
        ):
            break
    await cim.engine.detach_device("test", disk.format(""), config=True)
    gone = await listener.next("KVM_ResourceAllocationSettingDataDeletedIndication")
    assert gone["SourceInstance"]["InstanceID"] == "test/vdx"


async def test_an_alert_names_what_happened(cim: Rig, listener: Listener) -> None:
    await subscribe(cim, listener.url, "SELECT * FROM CIM_AlertIndication WHERE PerceivedSeverity > 4")
    mock = next(iter(cim.local.world.hypervisor.guests.values()))  # type: ignore[attr-defined]
    mock.tell("io-error", device="virtio-disk0", action="report", reason="enospc", path="/x.img")
    told = await listener.next("KVM_AlertIndication")
    assert (told["AlertType"], told["PerceivedSeverity"], told["ProbableCauseDescription"]) == (
        5,
        6,
        "I/O Device Error",
    )
    assert 'Name="test"' in told["AlertingManagedElement"] and "enospc" in told["Message"]


async def test_pywbems_own_manager_subscribes_and_cleans_up(cim: Rig, listener: Listener) -> None:
    def work() -> tuple[str, int]:
        connection = cim.connection(namespace=INTEROP)
        server = pywbem.WBEMServer(connection)
        with pywbem.WBEMSubscriptionManager(subscription_manager_id="of-a-test") as manager:
            number = manager.add_server(server)
            destination = manager.add_destination(number, listener.url, owned=True, destination_id="d1")
            wanted = manager.add_filter(
                number, "root/virt", "SELECT * FROM CIM_InstModification", "WQL", owned=True, filter_id="f1"
            )
            manager.add_subscriptions(number, wanted.path, destination.path, owned=True)
            found = len(manager.get_all_subscriptions(number))
        return server.brand, found

    brand, found = await asyncio.to_thread(work)
    assert found == 1 and brand
    kept = cim.service.world.subscriptions
    assert not kept.subscriptions and not kept.filters and not kept.destinations


async def test_subscriptions_are_kept_changed_and_deleted(cim: Rig, listener: Listener) -> None:
    text = "SELECT * FROM CIM_InstModification"
    wanted, handler, subscription = await subscribe(cim, listener.url, text, SubscriptionDuration=Uint64(3600))
    again = Subscriptions(schema(), cim.folder / "cim")
    assert again.filters["filter-a"].query == text and list(again.subscriptions) == [("filter-a", "handler-a")]
    shown = await cim.ask("GetInstance", subscription, namespace=INTEROP)
    assert shown["SubscriptionState"] == 2 and 3500 < shown["SubscriptionTimeRemaining"] <= 3600
    shown["SubscriptionState"] = Uint16(4)
    await cim.ask("ModifyInstance", shown, PropertyList=["SubscriptionState"], namespace=INTEROP)
    assert (await cim.ask("GetInstance", subscription, namespace=INTEROP))["SubscriptionState"] == 4
    with pytest.raises(pywbem.CIMError) as needed:
        await cim.ask("DeleteInstance", wanted, namespace=INTEROP)
    assert "subscription" in needed.value.status_description
    for path in (subscription, wanted, handler):
        await cim.ask("DeleteInstance", path, namespace=INTEROP)
    assert not Subscriptions(schema(), cim.folder / "cim").filters
    assert not await cim.ask("EnumerateInstances", "CIM_IndicationSubscription", namespace=INTEROP)


WRONG = [
    ("CIM_IndicationFilter", {"Name": "x", "Query": "SELECT * FROM CIM_ComputerSystem", "QueryLanguage": "WQL"}, 15),
    ("CIM_IndicationFilter", {"Name": "x", "Query": "SELECT", "QueryLanguage": "WQL"}, 15),
    ("CIM_IndicationFilter", {"Name": "x", "Query": "SELECT * FROM CIM_Indication", "QueryLanguage": "SQL"}, 14),
    ("CIM_ListenerDestinationCIMXML", {"Name": "x", "Destination": "ftp://127.0.0.1/"}, 4),
    ("CIM_ListenerDestinationCIMXML", {"Name": "x", "Destination": "http://user:word@127.0.0.1/"}, 4),
    ("CIM_ListenerDestinationCIMXML", {"Destination": "http://127.0.0.1/"}, 4),
    ("KVM_ComputerSystem", {"Name": "x"}, 7),
]


async def test_what_cannot_be_subscribed_to_is_refused(cim: Rig) -> None:
    for cls, values, status in WRONG:
        with pytest.raises(pywbem.CIMError) as told:
            await create(cim, cls, **values)
        assert told.value.status_code == status, (cls, values, told.value)
    with pytest.raises(pywbem.CIMError) as denied:
        await cim.ask("CreateInstance", CIMInstance("CIM_IndicationFilter", WRONG[0][1]), namespace=INTEROP, user="eye")
    assert denied.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED


async def test_a_receiver_that_is_away_gets_it_later_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded; what did not arrive is counted; a second receiver does not wait for the first."""
    monkeypatch.setattr(delivery, "MOST_WAITING", 5)
    ended: list[tuple[str, bool]] = []
    sender = Delivery(schema(), interval=0.05)
    sender.ended = lambda wanted, destination, arrived: ended.append((destination, arrived))
    late = Listener()
    away = Destination(name="away", url="http://127.0.0.1:9", system=("", ""))
    there = Destination(name="there", url=late.url, system=("", ""))
    indication = Embedded("KVM_AlertIndication", {"Message": "<&>", "AlertType": 1, "PerceivedSeverity": 2})
    try:
        for _ in range(3):
            sender.send("f", away, indication)
        sender.send("f", there, indication)
        assert (await late.next("KVM_AlertIndication"))["Message"] == "<&>"
        await until(lambda: len(ended) == 4)
        assert ended.count(("away", False)) == 3 and ended.count(("there", True)) == 1
    finally:
        await sender.close()
        await asyncio.to_thread(late.stop)


async def test_a_receiver_that_is_never_there_can_cost_its_subscription(cim: Rig) -> None:
    await subscribe(cim, "http://127.0.0.1:9", "SELECT * FROM CIM_InstModification", OnFatalErrorPolicy=Uint16(4))
    await cim.engine.suspend("test")
    await until(lambda: not cim.service.world.subscriptions.subscriptions)
