"""Interfaces as definitions: what is filled in, what is forgotten, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.definition import format_guest
from frontinus.domain.devices.interface import Interface
from support.attachments import definition
from support.guests import host, qemu72


def completed(xml: str, **how: object) -> Interface:
    return definition(xml, **how).devices.interfaces[0]  # type: ignore[arg-type]


def test_the_model_is_what_qemu_has() -> None:
    plain = "<interface type='user'/>"
    assert completed(plain).model == "rtl8139"
    caps = qemu72()
    assert completed(plain, caps=replace(caps, types=caps.types - {"rtl8139"})).model == "e1000"
    assert completed(plain, caps=replace(caps, types=caps.types - {"rtl8139", "e1000"})).model == "virtio"
    assert completed("<interface type='vdpa'><source dev='/dev/v'/></interface>").model == "virtio"


def test_addresses_are_qemus_and_differ() -> None:
    taken = "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>"
    cards = definition(taken + "<interface type='user'/>" * 3).devices.interfaces
    macs = [card.mac for card in cards]
    assert len(set(macs)) == 4
    assert all(mac.startswith("52:54:00:") for mac in macs)


def test_one_answer_of_the_host_is_no_endless_search() -> None:
    counting = replace(host(), entropy=lambda size: bytes(range(size)))
    macs = [card.mac for card in definition("<interface type='user'/>" * 3, facts=counting).devices.interfaces]
    assert len(set(macs)) == 3


def test_what_is_left_open_is_filled_in() -> None:
    direct = completed("<interface type='direct'><source dev='eth0'/></interface>")
    assert direct.source is not None and direct.source.mode == "vepa"
    qbg = completed("""<interface type='network'><source network='n'/><virtualport type='802.1Qbg'>
        <parameters managerid='11' typeid='0x123457' typeidversion='2'/></virtualport></interface>""")  # fmt: skip
    assert qbg.virtual_port is not None
    assert (qbg.virtual_port.type_id, qbg.virtual_port.instance_id is None) == (0x123457, False)
    ovs = completed("""<interface type='bridge'><source bridge='b'/><virtualport type='openvswitch'/>
        <vlan><tag id='1'/><tag id='2' nativeMode='tagged'/></vlan></interface>""")  # fmt: skip
    assert ovs.virtual_port is not None and ovs.virtual_port.interface_id is not None
    assert ovs.vlan is not None and ovs.vlan.trunk is True
    user = completed("<interface type='user'><ip address='fd00::' prefix='64'/></interface>")
    assert user.ips[0].family == "ipv6"


def test_only_virtio_has_a_driver_to_speak_of() -> None:
    driver = "<driver name='vhost' queues='{}' txmode='timer'><host gso='off'/></driver><backend tap='/t' vhost='/v'/>"
    e1000 = completed(
        f"<interface type='bridge'><source bridge='b'/><model type='e1000'/>{driver.format(5)}</interface>"
    )
    assert (e1000.driver, e1000.queues, e1000.tx_mode, e1000.host_gso) == (None, None, None, None)
    assert (e1000.tap_path, e1000.vhost_path) == ("/t", None)
    one = completed(
        f"<interface type='bridge'><source bridge='b'/><model type='virtio'/>{driver.format(1)}</interface>"
    )
    assert (one.driver, one.queues, one.tx_mode) == ("vhost", None, "timer")


def test_a_definition_keeps_no_names_of_a_run() -> None:
    xml = """<interface type='network'><source network='n' portid='c7a5fdbd-edaf-9455-926a-d65c16db1809'/>
        <target dev='{}'/><guest dev='eth7' actual='eth3'/></interface>"""  # fmt: skip
    card = completed(xml.format("vnet7"))
    assert card.source is not None
    assert (card.target, card.source.port_id, card.guest_name, card.guest_actual) == (None, None, "eth7", None)
    assert completed(xml.format("mine0")).target == "mine0"
    own = "<interface type='ethernet'><target dev='vnet7' managed='no'/></interface>"
    assert completed(own).target == "vnet7"


KEPT = """<interface type="network" trustGuestRxFilters="yes">
<mac address="52:54:00:00:00:01"/><source network="n" portgroup="p"/>
<bandwidth><inbound average="1000" peak="5000" floor="200" burst="1024"/><outbound average="128"/></bandwidth>
<target dev="t0"/><model type="virtio"/>
<filterref filter="clean-traffic"><parameter name="IP" value="10.0.0.1"/></filterref>
<link state="up"/><mtu size="1400"/><coalesce><rx><frames max="7"/></rx></coalesce></interface>"""


def test_what_the_host_needs_later_is_kept() -> None:
    guest = definition(KEPT)
    text = format_guest(guest).replace("'", '"')
    for line in KEPT.replace("><", ">\n<").splitlines():
        if not line.startswith(("<interface", "</")):
            assert line.rstrip("/>") in text
    assert not list(guest.unknown())


REFUSED = {
    "internal": ("<interface type='internal'><source name='n'/></interface>", "not of this hypervisor"),
    "null": ("<interface type='null'/>", "not of this hypervisor"),
    "vds": ("<interface type='vds'><source switchid='1'/></interface>", "not of this hypervisor"),
    "network": ("<interface type='network'/>", "lacks its network"),
    "bridge": ("<interface type='bridge'><source/></interface>", "lacks its bridge"),
    "direct": ("<interface type='direct'><source mode='vepa'/></interface>", "lacks its dev"),
    "direct-mode": ("<interface type='direct'><source dev='e' mode='client'/></interface>", "mode 'client'"),
    "vdpa": ("<interface type='vdpa'/>", "lacks its dev"),
    "client": ("<interface type='client'><source port='1'/></interface>", "lacks its address"),
    "server": ("<interface type='server'><source address='::1'/></interface>", "lacks its port"),
    "udp": ("<interface type='udp'><source address='a' port='1'/></interface>", "lacks its local address"),
    "hostdev": ("<interface type='hostdev'/>", "lacks its address"),
    "vhostuser-model": (
        "<interface type='vhostuser'><source type='unix' path='/s' mode='client'/></interface>",
        "needs a virtio model",
    ),
    "vhostuser-mode": (
        "<interface type='vhostuser'><source type='unix' path='/s'/><model type='virtio'/></interface>",
        "lacks its mode",
    ),
    "vhostuser-reconnect": (
        """<interface type='vhostuser'><source type='unix' path='/s' mode='server'><reconnect enabled='yes'
        timeout='1'/></source><model type='virtio'/></interface>""",
        "of mode 'client'",
    ),
    "multicast": ("<interface type='user'><mac address='01:54:00:00:00:01'/></interface>", "multicast"),
    "host-addresses": (
        "<interface type='user'><source><ip address='10.0.0.1'/></source></interface>",
        "are for type 'ethernet'",
    ),
    "two-addresses": (
        "<interface type='user'><ip address='10.0.0.0'/><ip address='10.1.0.0'/></interface>",
        "at most one",
    ),
    "prefix": ("<interface type='user'><ip address='10.0.0.0' prefix='28'/></interface>", "4 to 27"),
    "prefix6": ("<interface type='user'><ip address='fd00::' prefix='121'/></interface>", "at most 120"),
    "peer": ("<interface type='user'><ip address='10.0.0.0' peer='10.0.0.1'/></interface>", "no peer"),
    "no-address": ("<interface type='user'><ip address='here'/></interface>", "is no"),
    "guest-route": (
        "<interface type='user'><route address='10.0.0.0' gateway='10.0.0.1'/></interface>",
        "not ours to set",
    ),
    "filter": ("<interface type='user'><filterref filter='f'/></interface>", "<filterref> is not for"),
    "filter-port": (
        """<interface type='network'><source network='n'/><filterref filter='f'/>
        <virtualport type='openvswitch'/></interface>""",
        "<filterref> is not for a virtualport",
    ),
    "script": ("<interface type='user'><script path='/s'/></interface>", "<script> is not for"),
    "mtu": ("<interface type='user'><mtu size='9'/></interface>", "<mtu> is not for"),
    "coalesce": ("<interface type='user'><coalesce><rx><frames max='7'/></rx></coalesce></interface>", "<coalesce>"),
    "isolated": ("<interface type='user'><port isolated='yes'/></interface>", "isolated"),
    "unmanaged": (
        "<interface type='bridge'><source bridge='b'/><target dev='t' managed='no'/></interface>",
        "managed",
    ),
    "model": ("<interface type='user'><model type='a b'/></interface>", "characters that no model"),
    "iommu": ("<interface type='user'><model type='e1000'/><driver iommu='on'/></interface>", "virtio devices"),
    "rx-queue": (
        "<interface type='user'><model type='virtio'/><driver rx_queue_size='500'/></interface>",
        "not a power of two",
    ),
    "teaming": ("<interface type='user'><model type='e1000'/><teaming type='persistent'/></interface>", "virtio"),
    "transient": (
        """<interface type='hostdev'><source><address type='pci' bus='3'/></source>
        <teaming type='transient'/></interface>""",
        "'persistent' is missing",
    ),
    "transient-user": (
        "<interface type='user'><teaming type='transient' persistent='ua-x'/></interface>",
        "is not for <interface type='user'>",
    ),
    "floor": (
        """<interface type='network'><source network='n'/><bandwidth><outbound average='1' floor='1'/></bandwidth>
        </interface>""",
        "inbound traffic alone",
    ),
    "average": (
        "<interface type='network'><source network='n'/><bandwidth><inbound peak='1'/></bandwidth></interface>",
        "neither an average",
    ),
    "port-parameters": (
        """<interface type='direct'><source dev='e'/><virtualport type='802.1Qbh'><parameters managerid='1'
        profileid='p'/></virtualport></interface>""",
        "no parameter managerid",
    ),
    "port-missing": (
        "<interface type='direct'><source dev='e'/><virtualport type='802.1Qbh'/></interface>",
        "profileid is missing",
    ),
    "trunk": (
        """<interface type='network'><source network='n'/><vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>
        </interface>""",
        "trunk='no'",
    ),
    "passt": ("<interface type='user'><portForward proto='tcp'/></interface>", "passt"),
    "vfio": ("<interface type='user'><model type='virtio'/><driver name='vfio'/></interface>", "hostdev"),
    "queues": ("<interface type='user'><driver queues='-5'/></interface>", "queues"),
    "type": ("<interface type='warp'/>", "type"),
    "rom": ("<interface type='user'><rom enabled='no' bar='on'/></interface>", "neither bar nor file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    xml, reason = REFUSED[name]
    with pytest.raises(InvalidXML, match=reason):
        definition(xml)


def test_failover_needs_a_qemu_that_has_it() -> None:
    xml = "<interface type='user'><model type='virtio'/><teaming type='persistent'/></interface>"
    definition(xml)
    with pytest.raises(Unsupported, match="failover"):
        definition(xml, caps=replace(qemu72(), properties={}))
