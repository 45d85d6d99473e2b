"""Ports of Ethernet between XML and settings: VLANs, rates, virtual ports; networks between XML and a switch's settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from frontinus.client.details import facts
from frontinus_cim.instances import ethernet, switch_settings
from frontinus_cim.instances.fields import Element
from frontinus_cim.instances.settings import FAMILIES
from frontinus_cim.translation import compose, compose_switch
from frontinus_cim.wire.errors import CimError
from frontinus_cim.wire.model import Embedded, Value

NET = FAMILIES["net"].cls
CARD = "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/>{}</interface>"


def card(inside: str = "") -> Element:
    return etree.fromstring(CARD.format(inside))


def read(element: Element) -> dict[str, Value]:
    found = facts(element)
    return {name: value for name, how in ethernet.READ.items() if (value := how(found)) is not None}


def changed(element: Element, **values: Any) -> str:
    """What settings make of an interface, without what a card always has."""
    compose.update(element, "net", Embedded(NET, values))
    parts = [etree.tostring(part, encoding="unicode") for part in element if part.tag not in ("mac", "source")]
    return "".join(parts).replace('"', "'")


TAG7 = "<vlan><tag id='7'/></vlan>"
TRUNK = "<vlan trunk='yes'><tag id='7'/><tag id='9' nativeMode='tagged'/></vlan>"


@pytest.mark.parametrize(("inside", "shown"), [
    ("", {}),
    (TAG7, {"DesiredVLANEndpointMode": 2, "PortVID": 7}),
    ("<vlan trunk='yes'><tag id='7'/></vlan>",
     {"DesiredVLANEndpointMode": 5, "AllowedToTransmitVLANs": [7], "AllowedToReceiveVLANs": [7]}),
    (TRUNK, {"DesiredVLANEndpointMode": 5, "PortVID": 9, "AllowedToTransmitVLANs": [7, 9], "AllowedToReceiveVLANs": [7, 9]}),
    ("<bandwidth><inbound average='10' peak='20' burst='5' floor='3'/><outbound average='8'/></bandwidth>",
     {"ReceiveBandwidthLimit": 10, "ReceiveBandwidthPeak": 20, "ReceiveBandwidthBurst": 5, "ReceiveBandwidthReservation": 3,
      "Limit": 8}),
    ("<virtualport type='802.1Qbg'><parameters managerid='11' typeid='1193047' typeidversion='2' "
     "instanceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>",
     {"ManagerID": 11, "VSITypeID": 1193047, "VSITypeIDVersion": 2, "PortCorrelationID": "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"}),
])  # fmt: skip
def test_what_a_port_shows_and_that_giving_it_back_changes_nothing(inside: str, shown: dict[str, Value]) -> None:
    assert read(card(inside)) == shown
    assert changed(card(inside), **shown) == inside.replace('"', "'")
    if inside.startswith(("<vlan", "<bandwidth")):
        assert read(_built(shown)) == shown


def _built(values: dict[str, Value]) -> Element:
    return compose.device("net", Embedded(NET, {**values, "NetworkName": "lan"}))


@pytest.mark.parametrize(("inside", "given", "made"), [
    ("", {"PortVID": 7}, TAG7),
    ("", {"DesiredVLANEndpointMode": 5, "AllowedToReceiveVLANs": [7, 8]}, "<vlan trunk='yes'><tag id='7'/><tag id='8'/></vlan>"),
    (TAG7, {"PortVID": 8}, "<vlan><tag id='8'/></vlan>"),
    (TAG7, {"PortVID": 0}, ""),
    (TAG7, {"DesiredVLANEndpointMode": 5}, "<vlan trunk='yes'><tag id='7' nativeMode='untagged'/></vlan>"),
    (TRUNK, {"AllowedToTransmitVLANs": [7, 9, 11]}, TRUNK.replace("</vlan>", "<tag id='11'/></vlan>")),
    (TRUNK, {"AllowedToTransmitVLANs": [3, 9], "AllowedToReceiveVLANs": [7, 9]}, TRUNK.replace("7", "3")),
    (TRUNK, {"PortVID": 7}, "<vlan trunk='yes'><tag id='7' nativeMode='tagged'/><tag id='9'/></vlan>"),
    (TRUNK, {"DesiredVLANEndpointMode": 2, "PortVID": 7}, TAG7),
    ("", {"Limit": 100}, "<bandwidth><outbound average='100'/></bandwidth>"),
    ("", {"Limit": 8, "AllocationUnits": "bit / second * 10^6"}, "<bandwidth><outbound average='1000'/></bandwidth>"),
    ("", {"Limit": 1, "AllocationUnits": "bit/second"}, "<bandwidth><outbound average='1'/></bandwidth>"),
    ("", {"ReceiveBandwidthLimit": 2, "AllocationUnits": "MegaBytes per Second"},
     "<bandwidth><inbound average='2000'/></bandwidth>"),
    ("<bandwidth><inbound average='10'/><outbound average='8'/></bandwidth>", {"Limit": 0},
     "<bandwidth><inbound average='10'/></bandwidth>"),
    ("<bandwidth><outbound average='8'/></bandwidth>", {"Limit": 0}, ""),
    ("<virtualport type='802.1Qbg'><parameters managerid='11'/></virtualport>", {"VSIManagerID": "12", "ManagerID": 11},
     "<virtualport type='802.1Qbg'><parameters managerid='12'/></virtualport>"),
])  # fmt: skip
def test_what_settings_make_of_a_port(inside: str, given: dict[str, Value], made: str) -> None:
    assert changed(card(inside), **given) == made


@pytest.mark.parametrize(("inside", "given", "says"), [
    ("", {"DesiredVLANEndpointMode": 2}, "PortVID"), ("", {"DesiredVLANEndpointMode": 5}, "AllowedToTransmitVLANs"),
    ("", {"DesiredVLANEndpointMode": 6, "PortVID": 7}, "DesiredVLANEndpointMode 6"),
    (TAG7, {"DesiredVLANEndpointMode": 2, "AllowedToTransmitVLANs": [7]}, "one VLAN"),
    ("", {"DesiredVLANEndpointMode": 2, "PortVID": 7, "AllowedToTransmitVLANs": [8]}, "access port"),
    ("", {"AllowedToTransmitVLANs": [7], "AllowedToReceiveVLANs": [8]}, "same list"),
    ("", {"Limit": 7, "AllocationUnits": "furlong"}, "furlong"), ("", {"Limit": 7, "AllocationUnits": "count"}, "count"),
])  # fmt: skip
def test_what_cannot_be_is_named(inside: str, given: dict[str, Value], says: str) -> None:
    with pytest.raises(CimError) as told:
        changed(card(inside), **given)
    assert says in told.value.message


def test_a_card_of_a_running_network_with_a_bridge_of_the_host_keeps_its_source() -> None:
    """While it runs its type is bridge, but what it is on is still the network."""
    live = etree.fromstring("<interface type='bridge'><source network='lan' bridge='br0' portid='x'/></interface>")
    compose.update(
        live, "net", Embedded(NET, {"NetworkName": "lan", "NetworkType": "bridge", "PoolID": "NetworkPool/lan"})
    )
    assert dict(live[0].attrib) == {"network": "lan", "bridge": "br0", "portid": "x"}


@given(st.lists(st.integers(1, 4094), unique=True, max_size=6), st.booleans(), st.data())
def test_vlans_read_back(ids: list[int], trunk: bool, data: st.DataObject) -> None:
    """Whatever a card has, a new one with what its settings say has the same."""
    trunk = trunk or len(ids) > 1
    native = data.draw(st.sampled_from(ids)) if ids and trunk and data.draw(st.booleans()) else None
    element = card()
    ethernet.put_tags(element, ids, trunk=trunk and bool(ids), native=native)
    shown = read(element)
    assert read(_built(shown)) == shown and ethernet.tags(facts(_built(shown))) == ids


# --- networks


def network(text: str = "") -> Element:
    return etree.fromstring(f"<network><name>lan</name>{text}</network>")


@pytest.mark.parametrize(("inside", "given", "made"), [
    ("", {"ForwardMode": "nat"}, "<forward mode='nat'/>"), ("<forward mode='nat'/>", {"ForwardMode": "isolated"}, ""),
    ("<forward/>", {"ForwardMode": "nat"}, "<forward/>"), ("", {"ForwardMode": "none"}, ""),
    ("", {"EVBMode": 3, "ForwardDevice": "eth0"}, "<forward mode='vepa' dev='eth0'/>"), ("", {"EVBMode": 2}, ""),
    ("<forward mode='vepa' dev='eth0'/>", {"EVBMode": 2}, "<forward mode='bridge'/>"),
    ("<forward mode='vepa'/>", {"EVBMode": 3, "ForwardMode": "vepa"}, "<forward mode='vepa'/>"),
    ("", {"EVBMode": 1}, "<forward mode='private'/>"),
    ("", {"VLANConnection": ["7"]}, "<vlan><tag id='7'/></vlan>"), (TAG7, {"VLANConnection": []}, ""),
    (TAG7, {"VLANConnection": ["7"]}, TAG7),
    ("", {"SpanningTree": True}, "<bridge stp='on'/>"), ("<bridge stp='on'/>", {"SpanningTree": False}, "<bridge stp='off'/>"),
    ("<ip address='10.1.1.1' prefix='24'/>", {"Netmask": "255.255.255.0"}, "<ip address='10.1.1.1' prefix='24'/>"),
    ("<ip address='10.1.1.1' prefix='24'/>", {"Netmask": "255.255.0.0"}, "<ip address='10.1.1.1' netmask='255.255.0.0'/>"),
    ("", {"Address": "10.1.1.1", "Netmask": "255.0.0.0", "IPRangeStart": "10.1.1.2", "IPRangeEnd": "10.1.1.9"},
     "<ip address='10.1.1.1' netmask='255.0.0.0'><dhcp><range start='10.1.1.2' end='10.1.1.9'/></dhcp></ip>"),
])  # fmt: skip
def test_what_settings_make_of_a_network(inside: str, given: dict[str, Value], made: str) -> None:
    element = network(inside)
    compose_switch.update(element, Embedded(switch_settings.VSSD, given))
    parts = "".join(etree.tostring(part, encoding="unicode") for part in element if part.tag != "name")
    assert parts.replace('"', "'") == made


@pytest.mark.parametrize("given", [{"EVBMode": 5}, {"VLANConnection": ["x"]}, {"VLANConnection": ["7"] * 5000}])
def test_what_no_network_can_be_is_refused(given: dict[str, Value]) -> None:
    with pytest.raises(CimError):
        compose_switch.update(network(), Embedded(switch_settings.VSSD, given))


def test_a_network_made_after_another_has_a_name_an_identity_and_a_bridge_of_its_own() -> None:
    model = network(
        "<uuid>u</uuid><bridge name='virbr1' stp='off'/><mac address='52:54:00:00:00:01'/><mtu size='9000'/>"
    )
    whole = Embedded(switch_settings.VSSD, {"VirtualSystemIdentifier": "other", "EVBMode": 2})
    name, text = compose_switch.definition(whole, model)
    assert name == "other"
    assert text == '<network><bridge stp="off"/><mtu size="9000"/><name>other</name></network>'
    for values in ({}, {"ElementName": "x", "VirtualSystemType": "KVM"}):
        with pytest.raises(CimError):
            compose_switch.definition(Embedded(switch_settings.VSSD, values), None)
