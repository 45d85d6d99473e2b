"""AgentX's encoding: what is written is read back, what is cut off is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus_snmp import agentx, ber
from frontinus_snmp.objects.kinds import INTEGER
from frontinus_snmp.tree import encode


@given(
    st.lists(st.integers(0, 2**32 - 1), max_size=20).map(lambda rest: (1, 3, 6, 1, *rest))
    | st.just(())
    | st.just((2, 5)),
    st.booleans(),
)
def test_names_come_back(oid: tuple[int, ...], include: bool) -> None:
    assert agentx.Reader(agentx.write_oid(oid, include=include)).oid() == (oid, include)


def test_a_binding_of_ours_becomes_agentxs() -> None:
    cell = ber.varbind(ber.encode_oid((1, 3, 6, 1, 2, 1, 7)), encode(INTEGER, -5))
    assert agentx.Reader(agentx.all_from_ber(cell * 2)).variable() == (
        (1, 3, 6, 1, 2, 1, 7),
        ber.INTEGER,
        b"\xff\xff\xff\xfb",
    )


@given(st.binary(max_size=64))
def test_noise_is_read_or_malformed(data: bytes) -> None:
    reader = agentx.Reader(data)
    try:
        while reader.more:
            reader.variable()
    except agentx.Malformed:
        pass


def test_values_come_back() -> None:
    values = [
        ((1, 3, 6, 1, 2, 1), 0x02, b"\xff\xff\xff\xfe"), ((2, 5), 0x04, b"octets"),
        ((1, 3, 6, 1, 300), 0x46, b"\0" * 7 + b"\x05"), ((1, 3, 6, 1, 4, 1, 8072), 0x06, b"\x2b\x06\x01"),
        ((1, 3), 0x42, b"\0\0\0\x07"), ((1, 3), 0x05, b""),
    ]  # fmt: skip
    reader = agentx.Reader(b"".join(agentx.write_variable(*value) for value in values))
    assert [reader.variable() for _ in values] == values and not reader.more


@pytest.mark.parametrize(
    "data", [b"\0", b"\0\x02\0\0\xff\0\0\0" + bytes(2000), b"\0\x04\0\0\0\0\0\0\xff\xff\xff\xff", b"\0\x63\0\0\0\0\0\0"]
)
def test_what_is_cut_off_is_malformed(data: bytes) -> None:
    with pytest.raises(agentx.Malformed):
        agentx.Reader(data).variable()
