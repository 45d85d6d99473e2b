"""Graphics cards, sound cards and the host's sound: defaults, the command line, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.devices.video import Video
from frontinus.domain.plan import Helper, Label
from frontinus.domain.qapi import Schema
from support.attachments import definition, device, translated, values
from support.guests import host, qemu72

VNC = "<graphics type='vnc'/>"


def cards(xml: str, **how: object) -> list[Video]:
    return definition(xml, **how).devices.videos  # type: ignore[arg-type]


def without(*types: str) -> object:
    return replace(qemu72(), types=qemu72().types - set(types))


# --- graphics cards


def test_a_display_has_a_card() -> None:
    assert cards("") == []
    (card,) = cards(VNC)
    assert (card.model, card.vram, card.heads, card.primary) == ("cirrus", 16384, 1, True)
    assert cards(VNC, caps=without("cirrus-vga"))[0].model == "vga"
    assert cards(VNC, caps=without("cirrus-vga", "VGA"))[0].model == "virtio"
    assert cards("<video><model type='default'/></video>")[0].model == "cirrus"


def test_the_sizes_of_a_qxl_card() -> None:
    (card,) = cards("<video><model type='qxl' ram='65000' vram64='70000'/></video>")
    assert (card.ram, card.vram, card.vram64, card.vgamem) == (65536, 65536, 131072, 16384)


def test_the_primary_card_comes_first() -> None:
    both = cards("<video><model type='qxl'/></video><video><model type='vga' primary='yes'/></video>")
    assert [(card.model, card.primary) for card in both] == [("vga", True), ("qxl", None)]
    assert [card.primary for card in cards("<video><model type='qxl' primary='no'/></video>" * 2)] == [True, None]


def model(kind: str, attributes: str = "", inside: str = "", driver: str = "") -> str:
    return f"<video>{driver}<model type='{kind}' {attributes}>{inside}</model></video>"


GL = "<acceleration accel3d='yes'/>"
LATER = model("vga")
CARDS = {
    "vga": (model("vga"), {"driver": "VGA", "vgamem_mb": 16}),
    "vga-size": (
        model("vga", "vram='32768'", "<resolution x='800' y='600'/>"),
        {"driver": "VGA", "vgamem_mb": 32, "xres": 800, "yres": 600},
    ),
    "cirrus": (model("cirrus", "vram='9216'"), {"driver": "cirrus-vga"}),
    "vmvga": (model("vmvga"), {"driver": "vmware-svga", "vgamem_mb": 16}),
    "bochs": (model("bochs"), {"driver": "bochs-display", "vgamem": 2**24}),
    "ramfb": (model("ramfb"), {"driver": "ramfb"}),
    "qxl": (
        model("qxl", "ram='65536' vram='32768' vram64='131072' vgamem='8192' heads='2'"),
        {"driver": "qxl-vga", "max_outputs": 2, "ram_size": 2**26, "vram_size": 2**25, "vram64_size_mb": 128, "vgamem_mb": 8},
    ),
    "virtio": (model("virtio", "heads='4' blob='on'"), {"driver": "virtio-vga", "max_outputs": 4, "blob": True}),
    "edid": (model("vga", "edid='off'"), {"driver": "VGA", "vgamem_mb": 16, "edid": False}),
    "virtio-3d": (model("virtio", "", GL), {"driver": "virtio-vga-gl", "max_outputs": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_the_primary_card(name: str) -> None:
    xml, expected = CARDS[name]
    found = device(translated(xml), "video0")
    assert {key: value for key, value in found.items() if value is not None} == expected


SECOND = {
    "qxl": (model("qxl"), {"driver": "qxl", "max_outputs": 1, "ram_size": 2**26, "vram_size": 2**26,
                           "vram64_size_mb": 0, "vgamem_mb": 16}),
    "virtio": (
        model("virtio", driver="<driver iommu='on' ats='off'/>"),
        {"driver": "virtio-gpu-pci", "max_outputs": 1, "iommu_platform": True, "ats": False},
    ),
    "virtio-3d": (model("virtio", "", GL), {"driver": "virtio-gpu-gl-pci", "max_outputs": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", SECOND)
def test_a_card_beside_the_primary_one(name: str) -> None:
    xml, expected = SECOND[name]
    found = device(translated(LATER + xml), "video1")
    assert {key: value for key, value in found.items() if value is not None} == expected


def test_an_older_qemu_renders_by_a_property() -> None:
    caps = without("virtio-vga-gl", "virtio-gpu-gl-pci", "virtio-gpu-gl-device")
    caps = replace(caps, properties={**caps.properties, "virtio-gpu-pci": {"virgl": "bool"}})  # type: ignore[type-var]
    found = device(translated(model("virtio", "", GL), caps=caps), "video0")
    assert (found["driver"], found["virgl"]) == ("virtio-vga", True)
    blind = replace(caps, properties={**caps.properties, "virtio-gpu-pci": {}})
    with pytest.raises(Unsupported, match="accel3d"):
        translated(model("virtio", "", GL), caps=blind)


def test_without_vga_registers_a_virtio_card_is_plain() -> None:
    found = device(translated(model("virtio"), caps=without("virtio-vga")), "video0")
    assert found["driver"] == "virtio-gpu-pci"


def test_no_card_at_all() -> None:
    ctx = translated(VNC + model("none"))
    assert [card.model for card in ctx.guest.devices.videos] == ["none"]
    assert values(ctx, "device") == []


def test_another_process_may_be_the_card() -> None:
    driver = "<driver name='vhostuser' packed='on'/>"
    facts = replace(host(), vhost_user_gpu="/gpu", render_nodes=("/dri",))
    ctx = translated(model("virtio", "", GL, driver), facts=facts, caps=with_vhost_user())
    assert device(ctx, "video0")["driver"] == "vhost-user-vga"
    assert values(ctx, "chardev") == [{"backend": "socket", "id": "chr-vu-video0", "fd": "3"}]
    assert ctx.resources == [
        Label("/dri", shared=True),
        Helper("video0-gpu", ("/gpu", "--fd=3", "--virgl", "--render-node=/dri"), "", pair=(3, 3)),
    ]
    plain = translated(LATER + model("virtio", driver=driver), facts=facts, caps=with_vhost_user())
    found = device(plain, "video1")
    assert (found["driver"], found["packed"], found["chardev"]) == ("vhost-user-gpu-pci", True, "chr-vu-video1")
    assert plain.resources[0].argv == ("/gpu", "--fd=3")


def with_vhost_user() -> object:
    return replace(qemu72(), types=qemu72().types | {"vhost-user-vga", "vhost-user-gpu-pci"})


def test_a_card_that_qemu_lacks_is_refused() -> None:
    with pytest.raises(Unsupported, match="no qxl-vga"):
        translated(model("qxl"), caps=without("qxl-vga"))


# --- sound


CARDS_OF_SOUND = {
    "sb16": ([{"driver": "sb16", "audiodev": "audio1"}]),
    "es1370": ([{"driver": "ES1370", "audiodev": "audio1"}]),
    "ac97": ([{"driver": "AC97", "audiodev": "audio1"}]),
    "usb": ([{"driver": "usb-audio", "audiodev": "audio1"}]),
    "ich6": [{"driver": "intel-hda"}, {"driver": "hda-duplex", "cad": 0, "audiodev": "audio1"}],
    "ich9": [{"driver": "ich9-intel-hda"}, {"driver": "hda-duplex", "cad": 0, "audiodev": "audio1"}],
}


@pytest.mark.parametrize("name", CARDS_OF_SOUND)
def test_sound_cards(name: str) -> None:
    found = values(translated(f"<sound model='{name}'/>"), "device")
    place = ("id", "bus", "addr", "port")
    assert [{k: v for k, v in one.items() if v is not None and k not in place} for one in found] == CARDS_OF_SOUND[name]  # type: ignore[attr-defined]


def test_codecs_hang_on_their_card() -> None:
    ctx = translated("<sound model='ich6'><codec type='micro'/><codec type='output'/></sound>")
    card, micro, output = values(ctx, "device")
    assert (micro["driver"], micro["id"], micro["bus"], micro["cad"]) == ("hda-micro", "sound0-codec0", "sound0.0", 0)
    assert (output["driver"], output["id"], output["bus"], output["cad"]) == (
        "hda-output",
        "sound0-codec1",
        "sound0.0",
        1,
    )
    assert "audiodev" not in card


def test_the_speaker_is_a_part_of_the_machine() -> None:
    ctx = translated("<sound model='pcspk'/>")
    assert values(ctx, "machine") == ["pcspk-audiodev=audio1"]
    assert values(ctx, "device") == []
    old = translated("<sound model='pcspk'/>", caps=replace(qemu72(), schema=Schema(())))
    assert (values(old, "soundhw"), values(old, "machine")) == (["pcspk"], [])


def test_a_card_uses_the_backend_that_it_names() -> None:
    xml = "<audio id='4' type='none'/><audio id='7' type='alsa'/><sound model='ac97'><audio id='7'/></sound>"
    assert device(translated(xml), "sound0")["audiodev"] == "audio7"
    usb = translated("<sound model='usb' multichannel='yes'/>")
    assert device(usb, "sound0")["multi"] is True


DEFAULTS = {
    "headless": ("", "none"), "vnc": (VNC, "none"), "spice": ("<graphics type='spice'/>", "spice"),
    "both": (VNC + "<graphics type='spice'/>", "spice"), "sdl": ("<graphics type='sdl'/>", None),
    "dbus": ("<graphics type='dbus'/>", None),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_where_sound_goes_by_default(name: str) -> None:
    xml, expected = DEFAULTS[name]
    found = [(audio.id, audio.type) for audio in definition(xml).devices.audios]
    assert found == ([(1, expected)] if expected else [])


def test_the_hosts_sound_is_for_those_that_may_use_it() -> None:
    facts = replace(host(), audio_driver="alsa", host_audio=frozenset({"vnc"}))

    def chosen(xml: str) -> list[str]:
        return [audio.type for audio in definition(xml, facts=facts).devices.audios]

    assert (chosen(VNC), chosen(""), chosen("<graphics type='sdl'/>")) == (["alsa"], ["none"], ["alsa"])
    assert chosen(VNC + "<audio id='1' type='oss'/>") == ["oss"]


COMMON = "mixingEngine='yes' fixedSettings='yes' voices='2' bufferLength='100'"
SETTINGS = "<settings frequency='44100' channels='2' format='s16'/>"
QEMUS = {
    "mixing-engine": True, "fixed-settings": True, "voices": 2, "buffer-length": 100, "frequency": 44100, "channels": 2,
    "format": "s16",
}  # fmt: skip
BACKENDS = {
    "alsa": ("dev='/d'", {"dev": "/d"}, "alsa", "", {}),
    "coreaudio": ("bufferCount='3'", {"buffer-count": 3}, "coreaudio", "", {}),
    "jack": (
        "serverName='s' clientName='c' connectPorts='p' exactName='yes'",
        {"server-name": "s", "client-name": "c", "connect-ports": "p", "exact-name": True}, "jack", "", {},
    ),
    "oss": (
        "dev='/d' bufferCount='3' tryPoll='no'", {"dev": "/d", "buffer-count": 3, "try-poll": False}, "oss",
        "tryMMap='yes' exclusive='no' dspPolicy='4'", {"try-mmap": True, "exclusive": False, "dsp-policy": 4},
    ),
    "pulseaudio": (
        "name='n' streamName='s' latency='9'", {"name": "n", "stream-name": "s", "latency": 9}, "pa",
        "serverName='h'", {"server": "h"},
    ),
    "sdl": ("bufferCount='3'", {"buffer-count": 3}, "sdl", "driver='esd'", {}),
    "file": ("", {}, "wav", "path='/w'", {"path": "/w"}),
    "spice": ("", {}, "spice", "", {}),
    "dbus": ("", {}, "dbus", "", {}),
    "none": ("", {}, "none", "", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", BACKENDS)
def test_backends(name: str) -> None:
    stream, theirs, driver, attributes, options = BACKENDS[name]
    inside = "".join(f"<{way} {COMMON} {stream}>{SETTINGS}</{way}>" for way in ("input", "output"))
    display = "<graphics type='spice'/>" if name == "spice" else ""
    ctx = translated(f"{display}<audio id='3' type='{name}' timerPeriod='50' {attributes}>{inside}</audio>")
    assert values(ctx, "audiodev") == [{
        "id": "audio3", "driver": driver, "timer-period": 50, **options, "in": QEMUS | theirs, "out": QEMUS | theirs,
    }]  # fmt: skip
    assert ctx.env == ({"SDL_AUDIODRIVER": "esd"} if name == "sdl" else {})


# --- what cannot be


REFUSED = {
    "primaries": (model("vga", "primary='yes'") + model("qxl", "primary='yes'"), "only one card can be primary"),
    "none-beside": (model("none") + model("qxl"), "the only one"),
    "second-vga": (model("qxl") + model("vga"), "can only be the primary card"),
    "ramfb-address": ("<video><model type='ramfb'/><address type='pci' slot='5'/></video>", "no address"),
    "xen": (model("xen"), "not of this hypervisor"),
    "half-resolution": (model("vga", "", "<resolution x='1'/>"), "both x and y"),
    "zero-resolution": (model("vga", "", "<resolution x='0' y='0'/>"), "greater than zero"),
    "resolution": (model("cirrus", "", "<resolution x='1' y='1'/>"), "<resolution> is for"),
    "3d": (model("vga", "", GL), "accel3d is for virtio"),
    "2d": (model("vga", "", "<acceleration accel2d='yes'/>"), "accel2d"),
    "node": (model("virtio", "", "<acceleration accel3d='yes' rendernode='/d'/>"), "rendernode"),
    "vhostuser": (model("qxl", driver="<driver name='vhostuser'/>"), "is for model 'virtio'"),
    "iommu": (model("qxl", driver="<driver iommu='on'/>"), "virtio devices"),
    "blob": (model("qxl", "blob='on'"), "blob is for virtio"),
    "edid": (model("cirrus", "edid='on'"), "edid is for bochs"),
    "ram": (model("vga", "ram='1024'"), "ram is for qxl"),
    "vgamem": (model("qxl", "vgamem='512'"), "at least 1024"),
    "vram": (model("vga", "vram='512'"), "at least 1024"),
    "ich7": ("<sound model='ich7'/>", "not of this hypervisor"),
    "multichannel": ("<sound model='ac97' multichannel='yes'/>", "multichannel"),
    "no-audio": ("<sound model='ac97'><audio id='5'/></sound>", "no <audio id='5'>"),
    "twice": ("<audio id='1' type='none'/><audio id='1' type='alsa'/>", "used twice"),
    "option": ("<audio id='1' type='alsa' tryMMap='yes'/>", "no trymmap"),
    "stream": ("<audio id='1' type='alsa'><input serverName='s'/></audio>", "has no serverName"),
    "settings": ("<audio id='1' type='alsa'><input><settings frequency='1'/></input></audio>", "fixedSettings='yes'"),
    "mixing": ("<audio id='1' type='alsa'><input mixingEngine='no' fixedSettings='yes'/></audio>", "mixing engine"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    xml, reason = REFUSED[name]
    with pytest.raises(InvalidXML, match=reason):
        definition(xml)


def test_what_says_nothing_is_left_out() -> None:
    guest = definition("<sound model='ac97'><codec type='duplex'/></sound><audio id='1' type='alsa'><input/></audio>"
                       "<video><model type='none' heads='2' vram='9'/></video><redirfilter/>")  # fmt: skip
    devices = guest.devices
    assert not devices.sounds[0].codecs and devices.audios[0].input is None and devices.redirfilter is None
    assert devices.videos[0].heads is None and devices.videos[0].vram is None


def test_memory_of_a_card_is_a_power_of_two() -> None:
    assert definition("<video><model type='vga' vram='9000'/></video>").devices.videos[0].vram == 16384


def test_a_mediated_device_shows_nothing_unless_told() -> None:
    device = ("<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
              "<address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>")  # fmt: skip
    assert getattr(definition(device).devices.hostdevs[0], "display", None) is False
