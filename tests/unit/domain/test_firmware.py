"""Firmware that is chosen for a guest: the first descriptor that fits all that it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from frontinus.domain.host import Firmware
from frontinus.domain.plan import CopyOnce, Label
from frontinus.domain.prepare import prepare
from frontinus.qemu.plan import launch_plan
from support.guests import qemu72
from support.whole_guest import HOST, defined, text


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


JSON = Firmware("70.json", ("uefi",), "memory", "/usr/share/OVMF/memory.fd", nvram_template="/usr/share/OVMF/vars.json",
                targets=(("x86_64", "pc-q35-*"),), features=frozenset({"host-uefi-vars", "secure-boot"}))  # fmt: skip
QCOW2 = Firmware("80.json", ("uefi",), "flash", "/code.qcow2", executable_format="qcow2", nvram_template="/vars.qcow2",
                 nvram_format="qcow2", targets=(("x86_64", "pc-q35-*"),))  # fmt: skip


def with_variables() -> Capabilities:
    """QEMU 7.2 with the device by which later ones keep variables."""
    return replace(qemu72(), types=qemu72().types | {"uefi-vars-x64"})


def chosen(os: str, *firmware: Firmware) -> Guest:
    document = text(os=os).replace("<os>", "<os firmware='efi'>")
    return with_firmware(parse_guest(document), with_variables(), replace(HOST, firmware=firmware))


def test_variables_that_qemu_keeps() -> None:
    os = chosen("<varstore/>", *HOST.firmware, JSON).os
    assert os.loader and (os.loader.path, os.loader.type) == ("/usr/share/OVMF/memory.fd", "rom") and os.nvram is None
    assert os.varstore and (os.varstore.template, os.varstore.path) == (
        "/usr/share/OVMF/vars.json",
        "/nvram/test_VARS.json",
    )
    with pytest.raises(Unsupported, match="no firmware"):
        chosen("", JSON)
    with pytest.raises(Unsupported, match="no firmware"):
        chosen("<varstore/>", *HOST.firmware)


def test_the_device_that_keeps_variables() -> None:
    caps = with_variables()
    os = "<loader type='rom'>/code.fd</loader><varstore template='/t.json' path='/v.json'/>"
    launch = launch_plan(prepare(defined(os=os, caps=caps), caps, HOST, guest_id=1), caps, HOST)
    assert '{"driver":"uefi-vars-x64","jsonfile":"/v.json"}' in launch.argv
    assert launch.argv[launch.argv.index("-bios") + 1] == "/code.fd"
    assert CopyOnce("/t.json", "/v.json") in launch.resources and Label("/v.json") in launch.resources


@pytest.mark.parametrize(("os", "reason"), [
    ("<loader type='rom'>/c</loader><varstore/>", "'path' is missing"),
    ("<loader type='pflash'>/c</loader><nvram>/n</nvram><varstore path='/v'/>", "there is an <nvram> too"),
    ("<loader type='pflash' stateless='yes'>/c</loader><varstore path='/v'/>", "pflash"),
    ("<varstore path='/v'/>", "no <loader>"),
])  # fmt: skip
def test_where_no_variables_can_be_kept(os: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason):
        defined(os=os, caps=with_variables())


def test_a_qemu_that_keeps_no_variables() -> None:
    with pytest.raises(Unsupported, match="<varstore>"):
        defined(os="<loader type='rom'>/c</loader><varstore path='/v'/>")


@pytest.mark.parametrize(("os", "form", "template"), [
    ("<loader format='qcow2'/>", "qcow2", "qcow2"), ("<loader format='qcow2'/><nvram format='raw'/>", "raw", "qcow2"),
])  # fmt: skip
def test_the_format_of_a_store_is_the_user_s_or_its_template_s(os: str, form: str, template: str) -> None:
    nvram = chosen(os, QCOW2).os.nvram
    assert nvram and (nvram.format, nvram.template_format) == (form, template)


def test_a_store_of_another_format_than_its_template_s() -> None:
    os = """<loader readonly='yes' type='pflash'>/c</loader>
    <nvram template='/t.fd' templateFormat='raw' format='qcow2'>/v.qcow2</nvram>"""
    launch = launch_plan(prepare(defined(os=os), qemu72(), HOST, guest_id=1), qemu72(), HOST)
    assert CopyOnce("/t.fd", "/v.qcow2", "qcow2", "raw") in launch.resources


SETTLED = (
    "<firmware><feature enabled='yes' name='secure-boot'/></firmware>"
    "<loader readonly='yes' secure='yes' type='pflash' format='raw'>/usr/share/OVMF/secure.fd</loader>"
    "<nvram template='/usr/share/OVMF/keys.fd' templateFormat='raw' format='raw'>/mine.fd</nvram>"
)


def test_a_choice_that_is_written_beside_the_wish_stands() -> None:
    """As newer releases of libvirt dump a guest whose firmware they chose."""

    def automatic(os: str) -> Guest:
        document = text(os=os, features="<acpi/><smm state='on'/>").replace("<os>", "<os firmware='efi'>")
        return complete(parse_guest(document), qemu72(), HOST)

    guest = automatic(SETTLED)
    started = with_firmware(guest, qemu72(), HOST)
    assert started.os.loader and started.os.loader.path == "/usr/share/OVMF/secure.fd"
    assert started.os.nvram and (started.os.nvram.path, started.os.nvram.template) == (
        "/mine.fd",
        "/usr/share/OVMF/keys.fd",
    )
    for half in (
        "<loader>/usr/share/OVMF/secure.fd</loader>",
        "<loader type='pflash'>/usr/share/OVMF/secure.fd</loader>",
        "<loader type='pflash'/>",
        "<loader readonly='yes'/>",
        "<nvram template='/usr/share/OVMF/keys.fd'/>",
    ):
        with pytest.raises(InvalidXML, match="cannot be given with <os firmware"):
            automatic(half)


def descriptor(name: str, **facts: object) -> Firmware:
    flash = Firmware(f"{name}.json", ("uefi",), "flash", f"/{name}.fd", mode="split", nvram_template=f"/{name}.vars",
                     targets=(("x86_64", "pc-q35-*"),))  # fmt: skip
    return replace(flash, **facts)  # type: ignore[arg-type]


MANY = (
    descriptor("combined", mode="combined"),
    descriptor("qcow2", executable_format="qcow2", nvram_format="qcow2"),
    descriptor("stateless", mode="stateless", nvram_template=None),
    descriptor("foreign", targets=(("aarch64", "virt-*"), ("x86_64", "pc-i440fx-*"))),
    descriptor("kernel", device="kernel"),
    descriptor("keys", features=frozenset({"secure-boot", "enrolled-keys", "requires-smm", "acpi-s3"})),
    descriptor("secure", features=frozenset({"secure-boot", "requires-smm", "acpi-s3"})),
    descriptor("plain", features=frozenset({"acpi-s3", "acpi-s4"})),
    descriptor("snp", features=frozenset({"amd-sev-snp"}), device="memory"),
    descriptor("memory", device="memory"),
)


@pytest.mark.parametrize(
    ("os", "parts", "expected"),
    [
        ("", {}, "keys"),
        ("<loader format='qcow2'/>", {}, "qcow2"),
        ("<nvram format='qcow2'/>", {}, "qcow2"),
        ("<loader stateless='yes'/>", {}, "stateless"),
        ("<firmware><feature enabled='yes' name='secure-boot'/><feature enabled='no' name='enrolled-keys'/></firmware>", {},
         "secure"),
        ("<firmware><feature enabled='no' name='secure-boot'/></firmware>", {}, "plain"),
        ("", {"features": "<acpi/><smm state='off'/>"}, "plain"),
        ("", {"more": "<pm><suspend-to-disk enabled='yes'/></pm>"}, "plain"),
        ("", {"more": "<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>"}, "snp"),
    ],
)  # fmt: skip
def test_of_many_descriptors_the_first_that_is_of_use(os: str, parts: dict[str, str], expected: str) -> None:
    guest = parse_guest(text(os=os, **parts).replace("<os>", "<os firmware='efi'>"))
    chosen = with_firmware(guest, qemu72(), replace(HOST, firmware=MANY)).os.loader
    assert chosen and chosen.path == f"/{expected}.fd"


def test_what_a_named_loaders_descriptor_says_of_formats_counts() -> None:
    named = text(os="<loader readonly='yes' type='pflash'>/qcow2.fd</loader><nvram>/v</nvram>")
    guest = with_firmware(parse_guest(named), qemu72(), replace(HOST, firmware=MANY))
    assert guest.os.loader and guest.os.loader.format == "qcow2"
    assert guest.os.nvram and (guest.os.nvram.template, guest.os.nvram.template_format) == ("/qcow2.vars", "qcow2")
