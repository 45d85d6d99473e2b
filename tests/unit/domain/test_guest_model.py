"""The model of a guest outside its devices: everything documented is understood, kept, and written back."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidXML
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.guest import Guest
from frontinus.xml import Model
from frontinus.xml.mapping import specs
from support.whole_guest import MIB, WHOLE, text


def walk(model: Model) -> list[Model]:
    """A model object and all below it."""
    return [model, *(found for child in model.models() for found in walk(child))]


def test_everything_is_understood() -> None:
    assert [f"{unknown.path}/{unknown.name}" for unknown in parse_guest(WHOLE).unknown()] == []


def test_what_is_parsed_is_written_back() -> None:
    guest = parse_guest(WHOLE)
    assert parse_guest(format_guest(guest, active=True)) == guest
    assert format_guest(parse_guest(format_guest(guest, active=True)), active=True) == format_guest(guest, active=True)


def test_every_field_is_exercised() -> None:
    """A field that the whole document does not set is tested by nothing."""
    objects = walk(parse_guest(WHOLE))
    for kind in {type(found) for found in objects if type(found).__module__.startswith("frontinus.domain.")}:
        if ".devices" in kind.__module__:
            continue
        for name, spec in specs(kind).items():
            if spec.live:
                continue
            said = [vars(found).get(name, []) for found in objects if type(found) is kind]
            assert any(value != [] for value in said), f"{kind.__name__}.{name} is set nowhere"


def test_sizes_are_bytes_whatever_their_unit() -> None:
    guest = parse_guest(WHOLE)
    assert (guest.memory, guest.current_memory, guest.max_memory) == (1024 * MIB, 512 * MIB, 4096 * MIB)
    assert guest.memory_backing and guest.memory_backing.hugepages
    assert [page.size for page in guest.memory_backing.hugepages.pages] == [2 * MIB, 1024 * MIB]
    assert [cell.memory for cell in guest.cells] == [512 * MIB, 512 * MIB]
    assert guest.cpu_tune and guest.cpu_tune.caches[0].caches[0].size == 3 * MIB
    assert guest.interconnects and guest.interconnects.bandwidths[0].value == 1024 * MIB


def test_sizes_in_attributes_are_written_in_their_units() -> None:
    written = format_guest(parse_guest(WHOLE))
    for words in ("size='2048' unit='KiB'", "memory='524288' unit='KiB'", "size='3' unit='MiB'", "value='8' unit='B'"):
        assert words.replace("'", '"') in written or words in written


def test_a_guest_always_has_os_and_devices() -> None:
    guest = Guest(type="qemu", name="n")
    assert guest.os.machine is None and list(guest.devices.all()) == []
    assert Guest(type="qemu", name="n", machine="pc", arch="x86_64", os_type="hvm").os.type == "hvm"
    assert parse_guest("<domain type='qemu'><name>n</name></domain>").devices is not None


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("<vcpu>many</vcpu>", "'many' is not an integer"),
        ("<memtune><hard_limit unit='parsecs'>5</hard_limit></memtune>", "unknown unit"),
        ("<cpu mode='best'/>", "'best' is not one of"),
        ("<cpu><topology sockets='0' cores='1' threads='1'/></cpu>", "outside"),
        ("<clock><timer/></clock>", "attribute name is missing"),
        ("<on_crash>explode</on_crash>", "'explode'"),
        ("<numatune><memnode cellid='0' nodeset='2-1'/></numatune>", "not a range"),
        ("<qemu:commandline><qemu:arg/></qemu:commandline>", "'value' is missing"),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(part: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason) as caught:
        parse_guest(text("\n\n" + part))
    assert caught.value.details["line"] == "3"


def test_ids_of_io_threads_that_nobody_names_are_the_lowest_free() -> None:
    guest = parse_guest(text("<iothreads>4</iothreads><iothreadids><iothread id='2'/></iothreadids>"))
    assert [thread.id for thread in guest.all_iothreads()] == [2, 1, 3, 4]
    assert [thread.id for thread in parse_guest(text("<iothreads>2</iothreads>")).all_iothreads()] == [1, 2]


def test_an_empty_element_of_a_template_says_nothing() -> None:
    empty = "<uuid></uuid><on_crash/><vcpu/><iothreads></iothreads><title/>"
    document = f"<domain type='qemu'><name>a</name>{empty}<memory>1024</memory></domain>"
    guest = parse_guest(document)
    assert (guest.uuid, guest.on_crash, guest.vcpus, guest.iothreads) == (None, None, None, None)
    assert guest.title == "" and not guest.kept
    assert parse_guest(document.replace(">1024<", "><")).memory is None, "which the check misses"
