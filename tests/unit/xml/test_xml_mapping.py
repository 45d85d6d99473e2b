"""The XML mapping: paths, views, unknown content kept in its place, and hostile documents refused."""

from __future__ import annotations

import time

import pytest

from frontinus.xml import (
    DocumentError,
    Flag,
    MappingError,
    Model,
    Raw,
    Size,
    Variants,
    View,
    format_document,
    many,
    one,
    parse_document,
    texts,
    xml,
)
from frontinus.xml.codecs import CpuSet, Hex2, Int, Mac, OnOff, Uuid, format_ranges, integer, one_of, scale


class Cat(Model, tag="pet"):
    kind: str = xml("@kind", default="cat")
    lives: int | None = xml("lives", integer(0, 9))


class Dog(Model, tag="pet"):
    kind: str = xml("@kind", default="dog")
    tricks: list[str] = texts("trick/@name")


class Named(Model):
    alias: str | None = xml("alias/@name", live=lambda name: not name.startswith("ua-"), last=True)
    label: str | None = xml("label")


class House(Named, tag="house"):
    number: int | None = xml("@number", Int, required=True)
    street: str | None = xml("address/street")
    floor: int | None = xml("address/street/@floor", Hex2)
    heated: bool = xml("features/heating", Flag)
    lift: bool | None = xml("features/lift/@state", OnOff)
    area: int | None = xml("area", Size("KiB"))
    notes: str | None = xml("notes", Raw)
    code: str | None = xml("door/@code", secret=True)
    visitors: int | None = xml("visitors", Int, live=True)
    rooms: list[str] = texts("rooms/room")
    pet: Model | None = one("pet", Variants("kind", {"cat": Cat, "dog": Dog}, default="cat"))
    others: list[Model] = many("others/pet", Variants("kind", {"cat": Cat, "dog": Dog}))
    extra: str | None = xml("qemu:extra/@value")


DOCUMENT = """\
<house number='7'>
  <label>home</label>
  <address>
    <street floor='0x02'>Via Latina</street>
  </address>
  <features>
    <heating/>
    <lift state='off'/>
  </features>
  <area unit='KiB'>12</area>
  <notes><b>no</b> mail</notes>
  <rooms>
    <room>hall</room>
    <room>bath</room>
  </rooms>
  <pet kind='cat'>
    <lives>9</lives>
  </pet>
  <others>
    <pet kind='dog'>
      <trick name='sit'/>
    </pet>
  </others>
</house>
"""


def test_a_document_maps_to_fields_and_back() -> None:
    house = parse_document(House, DOCUMENT)
    assert (house.number, house.street, house.floor, house.heated, house.lift) == (7, "Via Latina", 2, True, False)
    assert (house.area, house.rooms, house.code, house.extra) == (12 * 1024, ["hall", "bath"], None, None)
    assert isinstance(house.pet, Cat) and house.pet.lives == 9
    assert isinstance(house.others[0], Dog) and house.others[0].tricks == ["sit"]
    assert not list(house.unknown())
    assert format_document(house) == DOCUMENT


def test_attribute_order_and_namespaces() -> None:
    text = '<house xmlns:q="http://libvirt.org/schemas/domain/qemu/1.0" number="1"><q:extra value="x"/></house>'
    house = parse_document(House, text)
    assert house.extra == "x"
    assert "<qemu:extra value='x'/>" in format_document(house)
    assert "xmlns:qemu" in format_document(house) and "xmlns" not in format_document(House(number=1))


def test_live_and_secret_fields_appear_only_where_asked_for() -> None:
    house = House(number=1, visitors=3, code="1234", alias="net0")
    plain, active = format_document(house), format_document(house, View.ACTIVE, secrets=True)
    assert "visitors" not in plain and "door" not in plain and "alias" not in plain
    assert "<visitors>3</visitors>" in active and "code='1234'" in active
    assert active.rstrip().endswith("<alias name='net0'/>\n</house>")
    assert "name='ua-mine'" in format_document(House(number=1, alias="ua-mine"))


def test_unknown_content_keeps_its_place() -> None:
    text = """\
<house number='7' colour='red'>
  <first/>
  <label>home</label>
  <after-label x='1'>text</after-label>
  <again/>
  <address>
    <town/>
    <street zip='00100'>Via Latina</street>
    <country/>
  </address>
  <rooms>
    <room>hall</room>
    <between/>
    <room>bath</room>
  </rooms>
</house>
"""
    house = parse_document(House, text)
    assert {u.name for u in house.unknown()} == {
        "colour", "first", "after-label", "again", "town", "zip", "country", "between"}  # fmt: skip
    assert format_document(house) == text
    assert next(u for u in house.unknown() if u.name == "country").line == 9


def test_unknown_content_below_a_model_and_a_second_single_element_are_kept() -> None:
    text = (
        "<house number='1'>\n  <label>a</label>\n  <label>b</label>\n"
        "  <pet kind='cat'>\n    <toy/>\n  </pet>\n</house>\n"
    )
    house = parse_document(House, text)
    assert house.label == "a"
    assert [u.name for u in house.unknown()] == ["label", "toy"]
    assert format_document(house) == text


def test_an_element_with_attributes_alone_has_no_text() -> None:
    house = parse_document(House, '<house number="1"><address><street floor="0x01"/></address><label/></house>')
    assert (house.street, house.floor, house.label) == (None, 1, "")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('<house\n number="x"/>', 2, "attribute 'number': 'x' is not an integer"),
        ("<house/>", 1, "attribute number is missing"),
        ("<home/>", 1, "expected <house>"),
        ('<house number="1">\n<pet>\n<lives>10</lives></pet></house>', 3, "10 is outside 0..9"),
        ('<house number="1">\n<pet kind="bird"/></house>', 2, "unknown value 'bird'"),
        ('<house number="1">\n<others><pet/></others></house>', 2, "attribute 'kind' is missing"),
        ('<house number="1">\n<others><pet kind="dog"><trick/></pet></others></house>', 2, "'name' is missing"),
        ('<house number="1"><area unit="acre">1</area></house>', 1, "unknown unit 'acre'"),
        ('<house number="1">\n<features><lift state="up"/></features></house>', 2, "'up' is neither on nor off"),
    ],
)
def test_what_does_not_fit_names_element_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse_document(House, text)
    assert caught.value.line == line and reason in str(caught.value)


LEVELS = "".join(f"<!ENTITY {c} '{f'&{p};' * 16}'>" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
BOMB = f"<!DOCTYPE h [<!ENTITY a 'aaaaaaaaaaaaaaaa'>{LEVELS}]><house number='1' label='&i;'/>"


@pytest.mark.parametrize(
    "text",
    [
        "<house",
        "",
        '<!DOCTYPE house [<!ENTITY a "b">]><house number="1"/>',
        '<!DOCTYPE house SYSTEM "file:///etc/passwd"><house number="1"/>',
        BOMB,
        "<house number='1'>" + "<a>" * 300 + "</a>" * 300 + "</house>",
        "<house number='1'><label>" + "x" * (4 * 2**20) + "</label></house>",
        "<house number='1'><label>\x00</label></house>",
        "<house number='1'>" + "<a/>" * 200_000 + "</house>",
    ],
)  # fmt: skip
def test_hostile_documents_are_refused(text: str) -> None:
    with pytest.raises((DocumentError, MappingError)):
        parse_document(House, text)
    with pytest.raises((DocumentError, MappingError)):
        parse_document(House, text.encode("utf-16"))


def test_a_clone_shares_nothing_that_changes() -> None:
    house = parse_document(House, DOCUMENT)
    copy = house.clone(number=8)
    copy.rooms.append("attic")
    assert isinstance(copy.pet, Cat) and isinstance(house.pet, Cat)
    copy.pet.lives = 1
    assert (house.number, house.rooms, house.pet.lives) == (7, ["hall", "bath"], 9)
    assert copy != house and copy.number == 8


def test_models_compare_by_their_fields() -> None:
    assert Cat(lives=3) == Cat(lives=3) != Cat(lives=4)
    assert Cat() != Dog()
    assert Cat(lives=None) == Cat()
    with pytest.raises(TypeError):
        Cat(colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("codec", "text", "value"),
    [
        (CpuSet, "0-3,^2,8", (0, 1, 3, 8)),
        (CpuSet, " 1 , 2 ", (1, 2)),
        (Mac, "52:54:0:AB:c:1", "52:54:00:ab:0c:01"),
        (Uuid, "C7A5FDBDEDAF9455926AD65C16DB1809", "c7a5fdbd-edaf-9455-926a-d65c16db1809"),
        (Int, "0x10", 16),
        (one_of("a", "b"), "b", "b"),
    ],
)
def test_codecs_read(codec: object, text: str, value: object) -> None:
    assert codec.parse(text) == value  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("codec", "text"),
    [(CpuSet, "3-1"), (CpuSet, "0-99999999"), (CpuSet, "a"), (Mac, "52:54:00:ab:0c"), (Uuid, "x"), (Int, "-1"),
     (Int, "1e3"), (Int, "1" * 50), (one_of("a"), "A"), (Hex2, "")],
)  # fmt: skip
def test_codecs_refuse(codec: object, text: str) -> None:
    with pytest.raises(ValueError):
        codec.parse(text)  # type: ignore[attr-defined]


def test_sizes_scale() -> None:
    assert scale("2", "GiB", "KiB") == scale("2097152", None, "KiB") == 2**31
    assert scale("1", "MB", "KiB") == 10**6
    assert format_ranges([5, 0, 1, 2, 8]) == "0-2,5,8"


def test_foreign_content_keeps_its_whitespace_and_namespaces() -> None:
    text = (
        '<house xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0" number="1">\n'
        '  <notes xmlns:app="urn:app"><app:b> <app:c/>tail</app:b></notes>\n'
        '  <qemu:odd x="1">\n  <y/></qemu:odd>\n'
        '  <qemu:extra value="v"/>\n'
        "</house>\n"
    )
    house = parse_document(House, text)
    assert house.notes == '<notes xmlns:app="urn:app"><app:b> <app:c/>tail</app:b></notes>'
    assert "  <notes xmlns:app='urn:app'><app:b> <app:c/>tail</app:b></notes>\n" in format_document(house)
    again = parse_document(House, format_document(house))
    assert again == house and format_document(again) == format_document(house)
    assert [u.name for u in again.unknown()] == ["{http://libvirt.org/schemas/domain/qemu/1.0}odd"]


@pytest.mark.parametrize("value", ["it's", '"', "'\"'", 'a="b" c', "<x y='1'>", "&apos;", "&quot;", "line\nbreak"])
def test_quotes_survive_in_attributes_and_text(value: str) -> None:
    house = House(number=1, label=value, alias=f"ua-{value}", extra=value)
    again = parse_document(House, format_document(house, secrets=True))
    assert again == house
    assert '="' not in format_document(House(number=1, alias="ua-x"))


def test_time_is_in_proportion_to_the_document() -> None:
    quotes = format_document(House(number=1, label='="" ' * 500_000))
    odd = "<house number='1'>" + "<a/>" * 30_000 + "<rooms>" + "<room>x</room><b/>" * 15_000 + "</rooms></house>"
    start = time.process_time()
    for text in (quotes, odd):
        house = parse_document(House, text)
        assert parse_document(House, format_document(house)) == house
    assert time.process_time() - start < 10
