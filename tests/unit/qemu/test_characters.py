"""Character devices: the host's end of each kind, the guest's end, consoles and serial ports, channels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.plan import Label, Listener, OpenFile
from frontinus.qemu.argv.chardev import chardev_add
from frontinus.qemu.argv.context import comma
from support.attachments import definition, device, translated, values
from support.guests import host, qemu72

SPICE = "<graphics type='spice'/>"
ENDS = {
    "null": ("<serial type='null'/>", "null,id=charserial0"),
    "vc": ("<serial type='vc'/>", "vc,id=charserial0"),
    "pty": ("<serial type='pty'><source path='/dev/pts/9'/></serial>", "pty,id=charserial0"),
    "stdio": ("<serial type='stdio'/>", "stdio,id=charserial0"),
    "dev": ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", "serial,id=charserial0,path=/dev/ttyS0"),
    "pipe": ("<serial type='pipe'><source path='/p'/></serial>", "pipe,id=charserial0,path=/p"),
    "file": (
        "<serial type='file'><source path='/f' append='on'/></serial>",
        "file,id=charserial0,path=/dev/fdset/3,append=on",
    ),
    "log": (
        "<serial type='pty'><log file='/l' append='off'/></serial>",
        "pty,id=charserial0,logfile=/dev/fdset/3,logappend=on",
    ),
    "udp": (
        "<serial type='udp'><source host='h' service='1'/><source mode='bind' host='b' service='2'/></serial>",
        "udp,id=charserial0,host=h,port=1,localaddr=b,localport=2",
    ),
    "udp-send": (
        "<serial type='udp'><source mode='connect' service='1'/></serial>",
        "udp,id=charserial0,host=,port=1,localaddr=,localport=0",
    ),
    "tcp": (
        "<serial type='tcp'><source host='h' service='1'/></serial>",
        "socket,id=charserial0,host=h,port=1",
    ),
    "tcp-again": (
        "<serial type='tcp'><source host='h' service='1'><reconnect enabled='yes' timeout='5'/></source></serial>",
        "socket,id=charserial0,host=h,port=1,reconnect=5",
    ),
    "telnet": (
        "<serial type='tcp'><source mode='bind' host='h' service='1'/><protocol type='telnet'/></serial>",
        "socket,id=charserial0,host=h,port=1,telnet=on,server=on,wait=off",
    ),
    "unix": (
        "<serial type='unix'><source mode='connect' path='/s'><reconnect enabled='no'/></source></serial>",
        "socket,id=charserial0,path=/s",
    ),
    "unix-listen": (
        "<serial type='unix'><source mode='bind' path='/s'/></serial>",
        "socket,id=charserial0,fd=3,server=on,wait=off",
    ),
    "spiceport": (
        f"<serial type='spiceport'><source channel='org.a.b'/></serial>{SPICE}",
        "spiceport,id=charserial0,name=org.a.b",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_hosts_end(name: str) -> None:
    xml, expected = ENDS[name]
    assert [comma("chardev", found) for found in values(translated(xml), "chardev")] == [expected]


def test_files_and_sockets_are_opened_by_the_engine() -> None:
    ctx = translated(
        ENDS["file"][0]
        + "<parallel type='unix'><source mode='bind' path='/s'/><log file='/l'/></parallel>"
        + "<channel type='file'><source path='/g' append='off'/><target type='virtio' name='a'/></channel>"
    )
    assert ctx.resources == [
        OpenFile("/f", 3, append=True), Listener("/s", 4), OpenFile("/l", 5, append=True),
        OpenFile("/g", 6, append=False),
    ]  # fmt: skip
    assert [comma("add-fd", found) for found in values(ctx, "add-fd")] == [
        "set=3,fd=3,opaque=serial0-source", "set=5,fd=5,opaque=parallel0-log", "set=6,fd=6,opaque=channel0-source",
    ]  # fmt: skip


REACHED = {
    "dev": [Label("/dev/ttyS0")],
    "pipe": [Label("/p.in", optional=True), Label("/p.out", optional=True), Label("/p", optional=True)],
    "unix": [Label("/s", shared=True)],
    "pty": [],
}


@pytest.mark.parametrize("name", REACHED)
def test_qemu_is_let_at_what_it_opens_itself(name: str) -> None:
    assert translated(ENDS[name][0]).resources == REACHED[name]


def test_encryption_is_asked_for_or_the_hosts_default() -> None:
    facts = replace(host(), tls={"chardev": "/pki"}, tls_verify=frozenset({"chardev"}))
    tcp = "<serial type='tcp'><source mode='{}' host='h' service='1'{}/></serial>"
    ctx = translated(tcp.format("bind", " tls='yes'"), facts=facts)
    (credentials,) = values(ctx, "object")
    assert credentials == {"qom-type": "tls-creds-x509", "id": "objcharserial0_tls0", "dir": "/pki",
                           "endpoint": "server", "verify-peer": True}  # fmt: skip
    assert values(ctx, "chardev")[0]["tls-creds"] == "objcharserial0_tls0"
    assert Label("/pki/ca-cert.pem", readonly=True, shared=True) in ctx.resources
    assert Label("/pki/server-key.pem", readonly=True, shared=True, optional=True) in ctx.resources
    assert not values(translated(tcp.format("bind", ""), facts=facts), "object")
    always = replace(facts, tls_on=frozenset({"chardev"}), tls_verify=frozenset())
    (credentials,) = values(translated(tcp.format("connect", ""), facts=always), "object")
    assert (credentials["endpoint"], credentials["verify-peer"]) == ("client", True)
    (credentials,) = values(translated(tcp.format("bind", ""), facts=always), "object")
    assert (credentials["endpoint"], credentials["verify-peer"]) == ("server", False)
    assert not values(translated(tcp.format("bind", " tls='no'"), facts=always), "object")
    with pytest.raises(Unsupported, match="<source tls='yes'> of a character device: .*no chardev certificates"):
        translated(tcp.format("bind", " tls='yes'"))


GUEST_ENDS = {
    "isa": ("<serial type='null'/>", "serial0", {"driver": "isa-serial", "index": 0}),
    "pci": ("<serial type='null'><target type='pci-serial'/></serial>", "serial0", {"driver": "pci-serial"}),
    "by-address": (
        "<serial type='null'><address type='usb' bus='0' port='1'/></serial>",
        "serial0", {"driver": "usb-serial", "port": "1"},
    ),
    "debug": (
        "<serial type='null'><target type='isa-debug'/><address type='isa' iobase='0x402'/></serial>",
        "serial0", {"driver": "isa-debugcon", "iobase": 0x402},
    ),
    "second": ("<serial type='null'/><serial type='null'/>", "serial1", {"driver": "isa-serial", "index": 1}),
    "parallel": ("<parallel type='null'/>", "parallel0", {"driver": "isa-parallel"}),
    "console": ("<console type='null'><target type='virtio'/></console>", "console0", {"driver": "virtconsole"}),
    "channel": (
        "<channel type='null'><target type='virtio' name='org.a'/></channel>",
        "channel0", {"driver": "virtserialport", "nr": 1, "name": "org.a"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GUEST_ENDS)
def test_the_guests_end(name: str) -> None:
    xml, alias, expected = GUEST_ENDS[name]
    found = device(translated(xml), alias)
    assert {key: value for key, value in found.items() if value is not None} == expected | {"chardev": f"char{alias}"}


def test_a_forwarded_address_of_the_user_network() -> None:
    xml = "<channel type='pipe'><source path='/p'/><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>"
    (netdev,) = values(translated(xml), "netdev")
    rule = "tcp:10.0.2.1:4600-chardev:charchannel0"
    assert netdev == {"type": "user", "guestfwd": [{"str": rule}], "id": "channel0"}
    assert comma("netdev", netdev) == f"user,guestfwd={rule},id=channel0"


# --- consoles and serial ports


def test_a_console_is_the_first_serial_port() -> None:
    guest = definition("<console type='tcp'><source host='h' service='1'/><log file='/l'/></console>")
    (serial,), (console,) = guest.devices.serials, guest.devices.consoles
    assert (serial.type, serial.port, serial.target, serial.model) == ("tcp", 0, "isa-serial", "isa-serial")
    assert (serial.protocol, serial.log_file, serial.end.mode) == ("raw", "/l", "connect")
    assert (console.target, console.type, console.end.host, console.log_file) == ("serial", "tcp", "h", "/l")
    assert [found["id"] for found in values(translated("<console type='null'/>"), "chardev")] == ["charserial0"]


def test_a_serial_port_is_the_first_console() -> None:
    guest = definition("<serial type='udp'><source service='1'/></serial><serial type='pty'/>")
    (console,) = guest.devices.consoles
    assert (console.type, console.target, console.port) == ("udp", "serial", 0)
    assert console.sources == guest.devices.serials[0].sources
    assert console.sources[0] is not guest.devices.serials[0].sources[0]
    assert not definition("<serial type='pty'><target type='pci-serial'/></serial>").devices.consoles
    assert not definition("<serial type='pty'><target type='isa-debug'/></serial>").devices.consoles


def test_a_console_shows_the_address_of_its_serial_port() -> None:
    guest = definition("""<serial type='pty'><target type='pci-serial'/></serial>
        <console type='null'><target type='serial'/></console>""")  # fmt: skip
    (console,) = guest.devices.consoles
    assert console.type == "pty"
    assert console.address == guest.devices.serials[0].address is not None


def test_completion_says_the_same_twice() -> None:
    once = format_guest(definition("""<console type='pty'/><console type='pty'><target type='virtio'/></console>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"""))  # fmt: skip
    from frontinus.domain.complete import complete

    assert format_guest(complete(parse_guest(once), qemu72(), host())) == once


def test_ports_are_counted_by_kind() -> None:
    devices = definition("<serial type='null'/><serial type='null'><target port='1'/></serial><serial type='null'/>"
                         "<parallel type='null'/>").devices  # fmt: skip
    assert [serial.port for serial in devices.serials] == [2, 1, 3]
    assert [parallel.port for parallel in devices.parallels] == [0]


# --- channels


def test_the_place_of_a_channel_is_chosen_at_each_start() -> None:
    xml = "<channel type='unix'>{}<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>"
    for old in ("", "<source mode='bind'/>", "<source mode='bind' path='/run/here/channel/domain-3-old/a'/>",
                "<source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-3-old/a'/>"):  # fmt: skip
        ctx = translated(xml.format(old))
        (channel,) = ctx.guest.devices.channels
        folder = PLACE.format(ctx.host.paths.short_name(7, "test"))
        assert (channel.end.mode, channel.end.path) == ("bind", f"{folder}/org.qemu.guest_agent.0")
        assert ctx.resources == [Listener(f"{folder}/org.qemu.guest_agent.0", 3)]
        assert (channel.is_agent, channel.state) == (True, None)
    mine = translated(xml.format("<source mode='bind' path='/mine'/>")).guest.devices.channels[0]
    assert mine.end.path == "/mine"


PLACE = "/run/here/channel/{}"


def test_the_agent_of_spice_has_its_name() -> None:
    ctx = translated(f"<channel type='spicevmc'><target type='virtio'/></channel>{SPICE}")
    assert values(ctx, "chardev") == [{"backend": "spicevmc", "id": "charchannel0", "name": "vdagent"}]
    assert device(ctx, "channel0")["name"] == "com.redhat.spice.0"


def test_qemus_own_vdagent() -> None:
    ctx = translated("""<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='server'/></source>
        <target type='virtio'/></channel>""")  # fmt: skip
    (found,) = values(ctx, "chardev")
    assert comma("chardev", found) == "qemu-vdagent,id=charchannel0,name=vdagent,clipboard=on,mouse=off"


REFUSED = {
    "path": ("<serial type='file'/>", "'path' is missing"),
    "unix": ("<serial type='unix'><source mode='bind'/></serial>", "'path' is missing"),
    "host": ("<serial type='tcp'><source service='1'/></serial>", "'host' is missing"),
    "service": ("<serial type='tcp'><source host='1'/></serial>", "'service' is missing"),
    "udp": ("<serial type='udp'><source mode='bind' service='1'/></serial>", "'service' is missing"),
    "two": (
        "<serial type='tcp'><source host='a' service='1'/><source mode='bind' host='a' service='1'/></serial>",
        "has one <source>",
    ),
    "two-udp": (
        "<serial type='udp'><source service='1'/><source service='2'/></serial>",
        "two <source> elements of one mode",
    ),
    "zero": (
        "<serial type='tcp'><source host='a' service='1'><reconnect enabled='yes' timeout='0'/></source></serial>",
        "missing or zero",
    ),
    "listening": (
        """<serial type='tcp'><source mode='bind' host='a' service='1'><reconnect enabled='yes' timeout='1'/></source>
        </serial>""",
        "mode 'connect'",
    ),
    "own-place": (
        """<channel type='unix'><source mode='connect' path='/run/frontinus/channel/domain-1-x/a'>
        <reconnect enabled='yes' timeout='1'/></source><target type='virtio' name='a'/></channel>""",
        "mode 'connect'",
    ),
    "nmdm": ("<serial type='nmdm'><source master='/a' slave='/b'/></serial>", "not of this hypervisor"),
    "spicevmc": ("<channel type='spicevmc'><target type='virtio'/></channel>", "needs <graphics type='spice'>"),
    "spice-name": (
        f"<channel type='spicevmc'><target type='virtio' name='a'/></channel>{SPICE}",
        "the name is 'com.redhat.spice.0'",
    ),
    "channel-name": (f"<serial type='spiceport'><source channel='a b'/></serial>{SPICE}", "characters other than"),
    "xen": ("<channel type='pty'><target type='xen' name='a'/></channel>", "not of this hypervisor"),
    "xen-console": ("<console type='pty'><target type='xen'/></console>", "not of this hypervisor"),
    "guestfwd": ("<channel type='pty'><target type='guestfwd' port='1'/></channel>", "needs an address"),
    "guestfwd6": ("<channel type='pty'><target type='guestfwd' address='::1' port='1'/></channel>", "IPv4"),
    "target": ("<channel type='pty'><target name='a'/></channel>", "type"),
    "spapr": ("<serial type='pty'><target type='spapr-vio-serial'/></serial>", "not of this architecture"),
    "model": (
        "<serial type='pty'><target type='isa-serial'><model name='pci-serial'/></target></serial>",
        "has no model 'pci-serial'",
    ),
    "address": (
        "<serial type='pty'><target type='isa-serial'/><address type='usb' bus='0'/></serial>",
        "has no address of type 'usb'",
    ),
    "second-console": ("<console type='pty'/><console type='pty'/>", "only the first console"),
    "many": ("<serial type='pty'><target port='4'/></serial>", "4 ISA serial ports"),
    "many-parallel": ("<parallel type='pty'><target port='3'/></parallel>", "3 parallel ports"),
    "kind": ("<serial type='warp'/>", "not one of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    xml, reason = REFUSED[name]
    with pytest.raises(InvalidXML, match=reason):
        definition(xml)


def test_a_backend_that_qemu_lacks_is_refused() -> None:
    from frontinus.domain.qapi import Schema

    old = replace(qemu72(), schema=Schema(()))
    with pytest.raises(Unsupported, match="qemu-vdagent"):
        translated("<channel type='qemu-vdagent'><target type='virtio'/></channel>", caps=old)


# --- the same by QMP


PLUGGED = {
    "file": {"out": "/dev/fdset/3", "append": True},
    "dev": {"device": "/dev/ttyS0"},
    "udp": {
        "remote": {"type": "inet", "data": {"host": "h", "port": "1"}},
        "local": {"type": "inet", "data": {"host": "b", "port": "2"}},
    },
    "telnet": {
        "addr": {"type": "inet", "data": {"host": "h", "port": "1"}}, "telnet": True, "server": True, "wait": False,
    },
    "unix": {"addr": {"type": "unix", "data": {"path": "/s"}}, "server": False},
    "unix-listen": {"addr": {"type": "fd", "data": {"str": "3"}}, "server": True, "wait": False},
    "spiceport": {"fqdn": "org.a.b"},
    "pty": {},
    "log": {"logfile": "/dev/fdset/3", "logappend": True},
}  # fmt: skip


@pytest.mark.parametrize("name", PLUGGED)
def test_what_chardev_add_is_told(name: str) -> None:
    (found,) = values(translated(ENDS[name][0]), "chardev")
    told = chardev_add(found)
    assert told == {"id": "charserial0", "backend": {"type": found["backend"], "data": PLUGGED[name]}}
