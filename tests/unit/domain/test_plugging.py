"""Which device of a guest an element means, what hangs on what, and a definition with one device changed."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidXML, NoSuchDevice
from frontinus.domain.devices.base import Device
from frontinus.domain.guest import Guest
from frontinus.domain.plugging import changed_device, find_device, parse_device, user_of
from frontinus.domain.prepare import prepare
from support.guests import completed, host, qemu72

DEVICES = """
<disk type='file'><source file='/a'/><target dev='sda' bus='scsi'/></disk>
<disk type='file'><source file='/b'/><target dev='sdb' bus='usb'/></disk>
<disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk>
<channel type='unix'><target type='virtio' name='org.a'/></channel>
<channel type='unix'><target type='virtio' name='org.b'/></channel>
<serial type='pty'><target type='isa-serial' port='1'/></serial>
<rng model='virtio'><rate bytes='5'/><backend model='random'>/dev/urandom</backend></rng>
<rng model='virtio'><backend model='random'>/dev/random</backend></rng>
<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0x5678'/></source></hostdev>
<smartcard mode='host'/><hub type='usb'/><memballoon model='virtio'><stats period='3'/></memballoon>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
"""


@pytest.fixture(scope="module")
def guest() -> Guest:
    return prepare(completed(DEVICES, "pc"), qemu72(), host(), guest_id=1)


@pytest.mark.parametrize(
    ("xml", "alias"),
    [
        ("<disk><target dev='sdb'/></disk>", "usb-disk1"),
        ("<channel type='unix'><target type='virtio' name='org.b'/></channel>", "channel1"),
        ("<rng model='virtio'><backend model='random'>/dev/random</backend></rng>", "rng1"),
        ("<rng model='virtio'><rate bytes='5'/><backend model='random'/></rng>", "rng0"),
        ("<serial type='pty'><target port='1'/></serial>", "serial0"),
        ("<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/></source></hostdev>", "hostdev0"),
        ("<interface type='bridge'><mac address='52:54:00:00:00:01'/></interface>", "net0"),
        ("<memballoon model='virtio'><stats period='9'/></memballoon>", "balloon0"),
        ("<controller type='scsi' index='0'/>", "scsi0"),
        ("<input type='mouse' bus='ps2'><alias name='input0'/></input>", "input0"),
    ],
)
def test_an_element_means_the_device_that_has_all_that_it_says(guest: Guest, xml: str, alias: str) -> None:
    assert find_device(guest, parse_device(xml)).alias == alias


@pytest.mark.parametrize(
    ("xml", "many"),
    [
        ("<rng model='virtio'><backend model='random'/></rng>", "more than one"),
        ("<channel type='unix'><target type='virtio'/></channel>", "more than one"),
        ("<channel type='pty'><target type='virtio' name='org.a'/></channel>", "no"),
        ("<rng model='virtio'><rate bytes='6'/><backend model='random'/></rng>", "no"),
        ("<interface type='user'><mac address='52:54:00:00:00:02'/></interface>", "no"),
    ],
)
def test_one_that_fits_none_or_several_means_nothing(guest: Guest, xml: str, many: str) -> None:
    with pytest.raises(NoSuchDevice, match=f"has {many} <"):
        find_device(guest, parse_device(xml))


@pytest.mark.parametrize(
    ("kind", "user"),
    [("scsi", "disk"), ("ide", "disk"), ("usb", "disk"), ("virtio-serial", "channel"), ("ccid", "smartcard"),
     ("pci", "controller"), ("fdc", None), ("sata", None)],
)  # fmt: skip
def test_a_controller_is_in_use_while_something_hangs_on_it(guest: Guest, kind: str, user: str | None) -> None:
    controllers = [c for c in guest.devices.controllers if c.type == kind]
    found = user_of(guest, controllers[0]) if controllers else None
    assert (found.tag if found else None) == user


def test_a_hub_is_in_use_while_something_is_on_its_ports() -> None:
    hub = "<hub type='usb'><address type='usb' bus='0' port='1'/></hub>"
    tablet = "<input type='tablet' bus='usb'><address type='usb' bus='0' port='{}'/></input>"
    below, beside = (completed(hub + tablet.format(port), "pc") for port in ("1.2", "2"))
    assert user_of(below, below.devices.hubs[0]) is below.devices.inputs[0]
    assert user_of(beside, beside.devices.hubs[0]) is None
    assert user_of(below, below.devices.inputs[0]) is None


def test_a_changed_definition_is_complete_and_valid() -> None:
    guest = completed(DEVICES, "pc")
    wanted = parse_device(
        "<disk type='file' device='cdrom'><source file='/c.iso'/><target dev='hda' bus='ide'/></disk>"
    )
    changed = changed_device(guest, wanted, qemu72(), host())
    (before,), (after,) = ([d for d in g.devices.disks if d.target == "hda"] for g in (guest, changed))
    assert (before.source_path, after.source_path) == (None, "/c.iso") and before.address == after.address
    assert after.format == "raw" and after.readonly
    with pytest.raises(InvalidXML, match="queues"):
        changed_device(guest, parse_device("<disk><source file='/a'/><driver queues='2'/><target dev='sda' bus='scsi'/></disk>"),
                       qemu72(), host())  # fmt: skip


def test_aliases_and_what_changes_tell_nothing() -> None:
    device = parse_device("<memballoon model='virtio'><alias name='ua-b'/></memballoon>")
    assert isinstance(device, Device) and find_device(completed(DEVICES, "pc"), device).tag == "memballoon"
