"""Drive, USB, virtio-serial, smartcard and memory addresses."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.base import DimmAddress, DriveAddress, UsbAddress, VirtioSerialAddress
from support.guests import completed

TABLET = "<input type='tablet' bus='usb'/>"
CHANNEL = "<channel type='pty'><target type='virtio' name='c{0}'/>{1}</channel>"


def disk(target: str, bus: str, more: str = "", device: str = "disk") -> str:
    return f"<disk device='{device}'><source file='/{target}'/><target dev='{target}' bus='{bus}'/>{more}</disk>"


def refused(devices: str, machine: str = "q35", more: str = "") -> str:
    with pytest.raises(InvalidXML) as caught:
        completed(devices, machine, more)
    return caught.value.message


# --- drives


@pytest.mark.parametrize(
    ("target", "bus", "machine", "device", "place"),
    [
        ("hda", "ide", "pc", "disk", (0, 0, 0, 0)),
        ("hdd", "ide", "pc", "disk", (0, 1, 0, 1)),
        ("sda", "sata", "q35", "disk", (0, 0, 0, 0)),
        ("sdh", "sata", "q35", "disk", (1, 0, 0, 1)),
        ("sdg", "scsi", "q35", "disk", (0, 0, 0, 6)),
        ("sdh", "scsi", "q35", "disk", (1, 0, 0, 0)),
        ("sdaa", "scsi", "q35", "disk", (3, 0, 0, 5)),
        ("fdb", "fdc", "pc", "floppy", (0, 0, 0, 1)),
    ],
)
def test_a_drives_place_follows_from_its_name(target: str, bus: str, machine: str, device: str,
                                              place: tuple[int, int, int, int]) -> None:  # fmt: skip
    guest = completed(disk(target, bus, device=device), machine)
    address = guest.devices.disks[0].address
    assert isinstance(address, DriveAddress)
    assert (address.controller, address.bus, address.target, address.unit) == place
    assert {c.index for c in guest.devices.controllers if c.type == bus} >= set(range(place[0] + 1))


def test_a_named_place_is_kept_and_its_controllers_come() -> None:
    guest = completed(disk("sda", "scsi", "<address type='drive' controller='2' bus='0' target='0' unit='3'/>"))
    assert [c.index for c in guest.devices.controllers if c.type == "scsi"] == [0, 1, 2]


def test_scsi_host_devices_take_what_disks_leave() -> None:
    source = "<adapter name='scsi_host{0}'/><address bus='0' target='0' unit='0'/>"
    lun = f"<hostdev mode='subsystem' type='scsi'><source>{source}</source></hostdev>"
    guest = completed(disk("sdb", "scsi") + "".join(lun.format(n) for n in range(8)))
    units = [
        (d.address.controller, d.address.unit) for d in guest.devices.hostdevs if isinstance(d.address, DriveAddress)
    ]
    assert units == [(0, 0), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (1, 0), (1, 1)]


def test_one_drive_place_for_two_is_refused() -> None:
    same = "<address type='drive' controller='0' bus='0' target='0' unit='0'/>"
    assert "used twice" in refused(disk("sda", "sata") + disk("sdb", "sata", same))


# --- USB


def ports(devices: str, machine: str = "q35") -> list[tuple[int | None, str | None]]:
    guest = completed(devices, machine)
    return [(d.address.bus, d.address.port) for d in (*guest.devices.hubs, *guest.devices.inputs)
            if isinstance(d.address, UsbAddress)]  # fmt: skip


def test_usb_ports_count_up() -> None:
    assert ports(TABLET * 3) == [(0, "1"), (0, "2"), (0, "3")]


def test_hubs_are_added_when_ports_run_out() -> None:
    assert ports(TABLET * 3, "pc") == [(0, "1"), (0, "2"), (0, "1.1"), (0, "1.2")]
    assert len(ports(TABLET * 20, "pc")) == 23


def test_usb_paths_through_hubs_and_controllers() -> None:
    hub = "<hub type='usb'><address type='usb' bus='0' port='4'/></hub>"
    tablet = "<input type='tablet' bus='usb'><address type='usb' bus='0' port='4.8'/></input>"
    assert ports(hub + tablet + TABLET) == [(0, "4"), (0, "4.8"), (0, "1")]
    wanted = TABLET.replace("/>", "><address type='usb' bus='1'/></input>")
    second = "<controller type='usb' index='0' model='qemu-xhci'/><controller type='usb' index='1' model='nec-xhci'/>"
    assert ports(second + wanted + TABLET) == [(1, "1"), (0, "1")]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("bus='0' port='9'", "there are 4 ports"),
        ("bus='0' port='1.1'", "no hub on port 1"),
        ("bus='3' port='1'", "no USB bus 3"),
        ("bus='3'", "no USB bus 3"),
        ("bus='0' port='1.x'", "no path of USB ports"),
        ("bus='0' port='1.2.3.4.5'", "no path of USB ports"),
    ],
)
def test_usb_ports_that_do_not_exist(address: str, reason: str) -> None:
    assert reason in refused(TABLET.replace("/>", f"><address type='usb' {address}/></input>"))


def test_one_usb_port_for_two_is_refused() -> None:
    assert "used twice" in refused(TABLET.replace("/>", "><address type='usb' bus='0' port='2'/></input>") * 2)


def test_usb_devices_without_usb_are_refused() -> None:
    assert "no USB" in refused(TABLET + "<controller type='usb' model='none'/>")


# --- virtio-serial


def channel_ports(devices: str) -> list[tuple[int, int | None]]:
    guest = completed(devices)
    return [(c.address.controller, c.address.port) for c in guest.devices.channels
            if isinstance(c.address, VirtioSerialAddress)]  # fmt: skip


def test_channels_begin_at_port_1() -> None:
    assert channel_ports(CHANNEL.format(1, "") + CHANNEL.format(2, "")) == [(0, 1), (0, 2)]


def test_a_console_takes_port_0_and_keeps_quiet_about_it() -> None:
    guest = completed("<console type='pty'><target type='virtio'/></console>" + CHANNEL.format(1, ""))
    assert guest.devices.consoles[0].address is None
    assert channel_ports("<console type='pty'><target type='virtio'/></console>" * 2 + CHANNEL.format(1, "")) == [
        (0, 2)
    ]


def test_a_full_controller_brings_the_next() -> None:
    assert channel_ports("".join(CHANNEL.format(n, "") for n in range(31)))[-1] == (1, 1)


def test_a_named_controller_gives_its_next_port() -> None:
    on_third = "<address type='virtio-serial' controller='3' bus='0'/>"
    third = CHANNEL.format(1, on_third) + CHANNEL.format(3, on_third)
    assert channel_ports(third + CHANNEL.format(2, "")) == [(3, 1), (3, 2), (0, 1)]


@pytest.mark.parametrize(
    ("ports", "reason"),
    [
        ((1, 1), "used twice"),
        ((40,), "there are 31 ports"),
    ],
)
def test_virtio_serial_ports_that_cannot_be(ports: tuple[int, ...], reason: str) -> None:
    address = "<address type='virtio-serial' controller='0' bus='0' port='{}'/>"
    assert reason in refused("".join(CHANNEL.format(n, address.format(port)) for n, port in enumerate(ports)))


# --- slots

MORE = (
    "<maxMemory slots='4' unit='GiB'>4</maxMemory>"
    "<cpu><numa><cell id='0' cpus='0' memory='256' unit='MiB'/></numa></cpu>"
)
DIMM = "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target>{}</memory>"


def test_memory_modules_fill_slots() -> None:
    guest = completed(DIMM.format("") + DIMM.format("<address type='dimm' slot='0'/>") + DIMM.format(""), more=MORE)
    assert [m.address.slot for m in guest.devices.memories if isinstance(m.address, DimmAddress)] == [1, 0, 2]


@pytest.mark.parametrize(("slots", "reason"), [(("1", "1"), "twice"), (("4",), "4 slots")])
def test_memory_slots_that_cannot_be(slots: tuple[str, ...], reason: str) -> None:
    modules = "".join(DIMM.format(f"<address type='dimm' slot='{slot}'/>") for slot in slots)
    assert reason in refused(modules, more=MORE)


def test_too_many_modules_are_refused() -> None:
    assert "slot" in refused(DIMM.format("") * 5, more=MORE)


def test_a_smartcard_brings_its_reader_on_usb() -> None:
    guest = completed("<smartcard mode='host'/>")
    reader = next(c for c in guest.devices.controllers if c.type == "ccid")
    assert isinstance(reader.address, UsbAddress) and reader.address.port == "1"
    assert guest.devices.smartcards[0].address is not None


def test_a_scsi_controller_that_is_added_is_like_the_one_that_is_there() -> None:
    disks = "".join(
        f"<disk type='file'><source file='/{n}'/><target dev='sd{n}' bus='scsi'/></disk>" for n in "abcdefgh"
    )
    guest = completed(f"<controller type='scsi' model='virtio-scsi'/>{disks}", "pc")
    assert [c.model for c in guest.devices.controllers if c.type == "scsi"] == ["virtio-scsi"] * 2
    assert {c.model for c in completed(disks, "pc").devices.controllers if c.type == "scsi"} == {"lsilogic"}
