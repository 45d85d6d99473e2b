"""Validation across devices: what no single device can see. Each device's own reasons are tested with the device."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from support.guests import completed, document, host, qemu72

NIC = "<interface type='user'><mac address='52:54:00:00:00:{0:02x}'/>{1}</interface>"


@pytest.mark.parametrize(
    ("devices", "element", "reason"),
    [
        (
            NIC.format(1, "<alias name='ua-x'/>") + NIC.format(2, "<alias name='ua-x'/>"),
            "alias",
            "'ua-x' names two devices",
        ),
        (NIC.format(1, "<boot order='1'/>") + NIC.format(2, "<boot order='1'/>"), "boot", "order 1"),
        ("<watchdog model='i6300esb'/>" * 2, "watchdog", "more than one"),
        ("<vsock model='virtio'><cid address='2'/></vsock>", "vsock", "reserved"),
        ("<controller type='ide' index='0'/>", "controller", "IDE"),
    ],
)
def test_refused(devices: str, element: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason) as caught:
        completed(devices)
    assert caught.value.details["element"] == element


def test_boot_by_device_and_by_os_do_not_mix() -> None:
    with pytest.raises(InvalidXML, match="<os>"):
        completed(NIC.format(1, "<boot order='1'/>"), os="<boot dev='hd'/>")


def test_several_reasons_are_told_at_once_but_not_all() -> None:
    two = NIC.format(1, "<boot order='1'/>") + NIC.format(2, "<boot order='1'/>")
    with pytest.raises(InvalidXML) as caught:
        completed(two + "<vsock model='virtio'><cid address='1'/></vsock>")
    assert caught.value.message.count("; ") >= 1
    with pytest.raises(InvalidXML) as caught:
        completed(
            "".join(f"<memory model='dimm'><target><size unit='MiB'>{n}</size></target></memory>" for n in range(20))
        )
    assert caught.value.message.count("; ") < 20


def test_a_console_and_its_serial_port_do_not_collide() -> None:
    serial = "<serial type='pty'><target type='pci-serial'/><alias name='ua-s'/></serial>"
    guest = completed(serial + "<console type='pty'/>")
    assert guest.devices.consoles[0].alias == guest.devices.serials[0].alias == "ua-s"


def test_a_refusal_names_what_was_not_understood() -> None:
    text = document("<disk typ='block'><source dev='/dev/x'/><target dev='vda'/></disk>").replace("memory", "memroy")
    with pytest.raises(
        InvalidXML, match=r"<memory> is missing.*not understood: <memroy> in line \d+, attribute typ in line \d+$"
    ):
        complete(parse_guest(text), qemu72(), host())


def test_a_feature_that_no_cpu_of_this_qemu_has_is_told() -> None:
    def defined(policy: str, name: str) -> None:
        cpu = f"<cpu><model>qemu64</model><feature policy='{policy}' name='{name}'/></cpu>"
        complete(parse_guest(document("", "q35", cpu)), qemu72(), host())

    for name in ("avx2", "sse4.1", "sse4_1", "pclmuldq", "lahf_lm", "invtsc"):
        defined("require", name)
    defined("disable", "sse9")
    with pytest.raises(Unsupported, match="'sse9'"):
        defined("require", "sse9")


DISK = "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/>{}</disk>"
MDEV = """<hostdev mode='subsystem' type='mdev' model='vfio-pci' {}><source>
<address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>"""


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        (NIC.format(1, "<acpi index='3'/>") + NIC.format(2, "<acpi index='3'/>"), "<acpi index='3'>: two devices"),
        (NIC.format(1, "<address type='isa' iobase='0x300'/>"), "its address is of type pci"),
        (NIC.format(1, "<target dev='sixteencharacter'/>"), "at most 15 characters"),
        (DISK.format("<iotune><read_iops_sec_max>5</read_iops_sec_max></iotune>"), "needs a <read_iops_sec>"),
        (DISK.format("<iotune><total_iops_sec>9</total_iops_sec><total_iops_sec_max>5</total_iops_sec_max></iotune>"),
         "<total_iops_sec_max> needs a <total_iops_sec> that is not above it"),
        (DISK.format("<blockio logical_block_size='600'/>"), "not a power of two between 512"),
        (DISK.format("<blockio logical_block_size='4096' physical_block_size='512'/>"), "smaller than the logical one"),
        (MDEV.format("ramfb='on'"), "ramfb='on' needs display='on'"),
    ],
)  # fmt: skip
def test_what_qemu_would_refuse_is_refused_at_once(devices: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason):
        completed(devices)


def test_what_is_near_a_refusal_is_fine() -> None:
    completed(NIC.format(1, "<acpi index='3'/><target dev='fifteencharacte'/>") + NIC.format(2, "<acpi index='4'/>"))
    completed(
        DISK.format("<iotune><total_iops_sec>9</total_iops_sec><total_iops_sec_max>9</total_iops_sec_max></iotune>")
    )
    completed(DISK.format("<blockio logical_block_size='512' physical_block_size='4096'/>"))
    with pytest.raises(InvalidXML, match="firmware='bios' keeps no state"):
        text = document("").replace("<os>", "<os firmware='bios'><loader stateless='no'/>")
        complete(parse_guest(text), qemu72(), host())
