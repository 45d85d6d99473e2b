"""Interfaces on the command line: the host's side of each kind, the guest's card, and what the host sets up for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import Unsupported
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import Helper, Label, Listener, OpenFile, Tap, Vfio
from frontinus.qemu.argv.context import comma
from frontinus.qemu.limits import limits
from support.attachments import device, translated, values
from support.guests import host, qemu72

MAC = "<mac address='52:54:00:00:00:99'/>"
ID = {"id": "hostnet0"}
VHOST: HostFacts = replace(host(), vhost_net=True)


def card(kind: str, inside: str, **attributes: str) -> str:
    said = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return f"<interface type='{kind}'{said}>{MAC}{inside}</interface>"


NETDEVS = {
    "user": (card("user", ""), {"type": "user"}),
    "user-addresses": (
        card("user", "<ip address='10.9.0.0' prefix='24'/><ip address='fd00::' prefix='64'/>"),
        {"type": "user", "net": "10.9.0.0/24", "ipv6-prefix": "fd00::", "ipv6-prefixlen": 64},
    ),
    "user-address-alone": (card("user", "<ip address='10.9.0.0'/>"), {"type": "user", "net": "10.9.0.0"}),
    "client": (
        card("client", "<source address='10.0.0.1' port='5555'/>"),
        {"type": "socket", "connect": "10.0.0.1:5555"},
    ),
    "server": (card("server", "<source port='5555'/>"), {"type": "socket", "listen": ":5555"}),
    "mcast": (
        card("mcast", "<source address='230.0.0.1' port='5555'/>"),
        {"type": "socket", "mcast": "230.0.0.1:5555"},
    ),
    "udp": (
        card("udp", "<source address='10.0.0.1' port='1'><local address='10.0.0.2' port='2'/></source>"),
        {"type": "socket", "udp": "10.0.0.1:1", "localaddr": "10.0.0.2:2"},
    ),
    "bridge": (card("bridge", "<source bridge='br0'/>"), {"type": "tap", "fd": "3"}),
    "sndbuf": (
        card("network", "<source network='default'/><tune><sndbuf>1600</sndbuf></tune>"),
        {"type": "tap", "fd": "3", "sndbuf": 1600},
    ),
    "no-sndbuf": (
        card("network", "<source network='default'/><tune><sndbuf>0</sndbuf></tune>"),
        {"type": "tap", "fd": "3"},
    ),
    "queues": (
        card("direct", "<source dev='eth0'/><model type='virtio'/><driver queues='2'/>"),
        {"type": "tap", "fds": "3:4"},
    ),
}


@pytest.mark.parametrize("name", NETDEVS)
def test_the_hosts_side(name: str) -> None:
    xml, expected = NETDEVS[name]
    netdevs = values(translated(xml), "netdev")
    assert [{k: v for k, v in found.items() if v is not None} for found in netdevs] == [expected | ID]


def test_vhost_is_for_virtio_under_kvm_where_the_host_has_it() -> None:
    virtio = "<source network='default'/><model type='virtio'/>"
    with_vhost = {"type": "tap", "fd": "3", "vhost": True, "vhostfd": "4"} | ID
    plain = {"type": "tap", "fd": "3"} | ID
    cases = [
        (card("network", virtio), "kvm", VHOST, with_vhost),
        (card("network", virtio), "qemu", VHOST, plain),
        (card("network", virtio), "kvm", host(), plain),
        (card("network", virtio + "<driver name='qemu'/>"), "kvm", VHOST, plain),
        (card("network", "<source network='default'/><model type='e1000'/>"), "kvm", VHOST, plain),
        (card("user", "<model type='virtio'/><driver name='vhost'/>"), "kvm", VHOST, {"type": "user"} | ID),
    ]
    for xml, kind, facts, expected in cases:
        (found,) = values(translated(xml, kind=kind, facts=facts), "netdev")
        assert {k: v for k, v in found.items() if v is not None} == expected


def test_vhost_that_is_demanded_and_missing_is_refused() -> None:
    xml = card("bridge", "<source bridge='br0'/><model type='virtio'/><driver name='vhost'/>")
    with pytest.raises(Unsupported, match="no vhost-net"):
        translated(xml, kind="kvm")
    translated(xml, kind="qemu")


def test_several_queues_have_a_descriptor_each() -> None:
    xml = card("bridge", "<source bridge='br0'/><model type='virtio'/><driver queues='3'/>")
    ctx = translated(xml, kind="kvm", facts=VHOST)
    (netdev,) = values(ctx, "netdev")
    assert (netdev["fds"], netdev["vhostfds"]) == ("3:4:5", "6:7:8")
    (tap,) = ctx.resources
    assert (tap.fds, tap.vhost_fds) == ((3, 4, 5), (6, 7, 8))
    found = device(ctx, "net0")
    assert (found["mq"], found["vectors"]) == (True, 8)


def test_queues_need_a_device_that_has_them() -> None:
    with pytest.raises(Unsupported, match="one queue"):
        translated(card("user", "<model type='virtio'/><driver queues='3'/>"))


def test_the_tap_that_the_host_makes() -> None:
    xml = card("network", """<source network='lan' portgroup='fast'/><port isolated='yes'/><target dev='mine0'/>
        <model type='virtio'/><backend tap='/dev/tap' vhost='/dev/vhost'/><mtu size='9000'/>""")  # fmt: skip
    ctx = translated(xml)
    assert ctx.resources == [Tap(
        mac="52:54:00:00:00:99", fds=(3,), name="mine0", network="lan", portgroup="fast", mtu=9000, alias="net0",
        vnet_hdr=True, isolated=True, tap_device="/dev/tap", vhost_device="/dev/vhost")]  # fmt: skip
    assert device(ctx, "net0")["host_mtu"] == 9000


def test_the_macvtap_and_the_users_own_tap() -> None:
    direct = translated(card("direct", "<source dev='eth0' mode='bridge'/>"))
    assert direct.resources == [Tap(mac="52:54:00:00:00:99", fds=(3,), alias="net0", lower="eth0", mode="bridge")]
    own = translated(card("ethernet", """<source><ip address='10.0.0.1' prefix='24' peer='10.0.0.2'/>
        <route address='10.1.0.0' netmask='255.255.0.0' gateway='10.0.0.2' metric='5'/></source>
        <script path='/up'/><downscript path='/down'/><target dev='tap9' managed='no'/>"""))  # fmt: skip
    assert own.resources == [Tap(
        mac="52:54:00:00:00:99", fds=(3,), alias="net0", name="tap9", managed=False, script="/up", down_script="/down",
        addresses=(("10.0.0.1", 24, "10.0.0.2"),), routes=(("10.1.0.0", 16, "10.0.0.2", 5),))]  # fmt: skip


def test_vhost_user_waits_for_its_switch() -> None:
    xml = card("vhostuser", """<source type='unix' path='/sw,0' mode='server'/><model type='virtio'/>
        <driver queues='2'/>""")  # fmt: skip
    ctx = translated(xml)
    (chardev,) = values(ctx, "chardev")
    assert chardev == {"backend": "socket", "id": "charnet0", "fd": "3", "server": True}
    assert values(ctx, "netdev") == [{"type": "vhost-user", "chardev": "charnet0", "queues": 2} | ID]
    assert ctx.resources == [Listener("/sw,0", 3)]


def test_vhost_user_as_a_client_comes_back() -> None:
    xml = card("vhostuser", """<source type='unix' path='/sw' mode='client'><reconnect enabled='yes' timeout='9'/>
        </source><model type='virtio'/>""")  # fmt: skip
    ctx = translated(xml)
    (chardev,) = values(ctx, "chardev")
    assert chardev == {"backend": "socket", "id": "charnet0", "path": "/sw", "reconnect": 9}
    assert ctx.resources == [Label("/sw", shared=True, optional=True)]
    assert comma("chardev", chardev | {"path": "/s,w"}) == "socket,id=charnet0,path=/s,,w,reconnect=9"


def test_vdpa_is_opened_for_qemu() -> None:
    ctx = translated(card("vdpa", "<source dev='/dev/vhost-vdpa-0'/>"))
    (netdev,) = values(ctx, "netdev")
    assert netdev == {"type": "vhost-vdpa", "vhostdev": "/dev/fdset/3"} | ID
    assert ctx.resources == [OpenFile("/dev/vhost-vdpa-0", 3, device=True)]
    assert device(ctx, "net0")["driver"] == "virtio-net-pci"


def test_passt_runs_beside_qemu() -> None:
    xml = card("user", """<source dev='eth0'/><ip address='10.2.2.2' prefix='24'/>
        <portForward proto='tcp' address='127.0.0.1' dev='lo'><range start='22' to='2222'/>
        <range start='30' end='40' to='130'/><range start='33' exclude='yes'/></portForward>
        <portForward proto='udp'/><model type='virtio'/><backend type='passt' logFile='/log' hostname='h'
        fqdn='h.d'/>""")  # fmt: skip
    ctx = translated(xml)
    socket = "/folder/net0-passt.sock"
    assert values(ctx, "netdev") == [{"type": "stream", "addr": {"type": "unix", "path": socket}, "server": False} | ID]
    assert ctx.resources == [Helper("passt-net0", (
        "/usr/bin/passt", "--foreground", "--one-off", "--socket", socket, "--mac-addr", "52:54:00:00:00:99",
        "--interface", "eth0", "--log-file", "/log", "--hostname", "h", "--fqdn", "h.d", "--address", "10.2.2.2", "--netmask", "24",
        "--tcp-ports", "127.0.0.1%lo/22:2222,30-40:130-140,~33", "--udp-ports", "all"), socket)]  # fmt: skip


def test_passt_behind_vhost_user() -> None:
    ctx = translated(card("vhostuser", "<model type='virtio'/><backend type='passt'/><ip address='10.2.2.2'/>"))
    socket = "/folder/net0-passt.sock"
    assert values(ctx, "chardev") == [{"backend": "socket", "id": "charnet0", "path": socket}]
    (helper,) = ctx.resources
    assert isinstance(helper, Helper) and helper.socket == socket and "--vhost-user" in helper.argv


OFFLOADS = """<driver name='vhost' txmode='iothread' ioeventfd='on' event_idx='off' rx_queue_size='256'
tx_queue_size='512' rss='on' rss_hash_report='off' iommu='on' ats='off' packed='on' page_per_vq='on'>
<host csum='off' gso='off' tso4='on' tso6='on' ecn='off' ufo='off' mrg_rxbuf='on'/>
<guest csum='on' tso4='off' tso6='off' ecn='on' ufo='off'/></driver>"""


def test_the_virtio_card_and_its_options() -> None:
    ctx = translated(card("user", f"<model type='virtio'/>{OFFLOADS}<teaming type='persistent'/>"))
    found = {key: value for key, value in device(ctx, "net0").items() if value is not None}
    assert found == {
        "driver": "virtio-net-pci", "netdev": "hostnet0", "mac": "52:54:00:00:00:99", "tx": "bh", "ioeventfd": True,
        "event_idx": False, "rx_queue_size": 256, "tx_queue_size": 512, "rss": True, "hash": False,
        "iommu_platform": True, "ats": False, "packed": True, "page-per-vq": True, "csum": False, "gso": False,
        "host_tso4": True, "host_tso6": True, "host_ecn": False, "host_ufo": False, "mrg_rxbuf": True,
        "guest_csum": True, "guest_tso4": False, "guest_tso6": False, "guest_ecn": True, "guest_ufo": False,
        "failover": True,
    }  # fmt: skip


MODELS = {
    "virtio": "virtio-net-pci", "virtio-transitional": "virtio-net-pci-transitional",
    "virtio-non-transitional": "virtio-net-pci-non-transitional", "e1000e": "e1000e", "ne2k_pci": "ne2k_pci",
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_models_and_qemus_devices(model: str) -> None:
    ctx = translated(card("user", f"<model type='{model}'/><rom bar='off' file='/rom'/><acpi index='7'/>"))
    found = device(ctx, "net0")
    assert (found["driver"], found["rombar"], found["romfile"], found["acpi-index"]) == (MODELS[model], 0, "/rom", 7)


def test_a_model_that_qemu_lacks_is_refused() -> None:
    with pytest.raises(Unsupported, match="model 'warp9'"):
        translated(card("user", "<model type='warp9'/>"))


def test_boot_from_the_network() -> None:
    assert device(translated(card("user", "<boot order='3'/>")), "net0")["bootindex"] == 3
    assert device(translated(card("user", "")), "net0").get("bootindex") is None


def test_a_link_that_is_down_is_down_before_the_guest_runs() -> None:
    ctx = translated(card("user", "<link state='down'/>") + "<interface type='user'><link state='up'/></interface>")
    assert ctx.commands == [("set_link", {"name": "net0", "up": False})]


def test_a_virtual_function_is_the_card() -> None:
    xml = card("hostdev", """<source><address type='pci' domain='0x0' bus='0x3' slot='0x7' function='0x1'/></source>
        <vlan><tag id='42'/></vlan><teaming type='transient' persistent='ua-back'/>""", managed="yes")  # fmt: skip
    backup = card("user", "<model type='virtio'/><teaming type='persistent'/><alias name='ua-back'/>")
    ctx = translated(backup + xml)
    found = device(ctx, "hostdev0")
    assert {key: value for key, value in found.items() if value is not None} == {
        "driver": "vfio-pci", "host": "0000:03:07.1", "failover_pair_id": "ua-back",
    }  # fmt: skip
    function = Vfio("/sys/bus/pci/devices/0000:03:07.1", managed=True)
    assert function in ctx.resources and limits(ctx.guest, ctx.resources)["memlock"] > 0
    assert (
        replace(function, managed=False) in translated(backup + xml.replace("managed='yes'", "managed='no'")).resources
    )


def test_vlan_tags_need_a_port_that_carries_them() -> None:
    vlan = "<vlan><tag id='42'/></vlan>"
    with pytest.raises(Unsupported, match="VLAN"):
        translated(card("bridge", f"<source bridge='br0'/>{vlan}"))
    translated(card("bridge", f"<source bridge='br0'/>{vlan}<virtualport type='openvswitch'/>"))
    translated(card("direct", f"<source dev='e0' mode='passthrough'/>{vlan}"))


def test_an_older_qemu_reads_the_comma_form() -> None:
    (netdev,) = values(translated(NETDEVS["udp"][0]), "netdev")
    assert comma("netdev", netdev) == "socket,udp=10.0.0.1:1,localaddr=10.0.0.2:2,id=hostnet0"


def test_descriptors_are_counted_over_all_devices() -> None:
    bridge = "<interface type='bridge'><source bridge='br0'/><model type='e1000'/></interface>"
    ctx = translated(bridge * 2 + "<serial type='file'><source path='/log'/></serial>", caps=qemu72())
    assert [found["fd"] for found in values(ctx, "netdev")] == ["3", "4"]
    assert ctx.next_fd == 6
