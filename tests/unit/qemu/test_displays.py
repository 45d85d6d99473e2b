"""Display servers: places and ports, options on the command line, passwords by the monitor, what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.definition import format_guest
from frontinus.domain.devices.graphics import Graphics, assign_ports
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import Helper, Label
from frontinus.domain.qapi import Schema
from frontinus.qemu.argv.context import comma
from frontinus.qemu.argv.devices.graphics import expiry
from support.attachments import definition, translated, values
from support.guests import host, qemu72


def completed(xml: str, **how: object) -> Graphics:
    return definition(xml, **how).devices.graphics[0]  # type: ignore[arg-type]


def vnc(inside: str = "", facts: HostFacts | None = None, **attributes: str) -> str:
    return one("vnc", inside, facts, attributes)


def spice(inside: str = "", facts: HostFacts | None = None, **attributes: str) -> str:
    return one("spice", inside, facts, attributes)


def one(kind: str, inside: str, facts: HostFacts | None, attributes: dict[str, str]) -> str:
    """The comma form of the one server, without the sound that comes with it."""
    said = "".join(f" {name}='{value}'" for name, value in attributes.items())
    (found,) = values(translated(f"<graphics type='{kind}'{said}>{inside}</graphics>", facts=facts), kind)
    assert isinstance(found, dict)
    return comma(kind, {key: value for key, value in found.items() if key not in ("audiodev", "seamless-migration")})


# --- places and ports


PLACES = {
    "default": ("<graphics type='vnc'/>", dict(port=-1, autoport=True, listen=None)),
    "old-auto": ("<graphics type='vnc' port='-1' listen='::1'/>", dict(port=-1, autoport=True, listen="::1")),
    "not-auto": ("<graphics type='vnc' autoport='no'/>", dict(port=None, autoport=False)),
    "fixed": ("<graphics type='vnc' port='5903'/>", dict(port=5903, autoport=False)),
    "stale": ("<graphics type='vnc' port='5903' autoport='yes'/>", dict(port=-1, autoport=True)),
    "element": (
        "<graphics type='vnc'><listen type='address' address='10.0.0.1'/></graphics>",
        dict(listen="10.0.0.1", port=-1),
    ),
    "socket": ("<graphics type='vnc' socket='/s'/>", dict(socket="/s", port=None, autoport=None, listen=None)),
    "socket-wins": (
        "<graphics type='vnc' socket='/s'><listen type='address' address='0.0.0.0'/></graphics>",
        dict(socket="/s", listen=None),
    ),
    "socket-element": (
        "<graphics type='vnc'><listen type='socket' socket='/s'/></graphics>", dict(socket="/s", port=None)
    ),
    "own-socket": (
        "<graphics type='vnc' socket='/var/lib/libvirt/qemu/domain-1-a/vnc.sock'/>",
        dict(socket=None, port=-1, autoport=True),
    ),
    "none": ("<graphics type='vnc'><listen type='none'/></graphics>", dict(port=None, autoport=None)),
    "websocket": (
        "<graphics type='vnc' websocket='5702' websocketGenerated='yes'/>",
        dict(websocket=-1, websocket_generated=None),
    ),
    "spice": ("<graphics type='spice'/>", dict(port=None, autoport=None)),
    "spice-auto": ("<graphics type='spice' autoport='yes' port='5901'/>", dict(port=None, autoport=True)),
    "spice-old-auto": ("<graphics type='spice' port='-1' tlsPort='-1'/>", dict(port=None, tls_port=None, autoport=True)),
    "spice-fixed": ("<graphics type='spice' tlsPort='5901'/>", dict(tls_port=5901, autoport=False)),
    "spice-socket": (
        "<graphics type='spice'><listen type='socket' socket='/s'/></graphics>", dict(socket=None, port=None)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_the_place_of_a_definition(name: str) -> None:
    xml, expected = PLACES[name]
    found = completed(xml)
    assert {key: getattr(found, key) for key in expected} == expected


def test_places_are_said_in_both_ways() -> None:
    assert [x.type for x in completed("<graphics type='spice'/>").listens] == ["none"]
    assert completed("<graphics type='vnc' listen='1.2.3.4'/>").main_listen.address == "1.2.3.4"
    assert completed("<graphics type='vnc'/>").main_listen.type == "address"
    assert "port='-1' autoport='yes'" in format_guest(definition("<graphics type='vnc'/>"))


def test_ports_are_given_at_the_start() -> None:
    guest = definition("<graphics type='vnc' websocket='-1'/><graphics type='spice' autoport='yes'>"
                       "<channel name='main' mode='secure'/></graphics>").clone()  # fmt: skip
    assign_ports(guest, itertools.count(6000).__next__)
    first, second = guest.devices.graphics
    assert (first.port, first.websocket, first.websocket_generated) == (6000, 6001, True)
    assert (second.port, second.tls_port) == (6002, 6003)
    assign_ports(guest, itertools.count(7000).__next__)
    assert first.port == 6000


def test_encryption_alone_needs_no_plain_port() -> None:
    guest = definition("<graphics type='spice' autoport='yes' defaultMode='secure'/>")
    assign_ports(guest, itertools.count(6000).__next__)
    assert (guest.devices.graphics[0].port, guest.devices.graphics[0].tls_port) == (None, 6000)


# --- the command line


def test_vnc_listens() -> None:
    assert vnc() == "127.0.0.1:0"
    assert vnc(facts=replace(host(), vnc_listen="0.0.0.0")) == "0.0.0.0:0"
    assert vnc(port="5903", listen="fd00::1") == "[fd00::1]:3"
    assert vnc(socket="/a,b") == "unix:/a,,b"
    assert vnc("<listen type='socket'/>") == "unix:/state/domain-7-test/vnc.sock"
    assert vnc("<listen type='none'/>", websocket="5700") == "none"
    assert (
        vnc("<listen type='network' network='n'/>", replace(host(), network_addresses={"n": "10.0.0.1"}))
        == "10.0.0.1:0"
    )
    assert vnc(facts=replace(host(), sockets_first=frozenset({"vnc"}))) == "unix:/state/domain-7-test/vnc.sock"
    with pytest.raises(Unsupported, match="network 'n'"):
        vnc("<listen type='network' network='n'/>")


def test_vnc_options() -> None:
    said = vnc(port="5901", websocket="5701", sharePolicy="force-shared", powerControl="yes", passwd="p")
    assert said == "127.0.0.1:1,websocket=5701,share=force-shared,password=on,power-control=on"
    facts = replace(host(), tls={"default": "/pki"}, tls_on=frozenset({"vnc"}), sasl=frozenset({"vnc"}))
    assert vnc(facts=facts) == "127.0.0.1:0,tls-creds=vnc-tls-creds0,sasl=on"
    ctx = translated("<graphics type='vnc' keymap='de'/>", facts=facts)
    assert values(ctx, "k") == ["de"]
    assert values(ctx, "object")[0]["dir"] == "/pki"
    assert values(ctx, "vnc")[0]["audiodev"] == "audio1"


def test_a_display_uses_the_sound_that_it_names() -> None:
    audios = "<audio id='1' type='none'/><audio id='2' type='alsa'/>"
    ctx = translated(f"<graphics type='vnc'><audio id='2'/></graphics>{audios}")
    assert values(ctx, "vnc")[0]["audiodev"] == "audio2"


SPICE = """<channel name='main' mode='secure'/><channel name='inputs' mode='insecure'/><channel name='cursor' mode='any'/>
<image compression='quic'/><jpeg compression='never'/><zlib compression='always'/><playback compression='off'/>
<streaming mode='all'/><clipboard copypaste='no'/><filetransfer enable='no'/><mouse mode='client'/>"""


def test_spice_options() -> None:
    facts = replace(host(), tls={"spice": "/pki"}, sasl=frozenset({"spice"}))
    said = spice(SPICE, facts, port="5901", tlsPort="5902", defaultMode="insecure", passwd="p")
    assert said == (
        "port=5901,tls-port=5902,addr=127.0.0.1,sasl=on,agent-mouse=on,x509-dir=/pki,tls-channel=main,"
        "plaintext-channel=default,plaintext-channel=inputs,image-compression=quic,jpeg-wan-compression=never,"
        "zlib-glz-wan-compression=always,playback-compression=off,streaming-video=all,disable-copy-paste=on,"
        "disable-agent-file-xfer=on"
    )  # fmt: skip
    with pytest.raises(Unsupported, match="<graphics type='spice'>: .*no spice certificates"):
        spice(tlsPort="5902")
    with pytest.raises(Unsupported, match="need a tlsPort"):
        spice("<channel name='main' mode='secure'/>", port="5901")


def test_spice_listens() -> None:
    assert spice() == "port=0,disable-ticketing=on"
    assert spice("<listen type='socket' socket='/s'/>") == "unix,addr=/s,disable-ticketing=on"
    assert spice(autoport="yes") == "port=5900,addr=127.0.0.1,disable-ticketing=on"


def test_opengl_needs_a_local_listener_and_a_gpu() -> None:
    facts = replace(host(), render_nodes=("/dev/dri/renderD128", "/dev/dri/renderD129"))
    assert spice("<gl enable='yes'/>", facts) == "port=0,disable-ticketing=on,gl=on,rendernode=/dev/dri/renderD128"
    assert spice("<gl enable='yes' rendernode='/mine'/>", facts).endswith("rendernode=/mine")
    ctx = translated("<graphics type='egl-headless'/>", facts=facts)
    assert ctx.resources == [Label("/dev/dri/renderD128", shared=True)]
    with pytest.raises(Unsupported, match="OpenGL"):
        spice("<gl enable='yes'/>", port="5901")


OTHERS = {
    "none": ("", "none"),
    "sdl": ("<graphics type='sdl'><gl enable='yes'/></graphics>", "sdl,gl=on"),
    "egl": ("<graphics type='egl-headless'/>", "egl-headless,rendernode=/dri"),
    "egl-chosen": ("<graphics type='egl-headless'><gl rendernode='/r'/></graphics>", "egl-headless,rendernode=/r"),
    "dbus-p2p": ("<graphics type='dbus' p2p='yes'/>", "dbus,p2p=on"),
    "dbus-address": (
        "<graphics type='dbus' address='unix:path=/a'><gl enable='yes'/><audio id='1'/></graphics>"
        "<audio id='1' type='none'/>",
        "dbus,addr=unix:path=/a,gl=on,rendernode=/dri,audiodev=audio1",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_displays(name: str) -> None:
    xml, expected = OTHERS[name]
    found = values(translated(xml, facts=replace(host(), render_nodes=("/dri",))), "display")
    assert [v if isinstance(v, str) else comma("display", v) for v in found] == [expected]


@pytest.mark.parametrize("kind", ["vnc", "spice", "sdl", "egl-headless", "dbus"])
def test_a_display_that_qemu_lacks_is_refused(kind: str) -> None:
    bare = replace(qemu72(), schema=Schema(()), commands=frozenset())
    with pytest.raises(Unsupported, match=f"<graphics type='{kind}'> is not supported"):
        translated(f"<graphics type='{kind}'/>", caps=bare)


def test_sdl_takes_its_screen_from_the_environment() -> None:
    ctx = translated("<graphics type='sdl' display=':1' xauth='/x' fullscreen='yes'/>")
    assert ctx.env == {"DISPLAY": ":1", "XAUTHORITY": "/x"}
    assert values(ctx, "full-screen") == [None]


def test_a_bus_of_its_own() -> None:
    ctx = translated("<graphics type='dbus'/>")
    assert values(ctx, "display")[0]["addr"] == "unix:path=/folder/dbus.sock"
    arguments = ("--session", "--nofork", "--nopidfile", "--address=unix:path=/folder/dbus.sock")
    assert ctx.resources == [Helper("dbus", ("/usr/bin/dbus-daemon", *arguments), "/folder/dbus.sock")]


# --- passwords


def test_passwords_go_by_the_monitor_alone() -> None:
    xml = """<graphics type='vnc' passwd='s3cret' passwdValidTo='2030-01-31T12:00:00' connected='keep'/>
        <graphics type='spice' passwd='' connected='disconnect'/>"""  # fmt: skip
    ctx = translated(xml)
    assert ctx.commands == [
        ("set_password", {"protocol": "vnc", "password": "s3cret", "connected": "keep"}),
        ("expire_password", {"protocol": "vnc", "time": "1896091200"}),
        ("set_password", {"protocol": "spice", "password": "", "connected": "disconnect"}),
    ]  # fmt: skip
    assert all("s3cret" not in str(item.value) for item in ctx.items)
    assert (
        "disable-ticketing" not in str(values(ctx, "spice")[0])
        or values(ctx, "spice")[0].get("disable-ticketing") is None
    )
    assert "s3cret" not in format_guest(ctx.guest)
    assert "s3cret" in format_guest(ctx.guest, secrets=True)


def test_the_hosts_password_is_for_guests_without_one() -> None:
    facts = replace(host(), passwords={"vnc": "ours"})
    ctx = translated("<graphics type='vnc'/><graphics type='spice'/>", facts=facts)
    assert ctx.commands == [("set_password", {"protocol": "vnc", "password": "ours"})]
    assert values(ctx, "vnc")[0]["password"] is True
    assert "ours" not in repr(facts)


def test_times_are_utc() -> None:
    assert expiry("1970-01-02T00:00:00") == expiry("1970-01-02T00:00:00Z") == "86400"


# --- what cannot be


REFUSED = {
    "rdp": ("<graphics type='rdp'/>", "not of this hypervisor"),
    "desktop": ("<graphics type='desktop'/>", "not of this hypervisor"),
    "two": ("<graphics type='vnc'/><graphics type='vnc'/>", "only one <graphics type='vnc'>"),
    "two-gl": (
        "<graphics type='spice'><gl enable='yes'/></graphics><graphics type='egl-headless'/>",
        "only one display can use OpenGL",
    ),
    "mismatch": (
        "<graphics type='vnc' listen='1.1.1.1'><listen type='address' address='2.2.2.2'/></graphics>",
        "not the address",
    ),
    "network": ("<graphics type='vnc'><listen type='network'/></graphics>", "'network' is missing"),
    "socket": ("<graphics type='vnc'><listen type='socket' address='a'/></graphics>", "neither an address"),
    "nowhere": ("<graphics type='vnc'><listen type='none' address='a'/></graphics>", "no attribute besides"),
    "port": ("<graphics type='vnc' port='80'/>", "at least 5900"),
    "connected": ("<graphics type='vnc' passwd='p' connected='fail'/>", "only 'keep'"),
    "until": ("<graphics type='vnc' passwd='p' passwdValidTo='tomorrow'/>", "no time like"),
    "option": ("<graphics type='vnc' defaultMode='secure'/>", "has no defaultMode"),
    "element": ("<graphics type='sdl'><image compression='off'/></graphics>", "has no image/compression"),
    "both": ("<graphics type='dbus' p2p='yes' address='a'/>", "exclude each other"),
    "audio": ("<graphics type='vnc'><audio id='9'/></graphics>", "no <audio id='9'>"),
    "kind": ("<graphics type='warp'/>", "not one of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    xml, reason = REFUSED[name]
    with pytest.raises(InvalidXML, match=reason):
        definition(xml)


def test_power_control_needs_a_qemu_that_has_it() -> None:
    with pytest.raises(Unsupported, match="powerControl"):
        definition("<graphics type='vnc' powerControl='yes'/>", caps=replace(qemu72(), options={}))


def test_a_password_is_changed_by_little_more_than_it() -> None:
    """What the element leaves open is as it was; what it says otherwise is not forgotten, so that it is refused."""
    old = completed("<graphics type='spice' autoport='yes' passwd='a'><listen type='address' address='127.0.0.1'/>"
                    "<image compression='off'/></graphics>")  # fmt: skip
    old.port = 5907
    new = completed("<graphics type='spice' port='5900' autoport='yes' passwd='b' connected='keep'/>").over(old)
    assert (new.port, new.image, new.listens, new.password, new.connected) == (5907, "off", old.listens, "b", "keep")
    assert completed("<graphics type='spice' autoport='yes'/>").over(old).password is None
    other = completed(
        "<graphics type='spice' autoport='yes'><listen type='address' address='0.0.0.0'/></graphics>"
    ).over(old)
    assert other.main_listen.address == "0.0.0.0"


def test_a_port_that_is_neither_given_nor_chosen_is_missed_at_the_start() -> None:
    """As with libvirt the definition stands as it is written."""
    assert (
        " port=" not in format_guest(definition("<graphics type='vnc' autoport='no'/>")).partition("<graphics")[2][:40]
    )
    with pytest.raises(Unsupported, match="port is missing"):
        vnc(autoport="no")
