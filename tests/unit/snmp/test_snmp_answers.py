"""Reading and answering requests: strict encoding, exact answers, views that fail closed, never too large."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.views import BlockStats, CpuStats, GuestStats, GuestView, VcpuStats
from frontinus_snmp import ber, pdu, rows
from frontinus_snmp.answer import answer
from frontinus_snmp.ber import Malformed, Oid
from frontinus_snmp.objects import MODULES
from frontinus_snmp.objects.vm import TABLES, VM_MIB
from frontinus_snmp.pdu import GET, GET_BULK, GET_NEXT, Pdu
from frontinus_snmp.rows import Guest, Places, State
from frontinus_snmp.tree import Tree, View

ALL = View(frozenset({(1, 3, 6, 1)}))
NAME: Oid = (*VM_MIB, 1, 4, 1, 2)
OIDS = st.tuples(st.integers(0, 2), st.integers(0, 39), *[st.integers(0, 2**32 - 1)] * 3)


def guest(index: int, *, active: bool = True) -> Guest:
    uuid = f"00000000-0000-0000-0000-{index:012x}"
    view = GuestView(uuid=uuid, name=f"g{index}", state="running" if active else "shutoff", reason="booted", active=active,
                     memory=2**30, max_memory=2**41, vcpus=2, max_vcpus=4)  # fmt: skip
    figures = GuestStats(uuid=uuid, name=view.name, id=1, cpu=CpuStats(time=5_000_999), vcpus=(VcpuStats(index=0, time=7000),),
                         blocks=(BlockStats(index=0, name="vda", read_requests=3, capacity=2**42),))  # fmt: skip
    return Guest(index, view, Places(), booted=time.time() - 10, figures=figures, now=time.time())


def tree(*guests: Guest) -> Tree:
    return Tree(State(guests=guests, description="d" * 40), MODULES)


def ask(kind: int, *names: Oid, first: int = 0, second: int = 0, of: Tree, view: View = ALL, room: int = 2000):
    """Error status, error index and bindings of an answer."""
    request = Pdu(kind, 7, first, second, names, b"")
    found = answer(request, of, of.shown(view), room)
    assert found is not None and len(found) <= room
    back = pdu.read_pdu(found, 0, len(found))
    assert back.kind == pdu.RESPONSE and back.request_id == 7
    return back.first, back.second, bindings(back.raw)


def bindings(raw: bytes) -> list[tuple[Oid, int, bytes]]:
    found, pos = [], 0
    while pos < len(raw):
        start, pos = ber.expect(raw, pos, len(raw), ber.SEQUENCE)
        name_start, name_stop = ber.expect(raw, start, pos, ber.OID)
        tag, value_start, value_stop = ber.head(raw, name_stop, pos)
        found.append((ber.oid(raw, name_start, name_stop), tag, raw[value_start:value_stop]))
    return found


# --- encoding


@given(OIDS)
def test_names_come_back(oid: Oid) -> None:
    encoded = ber.encode_oid(oid)
    start, stop = ber.expect(encoded, 0, len(encoded), ber.OID)
    assert ber.oid(encoded, start, stop) == oid


@given(st.integers(-(2**31), 2**31 - 1))
def test_numbers_come_back(value: int) -> None:
    encoded = ber.number(ber.INTEGER, value)
    assert ber.integer(encoded, 0, len(encoded)) == (value, len(encoded))


def test_an_unsigned_number_is_never_negative() -> None:
    assert ber.number(ber.COUNTER64, 2**64 - 1) == b"\x46\x09\x00" + b"\xff" * 8
    assert ber.number(ber.TIME_TICKS, 128) == b"\x43\x02\x00\x80"


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 65535, 65536])
def test_lengths_come_back(size: int) -> None:
    encoded = ber.tlv(ber.OCTETS, bytes(size))
    assert ber.octets(encoded, 0, len(encoded), size) == (bytes(size), len(encoded))


@pytest.mark.parametrize("bad", [
    "", "30", "3001", "3080", "30840fffffff", "308501000000", "1f01", "0205ffffffffff", "0200",
])  # fmt: skip
def test_a_broken_value_is_refused(bad: str) -> None:
    data = bytes.fromhex(bad)
    with pytest.raises(Malformed):
        ber.integer(data, 0, len(data)) if bad.startswith("02") else ber.octets(data, 0, len(data), 10)


@pytest.mark.parametrize("bad", ["", "2b86", "2b8006", "2b9080808000", "2b" + "01" * 200])
def test_a_broken_name_is_refused(bad: str) -> None:
    data = bytes.fromhex(bad)
    with pytest.raises(Malformed):
        ber.oid(data, 0, len(data))


def test_too_many_bindings_are_refused() -> None:
    one = ber.varbind(ber.encode_oid((1, 3)), b"\x05\x00")
    whole = pdu.write_pdu(GET, 1, 0, 0, one * (pdu.MAX_VARBINDS + 1))
    with pytest.raises(Malformed):
        pdu.read_pdu(whole, 0, len(whole))
    whole = pdu.write_pdu(GET, 1, 0, 0, one * pdu.MAX_VARBINDS)
    assert len(pdu.read_pdu(whole, 0, len(whole)).names) == pdu.MAX_VARBINDS


# --- answers


def test_get_names_what_is_missing() -> None:
    of = tree(guest(1))
    _, _, found = ask(GET, (*NAME, 1), (*NAME, 2), (1, 3, 6, 1, 9), NAME, of=of)
    assert [(tag, value) for _, tag, value in found] == [(ber.OCTETS, b"g1"), (ber.NO_SUCH_INSTANCE, b""),
                                                         (ber.NO_SUCH_OBJECT, b""), (ber.NO_SUCH_INSTANCE, b"")]  # fmt: skip


def test_next_walks_everything_once_and_in_order() -> None:
    of = tree(guest(1), guest(2), guest(300))
    name: Oid = (1, 3)
    seen = []
    while True:
        _, _, [(name, tag, _)] = ask(GET_NEXT, name, of=of)
        if tag == ber.END_OF_MIB_VIEW:
            break
        seen.append(name)
    assert seen == sorted(set(seen)) == of.shown(ALL).names()
    assert {key[len(VM_MIB) + 1] for key in seen if key[: len(VM_MIB)] == VM_MIB} == {1, 2, 3, 4, 5, 7, 9, 10}


@pytest.mark.parametrize("names", [1, 2, 3])
def test_bulk_is_repeated_next(names: int) -> None:
    of = tree(*map(guest, range(1, 9)))
    starts = [(*VM_MIB, 1, 4, 1, column) for column in (2, 6, 17)[:names]]
    _, _, found = ask(GET_BULK, (1, 3), *starts, first=1, second=9, of=of)
    expected = ask(GET_NEXT, (1, 3), of=of)[2]
    for _ in range(9):
        step = ask(GET_NEXT, *starts, of=of)[2]
        starts = [name for name, _, _ in step]
        expected += step
    assert found == expected


def test_bulk_stops_at_the_end() -> None:
    of = tree(guest(1))
    last = of.shown(ALL).names()[-1]
    _, _, found = ask(GET_BULK, last, second=50, of=of)
    assert found == [(last, ber.END_OF_MIB_VIEW, b"")]
    _, _, found = ask(GET_BULK, last, last, second=50, of=of)
    assert found == [(last, ber.END_OF_MIB_VIEW, b"")] * 2


@pytest.mark.parametrize("room", [100, 484, 1472])
@pytest.mark.parametrize("names", [1, 2])
def test_bulk_fills_the_room_and_no_more(room: int, names: int) -> None:
    of = tree(*map(guest, range(1, 200)))
    status, _, found = ask(GET_BULK, *[NAME] * names, second=2**31 - 1, of=of, room=room)
    assert status == pdu.NO_ERROR and 0 < len(found) < room / 10


def test_what_does_not_fit_is_too_big() -> None:
    of = tree(guest(1))
    assert ask(GET, *[(1, 3, 6, 1, 2, 1, 1, 1, 0)] * 20, of=of, room=484) == (pdu.TOO_BIG, 0, [])
    assert answer(Pdu(GET, 1, 0, 0, (NAME,), b""), of, of.shown(ALL), 10) is None


@pytest.mark.parametrize("bulk", [(0, 0), (-5, -5), (9, 0), (2**31 - 1, -(2**31))])
def test_odd_bulk_parameters_are_taken_as_the_nearest(bulk: tuple[int, int]) -> None:
    status, _, found = ask(GET_BULK, (1, 3), first=bulk[0], second=bulk[1], of=tree(guest(1)))
    assert status == 0 and len(found) == (1 if bulk[0] > 0 else 0)


# --- views


def test_an_empty_view_shows_nothing() -> None:
    of = tree(guest(1))
    nothing = View()
    assert ask(GET_NEXT, (1, 3), of=of, view=nothing)[2] == [((1, 3), ber.END_OF_MIB_VIEW, b"")]
    assert ask(GET, (*NAME, 1), (1, 3, 6, 1, 2, 1, 1, 3, 0), of=of, view=nothing)[2][0][1] == ber.NO_SUCH_OBJECT
    assert not of.shown(nothing).following((), 9)


def test_a_view_leaves_out_its_exceptions_also_after_changes() -> None:
    of = tree(guest(1), guest(2))
    view = View(frozenset({VM_MIB, (*NAME, 2)}), frozenset({NAME}))
    assert ask(GET, (*NAME, 1), (*NAME, 2), (1, 3, 6, 1, 2, 1, 1, 1, 0), of=of, view=view)[2] == [
        ((*NAME, 1), ber.NO_SUCH_OBJECT, b""), ((*NAME, 2), ber.OCTETS, b"g2"),
        ((1, 3, 6, 1, 2, 1, 1, 1, 0), ber.NO_SUCH_OBJECT, b""),
    ]  # fmt: skip
    of.state.guests = [guest(1), guest(2), guest(3)]
    of.fill()
    names = of.shown(view).names()
    assert (*NAME, 3) not in names and (*NAME, 2) in names and (*VM_MIB, 1, 4, 1, 3, 3) in names
    assert [ber.decoded_name(cell) for cell in of.shown(view).following((), 10_000)] == names


# --- what is shown


def value(of: Tree, table: int, column: int, *index: int) -> int | bytes | None:
    cell = of.shown(ALL).find((*VM_MIB, 1, table, 1, column, *index))
    if cell is None:
        return None
    [(_, tag, content)] = bindings(cell)
    return content if tag == ber.OCTETS else int.from_bytes(content, "big", signed=tag == ber.INTEGER)


def test_figures_have_the_rfcs_units() -> None:
    of = tree(guest(4))
    assert value(of, 4, 12, 4) == 1024**2 and value(of, 4, 13, 4) == 1024 and value(of, 4, 15, 4) == 2 * 1024**2
    assert value(of, 4, 17, 4) == 5000 and value(of, 5, 2, 4, 1) == 7
    assert value(of, 7, 10, 4, 1) == 1024**2 and value(of, 7, 11, 4, 1) == 4 * 1024**2 and value(of, 7, 12, 4, 1) == -1
    assert 990 <= (value(of, 4, 16, 4) or 0) <= 1100  # type: ignore[operator]


def test_a_figure_that_is_not_known_is_not_shown() -> None:
    of = tree(guest(1))
    assert value(of, 7, 13, 1, 1) == 3 and value(of, 7, 14, 1, 1) is None
    measured = of.state.guests[0].figures
    of.state.guests[0].figures = GuestStats(
        uuid="", name="", blocks=(BlockStats(index=0, name="vda", write_requests=9),)
    )
    of.fill(figures_only=True)
    assert value(of, 7, 13, 1, 1) is None and value(of, 7, 14, 1, 1) == 9
    of.state.guests[0].figures = measured
    of.fill(figures_only=True)
    assert value(of, 7, 13, 1, 1) == 3 and value(of, 7, 14, 1, 1) is None


def test_a_disk_keeps_its_number_when_another_goes() -> None:
    places = Places()
    assert [places.number("disk", name) for name in ("vda", "vdb", "vda")] == [1, 2, 1]
    assert places.number("disk", "vdc") == 3 and places.number("nic", "52:54:00:00:00:01") == 1


@pytest.mark.parametrize(("state", "reason", "saved", "admin", "oper"), [
    ("running", "booted", False, 1, 4), ("paused", "user", False, 3, 8), ("paused", "migrating", False, 3, 9),
    ("shutoff", "shutdown", False, 4, 11), ("shutoff", "saved", True, 2, 6), ("shutoff", "crashed", False, 4, 12),
    ("shutdown", "user", False, 4, 10), ("crashed", "panicked", False, 1, 12), ("pmsuspended", "unknown", False, 2, 6),
    ("nostate", "unknown", False, 4, 1), ("blocked", "unknown", False, 1, 4),
])  # fmt: skip
def test_states(state: str, reason: str, saved: bool, admin: int, oper: int) -> None:
    view = GuestView(uuid="u", name="n", state=state, reason=reason, managed_save=saved)  # type: ignore[arg-type]
    assert (rows.admin_state(view), rows.oper_state(view)) == (admin, oper)


def test_long_text_is_cut_between_characters() -> None:
    from frontinus_snmp.tree import text

    assert text("é" * 200) == ("é" * 127).encode() and text("x" * 300) == b"x" * 255


def test_every_column_is_of_the_rfcs_number() -> None:
    numbers = {table.name: [column.number for column in table.columns] for table in TABLES}
    assert numbers == {"vmTable": [*range(2, 18)], "vmCpuTable": [2], "vmCpuAffinityTable": [3],
                       "vmStorageTable": [*range(3, 19)], "vmNetworkTable": [*range(2, 6)]}  # fmt: skip


def test_a_cell_alone_is_what_its_column_says() -> None:
    """A GET after new figures makes its own cell; a walk makes them all. They are the same, also for what is not there."""
    view = View(frozenset({VM_MIB}))
    walked = tree(*map(guest, range(1, 9)))
    names = walked.shown(view).names()
    cells = walked.shown(view).following((), 10**6)
    assert len(names) == len(cells) > 100
    fresh = tree(*map(guest, range(1, 9)))
    for name, cell in zip(names, cells, strict=True):
        fresh.fill()
        assert fresh.shown(view).find(name) == cell
        assert fresh.shown(view).find((*name, 1)) is None
    narrow = View(frozenset({VM_MIB}), frozenset({names[-1]}))
    shown = tree(*map(guest, range(1, 9))).shown(narrow)
    assert shown.find(names[-1]) is None and shown.find(names[-2]) == cells[-2]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20), st.integers(-(2**31), 2**31 - 1))
def test_names_and_numbers_are_read_as_they_were_written(rest: list[int], number: int) -> None:
    name = (1, 3, *rest)
    content = ber.encode_oid(name)
    assert ber.oid(content, *ber.head(content, 0, len(content))[1:]) == name
    written = ber.number(ber.INTEGER, number)
    assert ber.integer(written, 0, len(written)) == (number, len(written))
    assert written[2:] == number.to_bytes(len(written) - 2, "big", signed=True)


@pytest.mark.parametrize("content", [b"", b"\x2b\x80\x01", b"\x2b\x81", b"\x80\x01", b"\x2b\x90\x80\x80\x80\x00",
                                     b"\x2b" + b"\x01" * 127, b"\x2b" + b"\x01" * 126 + b"\x81\x01"])  # fmt: skip
def test_names_that_cannot_be_are_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        ber.oid(content, 0, len(content))
