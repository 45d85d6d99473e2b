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
    serial = "<serial type='pty'><target type='pci-serial'/><boot order='1'/><alias name='ua-s'/></serial>"
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
