"""Firmware that is chosen for a guest: the first descriptor that fits all that it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import Unsupported
from frontinus.domain.definition import parse_guest
from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from support.guests import qemu72
from support.whole_guest import HOST, text


def started(os: str = "", firmware: str = "efi", **parts: str) -> Guest:
    document = text(os=os, **parts).replace("<os>", f"<os firmware='{firmware}'>" if firmware else "<os>")
    return with_firmware(parse_guest(document), qemu72(), HOST)


@pytest.mark.parametrize(
    ("os", "parts", "expected"),
    [
        ("", {}, "secure.fd"),
        ("", {"machine": "pc"}, "code.fd"),
        ("<firmware><feature enabled='no' name='secure-boot'/></firmware>", {}, "code.fd"),
        ("<firmware><feature enabled='yes' name='secure-boot'/></firmware>", {}, "secure.fd"),
        ("<firmware><feature enabled='no' name='enrolled-keys'/></firmware>", {}, "code.fd"),
        ("<loader secure='yes'/>", {}, "secure.fd"),
        ("<loader stateless='yes'/>", {}, "stateless.fd"),
        ("", {"features": "<acpi/><smm state='off'/>"}, "code.fd"),
        ("", {"more": "<launchSecurity type='sev'><policy>1</policy></launchSecurity>", "machine": "pc"}, "code.fd"),
    ],
)
def test_the_first_that_fits(os: str, parts: dict[str, str], expected: str) -> None:
    loader = started(os, **parts).os.loader
    assert loader and loader.path == f"/usr/share/OVMF/{expected}" and loader.type == "pflash" and loader.readonly


def test_secure_firmware_brings_system_management_mode() -> None:
    guest = started()
    assert guest.os.loader and guest.os.loader.secure
    assert guest.features and guest.features.smm and guest.features.smm.state
    assert guest.os.nvram and (guest.os.nvram.path, guest.os.nvram.template) == (
        "/nvram/test_VARS.fd",
        "/usr/share/OVMF/keys.fd",
    )


def test_the_user_s_own_store_is_kept() -> None:
    guest = started("<nvram>/mine.fd</nvram>")
    assert guest.os.nvram and (guest.os.nvram.path, guest.os.nvram.template) == ("/mine.fd", "/usr/share/OVMF/keys.fd")


def test_a_bios_is_read_from_memory() -> None:
    guest = started(firmware="bios")
    assert guest.os.loader and (guest.os.loader.path, guest.os.loader.type) == ("/bios.bin", "rom")
    assert guest.os.nvram is None


@pytest.mark.parametrize(
    ("os", "parts"),
    [
        ("", {"more": "<pm><suspend-to-disk enabled='yes'/></pm>"}),
        ("", {"arch": "i686"}),
        ("<loader secure='yes'/>", {"machine": "pc"}),
        ("", {"more": "<launchSecurity type='sev'><policy>5</policy></launchSecurity>"}),
        ("<loader format='qcow2'/>", {}),
    ],
)
def test_none_fits(os: str, parts: dict[str, str]) -> None:
    with pytest.raises(Unsupported, match="no firmware"):
        started(os, **parts)


def test_a_named_loader_finds_its_template() -> None:
    guest = started(
        "<loader readonly='yes' type='pflash'>/usr/share/OVMF/code.fd</loader><nvram>/v</nvram>", firmware=""
    )
    assert guest.os.nvram and guest.os.nvram.template == "/usr/share/OVMF/vars.fd"
    other = started("<loader readonly='yes' type='pflash'>/else.fd</loader><nvram>/v</nvram>", firmware="")
    assert other.os.nvram and other.os.nvram.template is None


def test_names_of_the_smaller_architecture() -> None:
    host = replace(HOST, firmware=(replace(HOST.firmware[0], targets=(("i386", "pc-*"),)),))
    guest = parse_guest(text(arch="i686").replace("<os>", "<os firmware='bios'>"))
    loader = with_firmware(guest, qemu72(), host).os.loader
    assert loader and loader.path == "/bios.bin"


def test_the_definition_itself_is_left_alone() -> None:
    guest = parse_guest(text().replace("<os>", "<os firmware='efi'>"))
    with_firmware(guest, qemu72(), HOST)
    assert guest.os.loader is None
