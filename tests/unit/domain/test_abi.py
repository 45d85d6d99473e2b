"""What two definitions must have in common to be the same machine to their guest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from frontinus.api.errors import InvalidXML
from frontinus.client.main import main
from frontinus.domain.abi import HOST_SIDE, MEANS_NO, VISIBLE, _fields, _visible, as_started, differences
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices import Devices
from frontinus.domain.devices.base import Device, PciAddress
from frontinus.domain.guest import Guest
from frontinus.domain.plugging import _slot, add_device, parse_device
from frontinus.domain.prepare import prepare
from frontinus.xml import Model
from frontinus.xml.mapping import specs
from support.guests import GUESTS, completed, document, host, qemu72
from support.models import alone, below, instance, value_of
from support.random_guests import GUESTS as MADE_OF
from support.random_guests import LAW, made
from support.whole_guest import HOST, WHOLE, text

GOLDEN = sorted(GUESTS.glob("*.defined.xml"))
GUEST = """<disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><serial>s</serial></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface><sound model='ich9'/>
<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm><rng model='virtio'><backend model='random'/></rng>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><watchdog model='i6300esb'/>
<graphics type='vnc'/>"""
MORE = """<vcpu current='2'>4</vcpu><features><acpi/><vmport state='off'/></features><cpu mode='custom'><model>Nehalem</model>
<feature policy='require' name='x2apic'/><feature policy='disable' name='vme'/></cpu>
<clock offset='utc'><timer name='hpet' present='no'/></clock>"""


def guest() -> Guest:
    return completed(GUEST, more=MORE)


def told(old: Guest, new: Guest) -> str:
    return "\n".join(map(str, differences(old, new)))


def test_the_tables_name_fields_that_there_are() -> None:
    for table in (VISIBLE, HOST_SIDE):
        for kind, names in table.items():
            assert not set(names.split()) - set(specs(kind)), kind


def test_every_device_is_in_the_table_or_no_hardware() -> None:
    """One that is in neither would change unseen."""
    unseen = {d.__name__ for d in Device.__subclasses__() if d.__module__.startswith("frontinus.") and d not in VISIBLE}
    assert unseen == {"Audio", "Graphics", "Lease", "Character"}


VISIBLE_CHANGES: dict[str, tuple[str, str]] = {
    "disk": ("<serial>s</serial>", "<serial>t</serial>"),
    "interface": ("00:01", "00:02"),
    "sound": ("<sound model='ich9'", "<sound model='ich6'"),
    "tpm": ("version='2.0'", "version='1.2'"),
    "channel": ("guest_agent.0", "guest_agent.1"),
    "video": ("<model type='cirrus' vram='16384'", "<model type='cirrus' vram='32768'"),
    "vcpu": ("current='2'", "current='3'"),
    "features": ("vmport state='off'", "vmport state='on'"),
    "cpu": ("policy='require'", "policy='disable'"),
    "timer": ("present='no'", "present='yes'"),
    "memory": ("<memory unit='KiB'>524288", "<memory unit='KiB'>525312"),
    "os": ("pc-q35-7.2", "pc-q35-7.1"),
}
HOST_CHANGES = {
    "source": ("<source file='/a'/>", "<source file='/b'/>"),
    "cache": ("type='raw'", "type='raw' cache='none'"),
    "backend": ("<interface type='user'", "<interface type='ethernet'"),
    "entropy": ("<backend model='random'", "<backend model='builtin'"),
    "action": ("action='reset'", "action='none'"),
    "check": ("check='none'", "check='partial'"),
    "tuning": ("<clock ", "<cputune><shares>7</shares></cputune><clock "),
    "title": ("<clock ", "<title>other</title><clock "),
    "picture": ("<graphics type='vnc'", "<graphics type='spice'"),
    "order of CPU features": (
        "<feature policy='require' name='x2apic'/>\n    <feature policy='disable' name='vme'/>",
        "<feature policy='disable' name='vme'/>\n    <feature policy='require' name='x2apic'/>",
    ),
}  # fmt: skip


def changed(old: str, new: str) -> Guest:
    found = format_guest(guest()).replace('"', "'")
    assert old in found
    return complete(parse_guest(found.replace(old, new)), qemu72(), host())


@pytest.mark.parametrize("element", VISIBLE_CHANGES)
def test_what_the_guest_sees_is_a_difference(element: str) -> None:
    found = differences(changed("", ""), changed(*VISIBLE_CHANGES[element]))
    assert {difference.element for difference in found} == {element}


@pytest.mark.parametrize("case", HOST_CHANGES)
def test_what_the_host_does_is_none(case: str) -> None:
    assert told(changed("", ""), changed(*HOST_CHANGES[case])) == ""


def test_differences_name_the_place_and_both_values() -> None:
    new = guest()
    new.devices.interfaces[0].model = "e1000"
    new.devices.sounds.clear()
    new.devices.disks[0].address = PciAddress(domain=0, bus=9, slot=0, function=0)
    new.cpu.features.pop()  # type: ignore[union-attr]
    assert told(guest(), new).splitlines() == [
        "<cpu>: <feature> vme: is gone",
        "<disk> vda: <address>: pci 0000:05:00.0 became pci 0000:09:00.0",
        "<interface> at pci 0000:02:00.0: <model type>: virtio became e1000",
        "<sound> at pci 0000:00:1b.0: is gone",
    ]


def test_a_function_that_becomes_one_of_several_is_told() -> None:
    new = guest()
    address = new.devices.disks[0].address
    assert isinstance(address, PciAddress)
    address.multifunction = True
    assert told(guest(), new) == "<disk> vda: <address>: multifunction: no became yes"
    address.multifunction = False
    assert told(guest(), new) == ""


def test_every_part_of_a_whole_guest_counts() -> None:
    """Each field that the tables show, changed alone, is noticed."""
    whole = parse_guest(WHOLE)
    changes: list[Callable[[Guest], object]] = [
        lambda g: setattr(g.cells[0], "memory", 1),
        lambda g: setattr(g.cells[0].distances[0], "value", 99),
        lambda g: setattr(g.features.hyperv.spinlocks, "retries", 1),  # type: ignore[union-attr]
        lambda g: setattr(g.features, "apic", None),
        lambda g: setattr(g.sysinfos[0].bios.entries[0], "value", "other"),  # type: ignore[union-attr]
        lambda g: setattr(g.os.loader, "type", "rom"),
        lambda g: setattr(g.power, "suspend_to_mem", False),
        lambda g: setattr(g.vcpu_list[1], "enabled", True),
        lambda g: setattr(g.cpu.topology, "dies", 1),  # type: ignore[union-attr]
        lambda g: setattr(g.launch_security, "policy", 7),
        lambda g: g.clock.timers.clear(),  # type: ignore[union-attr]
    ]
    for change in changes:
        other = whole.clone()
        change(other)
        assert len(differences(whole, other)) == 1 == len(differences(other, whole))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_what_runs_is_what_is_defined(path: Path) -> None:
    defined = complete(parse_guest(path.read_text()), qemu72(), host())
    live = prepare(defined, qemu72(), host(), guest_id=3)
    again = complete(parse_guest(format_guest(live)), qemu72(), host())
    assert told(live, defined) == told(defined, live) == told(live, again) == ""


def test_a_running_guest_tells_its_firmware() -> None:
    """Its document says both what was asked for and what was chosen."""
    asked = text("", machine="q35").replace("<os>", "<os firmware='efi'>")
    live = prepare(as_started(parse_guest(asked), qemu72(), HOST), qemu72(), HOST, guest_id=3)
    shown = parse_guest(format_guest(live, active=True))
    assert shown.os.firmware == "efi" and shown.os.loader and shown.os.loader.path
    again = as_started(shown, qemu72(), HOST)
    assert again.os == live.os and told(live, again) == told(live, as_started(parse_guest(asked), qemu72(), HOST)) == ""


@LAW
@given(MADE_OF)
def test_a_definition_is_compatible_with_itself(parts: tuple[str, list[str], str]) -> None:
    found = made(*parts)
    assume(found is not None)
    assert found is not None
    assert told(found, found.clone()) == told(found, parse_guest(format_guest(found))) == ""


PLUGGED = st.sampled_from(["<interface type='user'><model type='virtio'/></interface>", "<sound model='ich9'/>",
                           "<input type='mouse' bus='usb'/>", "<rng model='virtio'><backend model='random'/></rng>",
                           "<disk><source file='/n'/><target dev='vdz' bus='virtio'/></disk>",
                           "<channel type='pty'><target type='virtio' name='new'/></channel>"])  # fmt: skip


@LAW
@given(MADE_OF, PLUGGED, st.integers(0, 99))
def test_devices_that_come_go_or_move_are_noticed(parts: tuple[str, list[str], str], xml: str, which: int) -> None:
    old = made(*parts)
    assume(old is not None)
    assert old is not None
    device = parse_device(xml)
    try:
        more = add_device(old, device, qemu72(), host())
    except InvalidXML:  # its bus is full
        return
    assert any(d.element == device.tag and d.text.endswith("is new") for d in differences(old, more))
    assert any(d.element == device.tag and d.text.endswith("is gone") for d in differences(more, old))
    placed = [d for d in old.devices.all() if isinstance(d.address, PciAddress)]
    moved = old.clone()
    target = [d for d in moved.devices.all() if isinstance(d.address, PciAddress)][which % len(placed)]
    target.address = PciAddress(domain=0, bus=0x7F, slot=0, function=0)
    assert target.tag in {d.element for d in differences(old, moved)}
    lost = old.clone()
    gone = [d for d in lost.devices.all() if isinstance(d.address, PciAddress)][which % len(placed)]
    name, several = _slot(gone)
    setattr(lost.devices, name, [d for d in getattr(lost.devices, name) if d is not gone] if several else None)
    assert gone.tag in {d.element for d in differences(old, lost)}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one.xml", tmp_path / "other.xml"
    one.write_text(document(GUEST))
    other.write_text(document(GUEST.replace("ich9", "ich6")))
    with_caps = ["--capabilities", str(probe(tmp_path))]
    assert main(["abi-check", *with_caps, str(one), str(one)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["abi-check", *with_caps, str(one), str(other)]) == 1
    assert "<sound> at pci 0000:00:1b.0: is gone\n" in capsys.readouterr().out
    assert main(["--json", "abi-check", *with_caps, str(one), str(other)]) == 1
    assert {"element": "sound", "text": "<sound> at pci 0000:00:1b.0: is gone"} in json.loads(capsys.readouterr().out)
    assert main(["abi-check", *with_caps, str(one), str(tmp_path / "none.xml")]) == 2
    assert "none.xml" in capsys.readouterr().err


def probe(folder: Path) -> Path:
    """The recorded probe, unpacked."""
    import lzma

    from support.guests import DATA

    path = folder / "probe"
    path.write_bytes(lzma.decompress((DATA / "qemu-7.2.probe.xz").read_bytes()))
    return path


# --- every field


def compared() -> Iterator[type[Model]]:
    """The classes that are compared field by field, from the guest down."""
    pending: list[type[Model]] = [Guest, *(kind for spec in specs(Devices).values() for kind in below(spec))]
    seen: set[type[Model]] = set()
    while pending:
        kind = pending.pop()
        if kind in seen:
            continue
        seen.add(kind)
        pending += [part for spec in _visible(kind).values() for part in below(spec)]
        yield kind


COMPARED = sorted(set(compared()), key=lambda kind: kind.__name__)


def test_what_is_seen_and_what_is_not(golden: Callable[[str, str], None]) -> None:
    """A field that is new in a class stands on one of the two sides, by decision."""
    lines = []
    for kind in COMPARED:
        seen = _visible(kind)
        unseen = [name for name in specs(kind) if name not in seen]
        lines.append(f"{kind.__name__}\n  guest: {' '.join(seen)}\n  host: {' '.join(unseen)}")
    golden("abi_fields.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("kind", COMPARED, ids=lambda kind: kind.__name__)
def test_a_field_changed_alone_is_told_where_the_guest_sees_it(kind: type[Model]) -> None:
    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(instance(kind, 1), st.data())
    def law(old: Model, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(specs(kind))))
        spec = specs(kind)[name]
        if spec.model is None and not spec.many and value_of(spec, 1).is_empty:
            return
        new = old.clone(**{name: alone(spec, getattr(old, name), data.draw)})
        before, after = getattr(old, name), getattr(new, name)
        assume(before != after and not (name in MEANS_NO.get(kind, "") and bool(before) == bool(after)))
        told = list(_fields(kind.tag, "", old, new))
        assert bool(told) == (name in _visible(kind)), name

    law()
