"""Completion and preparation: implicit devices, order, aliases, and what a running guest's new device gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest
from frontinus.domain.prepare import assign_alias, prepare
from support.guests import completed, document, host, qemu72

VNC, SPICE = "<graphics type='vnc' port='5900'/>", "<graphics type='spice' autoport='yes'/>"


def disk(target: str, bus: str, device: str = "disk") -> str:
    return f"<disk device='{device}'><source file='/{target}'/><target dev='{target}' bus='{bus}'/></disk>"


def kinds(guest: Guest) -> set[tuple[str, int | None, str | None]]:
    return {(c.type, c.index, c.model) for c in guest.devices.controllers}


# --- implicit devices


def test_a_bare_pc_has_what_every_pc_has() -> None:
    devices = completed("", "pc").devices
    assert kinds(completed("", "pc")) == {("pci", 0, "pci-root"), ("usb", 0, "piix3-uhci")}
    assert [(i.type, i.bus) for i in devices.inputs] == [("mouse", "ps2"), ("keyboard", "ps2")]
    assert devices.memballoon is not None and devices.memballoon.model == "virtio"
    assert [(a.id, a.type) for a in devices.audios] == [(1, "none")] and not devices.videos
    assert devices.emulator == qemu72().emulator


def test_a_bare_q35_has_what_every_q35_has() -> None:
    found = kinds(completed())
    assert {("pci", 0, "pcie-root"), ("sata", 0, None), ("usb", 0, "qemu-xhci")} <= found
    assert not any(kind == "ide" for kind, _, _ in found)


@pytest.mark.parametrize(
    ("lacking", "model", "parts"),
    [((), "qemu-xhci", 1), (("qemu-xhci",), "nec-xhci", 1), (("qemu-xhci", "nec-usb-xhci"), "ich9-ehci1", 4)],
)
def test_q35_has_the_best_usb_that_qemu_has(lacking: tuple[str, ...], model: str, parts: int) -> None:
    caps = replace(qemu72(), types=qemu72().types - set(lacking))
    guest = complete(parse_guest(document()), caps, host())
    usb = [c for c in guest.devices.controllers if c.type == "usb"]
    assert usb[0].model == model and len(usb) == parts
    assert len({c.address.slot for c in usb if isinstance(c.address, PciAddress)}) == 1


def test_what_the_user_names_is_not_added_again() -> None:
    own = ("<controller type='usb' index='0' model='nec-xhci'/><input type='keyboard' bus='ps2'/>"
           "<memballoon model='none'/><audio id='3' type='none'/><controller type='sata' index='0'/>")  # fmt: skip
    guest = completed(own)
    assert [c.model for c in guest.devices.controllers if c.type == "usb"] == ["nec-xhci"]
    assert sorted(i.type for i in guest.devices.inputs) == ["keyboard", "mouse"]
    assert guest.devices.memballoon is not None and guest.devices.memballoon.address is None
    assert [a.id for a in guest.devices.audios] == [3]
    assert len([c for c in guest.devices.controllers if c.type == "sata"]) == 1


@pytest.mark.parametrize(
    ("devices", "machine", "wanted"),
    [
        (disk("sda", "scsi"), "q35", ("scsi", 0, "lsilogic")),
        (disk("fda", "fdc", "floppy"), "pc", ("fdc", 0, None)),
        (disk("hda", "ide"), "pc", ("ide", 0, None)),
        ("<channel type='pty'><target type='virtio'/></channel>", "q35", ("virtio-serial", 0, None)),
        ("<console type='pty'><target type='virtio'/></console>", "q35", ("virtio-serial", 0, None)),
        ("<smartcard mode='host'/>", "q35", ("ccid", 0, None)),
    ],
)
def test_devices_bring_their_controllers(devices: str, machine: str, wanted: tuple[str, int, str | None]) -> None:
    assert wanted in kinds(completed(devices, machine))


@pytest.mark.parametrize(("display", "sound"), [(VNC, "none"), (SPICE, "spice")])
def test_a_display_brings_a_card_and_its_sound(display: str, sound: str) -> None:
    devices = completed(display).devices
    assert len(devices.videos) == 1 and devices.videos[0].model
    assert [a.type for a in devices.audios] == [sound]


def test_a_serial_port_and_its_console_are_one() -> None:
    devices = completed("<console type='pty'/>").devices
    assert len(devices.serials) == len(devices.consoles) == 1


def test_completion_leaves_its_input_alone() -> None:
    guest = parse_guest(document(VNC))
    before = guest.clone()
    complete(guest, qemu72(), host())
    assert guest == before


def test_the_machine_is_kept_for_ever() -> None:
    assert completed("", "q35").machine == "pc-q35-7.2"
    assert completed("", "pc").machine == "pc-i440fx-7.2"


# --- order


def test_controllers_are_kept_by_kind_and_index() -> None:
    given = ("<controller type='scsi' index='1' model='virtio-scsi'/><controller type='usb' index='0' model='qemu-xhci'/>"
             "<controller type='scsi' index='0' model='virtio-scsi'/>")  # fmt: skip
    order = [(c.type, c.index) for c in completed(given).devices.controllers if c.type in ("scsi", "usb")]
    assert order == [("scsi", 0), ("scsi", 1), ("usb", 0)]


def test_an_unnumbered_controller_gets_the_lowest_free_index() -> None:
    given = "<controller type='scsi' index='0' model='virtio-scsi'/><controller type='scsi' model='virtio-scsi'/>"
    assert [c.index for c in completed(given).devices.controllers if c.type == "scsi"] == [0, 1]


# --- a running guest


ALIASES = {
    disk("vdb", "virtio"): "virtio-disk1",
    disk("sda", "sata"): "sata0-0-0",
    "<controller type='scsi' index='2' model='virtio-scsi'/>": "scsi2",
    "<interface type='user'/>": "net0",
    "<serial type='pty'/>": "serial0",
    "<channel type='pty'><target type='virtio'/></channel>": "channel0",
    "<rng model='virtio'><backend model='random'/></rng>": "rng0",
    "<watchdog model='i6300esb'/>": "watchdog0",
    "<filesystem><source dir='/a'/><target dir='t'/></filesystem>": "fs0",
    "<input type='tablet' bus='usb'/>": "input0",
    "<redirdev bus='usb' type='spicevmc'/><graphics type='spice'/>": "redir0",
    "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>": "hostdev0",
    "<vsock model='virtio'><cid auto='yes'/></vsock>": "vsock0",
    "<controller type='usb' index='1' model='nec-xhci'/>": "usb1",
}


@pytest.mark.parametrize(("xml", "alias"), ALIASES.items())
def test_aliases_are_the_usual_ones(xml: str, alias: str) -> None:
    live = prepare(completed(xml), qemu72(), host(), guest_id=3)
    assert live.id == 3
    assert alias in {device.alias for device in live.devices.all()}


def test_the_machines_own_controllers_have_qemus_names() -> None:
    def named(machine: str, devices: str = "") -> dict[tuple[str, int | None], str | None]:
        live = prepare(completed(devices, machine), qemu72(), host(), guest_id=1)
        return {(c.type, c.index): c.alias for c in live.devices.controllers}

    q35 = named("q35")
    assert (q35["pci", 0], q35["pci", 1], q35["sata", 0], q35["usb", 0]) == ("pcie.0", "pci.1", "ide", "usb")
    pc = named("pc", disk("hda", "ide") + disk("sda", "scsi"))
    assert (pc["pci", 0], pc["ide", 0], pc["scsi", 0]) == ("pci.0", "ide", "scsi0")


def test_scsi_disks_are_named_as_their_controller_counts() -> None:
    def names(model: str) -> set[str | None]:
        controller = f"<controller type='scsi' index='0' model='{model}'/>"
        live = prepare(completed(controller + disk("sdb", "scsi")), qemu72(), host(), guest_id=1)
        return {d.alias for d in live.devices.disks}

    assert names("virtio-scsi") == {"scsi0-0-0-1"} and names("lsilogic") == {"scsi0-0-1"}


def test_a_users_alias_stays_and_others_are_given_anew() -> None:
    text = "<interface type='user'><alias name='ua-mine'/></interface><interface type='user'><alias name='net7'/></interface>"
    guest = completed(text)
    live = prepare(guest, qemu72(), host(), guest_id=1)
    assert [card.alias for card in live.devices.interfaces] == ["ua-mine", "net0"]
    assert "ua-mine" in format_guest(guest) and "net7" not in format_guest(guest)
    assert "net0" in format_guest(live, active=True)


def test_numbers_count_places_or_devices() -> None:
    mine = "<alias name='ua-mine'/>"
    text = f"<sound model='ac97'>{mine}</sound><sound model='ac97'/><interface type='user'/>"
    live = prepare(completed(text), qemu72(), host(), guest_id=1)
    assert [sound.alias for sound in live.devices.sounds] == ["ua-mine", "sound1"]


def test_a_plugged_device_gets_no_name_that_was_in_use() -> None:
    live = prepare(completed("<interface type='user'/>" * 2), qemu72(), host(), guest_id=1)
    del live.devices.interfaces[0]
    card = Interface(type="user")
    live.devices.interfaces.append(card)
    assign_alias(live, card)
    assert card.alias == "net2"


def test_a_plugged_device_gets_a_slot_that_can_be_plugged() -> None:
    live = prepare(completed("<interface type='user'/>"), qemu72(), host(), guest_id=1)
    live.devices.interfaces.append(Interface(type="user", model="virtio", mac="52:54:00:00:00:99"))
    after = complete(live, qemu72(), host(), hotplug=True)
    place = after.devices.interfaces[1].address
    assert isinstance(place, PciAddress) and place.bus and place.slot == 0
    assert len(after.devices.controllers) == len(live.devices.controllers)
    live.devices.interfaces += [Interface(type="user", model="virtio", mac="52:54:00:00:00:98")] * 1
    with pytest.raises(InvalidXML, match="hot-plugged"):
        complete(live, qemu72(), host(), hotplug=True)


def test_plugging_leaves_the_running_devices_alone() -> None:
    live = prepare(
        completed("<channel type='unix'><target type='virtio' name='a'/></channel>" + VNC), qemu72(), host(), guest_id=1
    )
    before = {device.alias: device.clone() for device in live.devices.all() if device.alias}
    live.devices.interfaces.append(Interface(type="user", model="virtio", mac="52:54:00:00:00:99"))
    after = complete(live, qemu72(), host(), hotplug=True)
    assert {device.alias: device for device in after.devices.all() if device.alias} == before
